// The indexes of the built-in families and dialects, which `make index` writes. As arrays of Swift they would take half a
// minute to compile.
#ifndef CINDEX_H
#define CINDEX_H

#include <stddef.h>

// The index, which lives as long as the program; `count` becomes the number of its bytes.
const unsigned char *_Nonnull bertconv_families_index(size_t *_Nonnull count);
const unsigned char *_Nonnull bertconv_tables_index(size_t *_Nonnull count);

#endif
