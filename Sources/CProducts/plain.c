// The plain kernels: what the others are compared with, and what runs where there are no others. Vectors of sixteen become
// those that the processor has.

#include "panels.h"

#include <string.h>

typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));

// As many rows as have their sums in registers.
#if defined(__aarch64__)
enum { HEIGHT = 6 };
#else
enum { HEIGHT = 3 };
#endif

INLINE void tile(
    const int rows, const float *restrict a, const float *restrict b, size_t depth, float *restrict c, size_t c_stride,
    int adds) {
  vec sums[HEIGHT];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) sums[r] = (vec){0};
  for (size_t d = 0; d < depth; d++) {
    vec row = *(const vec *)(b + d * WIDTH);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) sums[r] += row * a[r * DEPTH + d];
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++) {
    vec *to = (vec *)(c + r * c_stride);
    *to = adds ? *to + sums[r] : sums[r];
  }
}

void bertconv_tile_plain(
    size_t rows, const float *a, const float *b, size_t depth, const char *ahead, int lines, float *c,
    size_t c_stride, int adds) {
  (void)ahead, (void)lines;
  for (size_t r = 0; r < rows; r += HEIGHT) {
    const float *from = a + r * DEPTH;
    float *to = c + r * c_stride;
    switch (smaller(rows - r, HEIGHT)) {
      case 1: tile(1, from, b, depth, to, c_stride, adds); break;
      case 2: tile(2, from, b, depth, to, c_stride, adds); break;
#if defined(__aarch64__)
      case 4: tile(4, from, b, depth, to, c_stride, adds); break;
      case 5: tile(5, from, b, depth, to, c_stride, adds); break;
      case 6: tile(6, from, b, depth, to, c_stride, adds); break;
#endif
      default: tile(3, from, b, depth, to, c_stride, adds); break;
    }
  }
}

void bertconv_tile_of_bytes_plain(
    size_t rows, const uint8_t *a, size_t a_stride, const int8_t *b, size_t quads, const char *ahead, int lines,
    int32_t *c, size_t c_stride, int adds) {
  (void)ahead, (void)lines;
  for (size_t r = 0; r < rows; r++) {
    int32_t sums[WIDTH] = {0};
    for (size_t q = 0; q < quads; q++) {
      const uint8_t *x = a + r * a_stride + 4 * q;
      const int8_t *w = b + 4 * WIDTH * q;
      for (int i = 0; i < WIDTH; i++)
        sums[i] += x[0] * w[4 * i] + x[1] * w[4 * i + 1] + x[2] * w[4 * i + 2] + x[3] * w[4 * i + 3];
    }
    for (int i = 0; i < WIDTH; i++) c[r * c_stride + i] = adds ? c[r * c_stride + i] + sums[i] : sums[i];
  }
}

void bertconv_widen_halves_plain(const uint16_t *x, float *y, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = (uint32_t)x[i] << 16;
    memcpy(y + i, &bits, sizeof bits);
  }
}

void bertconv_columns_plain(
    const uint8_t *restrict x, size_t stride, size_t height, size_t first, size_t k, uint16_t *restrict columns) {
  // In blocks whose rows and columns stay in the cache.
  for (size_t d0 = first; d0 < k; d0 += 64)
    for (size_t r = 0; r < GROUP; r++)
      for (size_t d = d0; d < smaller(d0 + 64, k); d++) columns[d * GROUP + r] = r < height ? x[r * stride + d] : 0;
}

void bertconv_add_rests_plain(
    const struct rests *rests, const uint16_t *columns, int32_t *c, size_t c_stride, size_t rows, size_t width) {
  for (size_t i = 0; i < width; i++)
    for (uint32_t e = rests->start[i]; e < rests->start[i + 1]; e++) {
      const uint16_t *column = columns + rests->list[e].input * GROUP;
      for (size_t r = 0; r < rows; r++) c[r * c_stride + i] += column[r] * rests->list[e].weight;
    }
}
