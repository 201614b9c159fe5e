#include "CIndex.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char families[] = {
#embed "families.index"
};

static const unsigned char tables[] = {
#embed "tables.index"
};

const unsigned char *bertconv_families_index(size_t *count) {
  *count = sizeof families;
  return families;
}

const unsigned char *bertconv_tables_index(size_t *count) {
  *count = sizeof tables;
  return tables;
}
