// Moving elements about: the blocked transpose and the byte swap.

#include "CTensorIO.h"

#include <string.h>

// A square of 64 elements goes through a small one of its own: rows whose distance is a multiple of 4 KiB, as those of
// most models, share so few sets of the first-level cache that they would evict each other.
enum { BLOCK = 64 };

#define DEFINE_TRANSPOSE(type, name)                                                                       \
  static void name(const type *restrict source, size_t source_stride, type *restrict target,               \
                   size_t target_stride, size_t rows, size_t columns) {                                    \
    type square[BLOCK][BLOCK + 1];                                                                         \
    for (size_t r0 = 0; r0 < rows; r0 += BLOCK) {                                                          \
      size_t height = rows - r0 < BLOCK ? rows - r0 : BLOCK;                                               \
      for (size_t c0 = 0; c0 < columns; c0 += BLOCK) {                                                     \
        size_t width = columns - c0 < BLOCK ? columns - c0 : BLOCK;                                        \
        for (size_t r = 0; r < height; r++)                                                                \
          memcpy(square[r], source + (r0 + r) * source_stride + c0, width * sizeof(type));                 \
        for (size_t c = 0; c < width; c++)                                                                 \
          for (size_t r = 0; r < height; r++) target[(c0 + c) * target_stride + r0 + r] = square[r][c];    \
      }                                                                                                    \
    }                                                                                                      \
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
static void transpose_unaligned(const char *source, size_t source_stride, char *target, size_t target_stride,
                                size_t rows, size_t columns, size_t size) {
  for (size_t c = 0; c < columns; c++)
    for (size_t r = 0; r < rows; r++)
      memcpy(target + (c * target_stride + r) * size, source + (r * source_stride + c) * size, size);
}

void bertconv_transpose(const void *source, size_t source_stride, void *target, size_t target_stride, size_t rows,
                        size_t columns, size_t element_size) {
  size_t alignment = element_size == 16 ? 8 : element_size;
  if (((uintptr_t)source | (uintptr_t)target) % alignment) {
    transpose_unaligned(source, source_stride, target, target_stride, rows, columns, element_size);
    return;
  }
  switch (element_size) {
    case 1: transpose1(source, source_stride, target, target_stride, rows, columns); break;
    case 2: transpose2(source, source_stride, target, target_stride, rows, columns); break;
    case 4: transpose4(source, source_stride, target, target_stride, rows, columns); break;
    case 8: transpose8(source, source_stride, target, target_stride, rows, columns); break;
    case 16: transpose16(source, source_stride, target, target_stride, rows, columns); break;
    default: transpose_unaligned(source, source_stride, target, target_stride, rows, columns, element_size); break;
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

// Values whose exponent is all ones; the mantissa of infinity is zero, that of NaN is not. The first loop is vectorized, and
// finds none in nearly all tensors.
#define COUNT_SPECIAL(type, exponent, mantissa)                                                              \
  {                                                                                                          \
    const unsigned char *bytes = data;                                                                       \
    for (size_t start = 0; start < count; start += 4096) {                                                   \
      size_t end = count - start < 4096 ? count : start + 4096;                                              \
      type found = 0;                                                                                        \
      for (size_t i = start; i < end; i++) {                                                                 \
        type value;                                                                                          \
        memcpy(&value, bytes + i * sizeof value, sizeof value);                                              \
        found += (value & (exponent)) == (exponent);                                                         \
      }                                                                                                      \
      if (!found) continue;                                                                                  \
      for (size_t i = start; i < end; i++) {                                                                 \
        type value;                                                                                          \
        memcpy(&value, bytes + i * sizeof value, sizeof value);                                              \
        if ((value & (exponent)) != (exponent)) continue;                                                    \
        if (value & (mantissa)) ++*nan;                                                                      \
        else ++*infinite;                                                                                    \
      }                                                                                                      \
    }                                                                                                        \
  }

void bertconv_count_special(const void *data, size_t count, int kind, uint64_t *nan, uint64_t *infinite) {
  switch (kind) {
    case BERTCONV_F16_VALUES: COUNT_SPECIAL(uint16_t, 0x7C00, 0x03FF) break;
    case BERTCONV_BF16_VALUES: COUNT_SPECIAL(uint16_t, 0x7F80, 0x007F) break;
    case BERTCONV_F32_VALUES: COUNT_SPECIAL(uint32_t, 0x7F800000u, 0x007FFFFFu) break;
    case BERTCONV_F64_VALUES: COUNT_SPECIAL(uint64_t, 0x7FF0000000000000u, 0x000FFFFFFFFFFFFFu) break;
    default: break;
  }
}
