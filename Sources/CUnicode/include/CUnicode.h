// What each code point is to Hugging Face's `tokenizers`: tables.c, which Scripts/unicode_tables.py writes.
//
// A table has two stages: an index of blocks of 128 code points, and the blocks. `c` must be below 0x110000.

#ifndef CUNICODE_H
#define CUNICODE_H

#include <stdint.h>

extern const uint16_t bertconv_unicode_kind_index[];
extern const uint8_t bertconv_unicode_kind_values[];
extern const uint32_t bertconv_unicode_kinds[];
extern const uint8_t bertconv_unicode_combining_index[];
extern const uint8_t bertconv_unicode_combining_values[];
extern const uint8_t bertconv_unicode_lower_index[];
extern const uint16_t bertconv_unicode_lower_values[];
extern const uint32_t bertconv_unicode_lower_pool[];
extern const uint8_t bertconv_unicode_nfd_index[];
extern const uint16_t bertconv_unicode_nfd_values[];
extern const uint32_t bertconv_unicode_nfd_pool[];
extern const uint8_t bertconv_unicode_nfkd_index[];
extern const uint16_t bertconv_unicode_nfkd_values[];
extern const uint32_t bertconv_unicode_nfkd_pool[];
// Triples of a first and a second code point and what they compose to, in order.
extern const uint32_t bertconv_unicode_compositions[];
enum { BERTCONV_UNICODE_COMPOSITIONS = 940 };

// The bits of a code point: see CodePointKind in Swift.
static inline uint32_t bertconv_unicode_kind(uint32_t c) {
  return bertconv_unicode_kinds[bertconv_unicode_kind_values[bertconv_unicode_kind_index[c >> 7] << 7 | (c & 127)]];
}

static inline uint8_t bertconv_unicode_combining_class(uint32_t c) {
  return bertconv_unicode_combining_values[bertconv_unicode_combining_index[c >> 7] << 7 | (c & 127)];
}

// The offset in its pool of what a code point is mapped to: a length, then as many code points. 0: it is not mapped.
static inline uint32_t bertconv_unicode_lower(uint32_t c) {
  return bertconv_unicode_lower_values[bertconv_unicode_lower_index[c >> 7] << 7 | (c & 127)];
}
static inline uint32_t bertconv_unicode_nfd(uint32_t c) {
  return bertconv_unicode_nfd_values[bertconv_unicode_nfd_index[c >> 7] << 7 | (c & 127)];
}
static inline uint32_t bertconv_unicode_nfkd(uint32_t c) {
  return bertconv_unicode_nfkd_values[bertconv_unicode_nfkd_index[c >> 7] << 7 | (c & 127)];
}

static inline uint32_t bertconv_unicode_lower_entry(uint32_t i) { return bertconv_unicode_lower_pool[i]; }
static inline uint32_t bertconv_unicode_nfd_entry(uint32_t i) { return bertconv_unicode_nfd_pool[i]; }
static inline uint32_t bertconv_unicode_nfkd_entry(uint32_t i) { return bertconv_unicode_nfkd_pool[i]; }

// What a pair composes to, Hangul aside; 0 where it does not.
static inline uint32_t bertconv_unicode_compose(uint32_t a, uint32_t b) {
  uint32_t low = 0, high = BERTCONV_UNICODE_COMPOSITIONS;
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    const uint32_t *entry = bertconv_unicode_compositions + 3 * middle;
    if (entry[0] == a && entry[1] == b) return entry[2];
    if (entry[0] < a || (entry[0] == a && entry[1] < b)) low = middle + 1;
    else high = middle;
  }
  return 0;
}

#endif
