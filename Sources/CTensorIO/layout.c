// Moving elements about: the blocked transpose and the byte swap.

#include "CTensorIO.h"

#include <string.h>

// A square of 32 elements keeps both the rows read and the rows written in the first-level cache.
enum { BLOCK = 32 };

#define DEFINE_TRANSPOSE(type, name)                                                                   \
  static void name(const type *restrict source, type *restrict target, size_t rows, size_t columns) {  \
    for (size_t r0 = 0; r0 < rows; r0 += BLOCK) {                                                      \
      size_t r1 = r0 + BLOCK < rows ? r0 + BLOCK : rows;                                               \
      for (size_t c0 = 0; c0 < columns; c0 += BLOCK) {                                                 \
        size_t c1 = c0 + BLOCK < columns ? c0 + BLOCK : columns;                                       \
        for (size_t c = c0; c < c1; c++)                                                               \
          for (size_t r = r0; r < r1; r++) target[c * rows + r] = source[r * columns + c];             \
      }                                                                                                \
    }                                                                                                  \
  }

typedef struct {
  uint64_t low, high;
} pair64;

DEFINE_TRANSPOSE(uint8_t, transpose1)
DEFINE_TRANSPOSE(uint16_t, transpose2)
DEFINE_TRANSPOSE(uint32_t, transpose4)
DEFINE_TRANSPOSE(uint64_t, transpose8)
DEFINE_TRANSPOSE(pair64, transpose16)

// Checkpoints align nothing: elements that do not start on their own size are moved one by one.
static void transpose_unaligned(const char *source, char *target, size_t rows, size_t columns, size_t size) {
  for (size_t c = 0; c < columns; c++)
    for (size_t r = 0; r < rows; r++) memcpy(target + (c * rows + r) * size, source + (r * columns + c) * size, size);
}

void bertconv_transpose(const void *source, void *target, size_t rows, size_t columns, size_t element_size) {
  size_t alignment = element_size == 16 ? 8 : element_size;
  if (((uintptr_t)source | (uintptr_t)target) % alignment) {
    transpose_unaligned(source, target, rows, columns, element_size);
    return;
  }
  switch (element_size) {
    case 1: transpose1(source, target, rows, columns); break;
    case 2: transpose2(source, target, rows, columns); break;
    case 4: transpose4(source, target, rows, columns); break;
    case 8: transpose8(source, target, rows, columns); break;
    case 16: transpose16(source, target, rows, columns); break;
    default: transpose_unaligned(source, target, rows, columns, element_size); break;
  }
}

void bertconv_swap_bytes(const void *source, void *target, size_t count, size_t element_size) {
  const char *from = source;
  char *to = target;
  for (size_t i = 0; i < count; i++, from += element_size, to += element_size) {
    if (element_size == 2) {
      uint16_t word;
      memcpy(&word, from, 2);
      word = __builtin_bswap16(word);
      memcpy(to, &word, 2);
    } else if (element_size == 4) {
      uint32_t word;
      memcpy(&word, from, 4);
      word = __builtin_bswap32(word);
      memcpy(to, &word, 4);
    } else {
      uint64_t word;
      memcpy(&word, from, 8);
      word = __builtin_bswap64(word);
      memcpy(to, &word, 8);
    }
  }
}

int bertconv_equal(const void *a, const void *b, size_t length) { return memcmp(a, b, length) == 0; }
