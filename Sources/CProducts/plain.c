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
    const int rows, const float *restrict a, size_t a_stride, const float *restrict b, size_t steps, float *restrict c,
    size_t c_stride, int adds) {
  vec sums[HEIGHT];
  UNROLLED for (int r = 0; r < rows; r++) sums[r] = (vec){0};
  for (size_t d = 0; d < steps; d++) {
    vec row = *(const vec *)(b + d * WIDTH);
    UNROLLED for (int r = 0; r < rows; r++) sums[r] += row * a[(size_t)r * a_stride + d];
  }
  UNROLLED for (int r = 0; r < rows; r++) {
    vec *to = (vec *)(c + (size_t)r * c_stride);
    *to = adds ? *to + sums[r] : sums[r];
  }
}

void bertconv_tile_plain(
    size_t rows, size_t panels, const uint32_t *a, size_t a_stride, const uint32_t *b, size_t steps, const char *ahead, size_t lines,
    void *c, size_t c_stride, int adds) {
  (void)panels, (void)ahead, (void)lines;
  for (size_t r = 0; r < rows; r += HEIGHT) {
    const float *from = (const float *)(a + r * a_stride), *by = (const float *)b;
    float *to = (float *)c + r * c_stride;
    switch (smaller(rows - r, HEIGHT)) {
      case 1: tile(1, from, a_stride, by, steps, to, c_stride, adds); break;
      case 2: tile(2, from, a_stride, by, steps, to, c_stride, adds); break;
#if defined(__aarch64__)
      case 4: tile(4, from, a_stride, by, steps, to, c_stride, adds); break;
      case 5: tile(5, from, a_stride, by, steps, to, c_stride, adds); break;
      case 6: tile(6, from, a_stride, by, steps, to, c_stride, adds); break;
#endif
      default: tile(3, from, a_stride, by, steps, to, c_stride, adds); break;
    }
  }
}

void bertconv_byte_tile_plain(
    size_t rows, size_t panels, const uint32_t *a, size_t a_stride, const uint32_t *b, size_t steps, const char *ahead, size_t lines,
    void *c, size_t c_stride, int adds) {
  (void)panels, (void)ahead, (void)lines;
  for (size_t r = 0; r < rows; r++) {
    int32_t sums[WIDTH] = {0};
    for (size_t d = 0; d < steps; d++) {
      const uint8_t *x = (const uint8_t *)(a + r * a_stride + d);
      const int8_t *w = (const int8_t *)(b + WIDTH * d);
      for (int i = 0; i < WIDTH; i++)
        sums[i] += x[0] * w[4 * i] + x[1] * w[4 * i + 1] + x[2] * w[4 * i + 2] + x[3] * w[4 * i + 3];
    }
    int32_t *to = (int32_t *)c + r * c_stride;
    for (int i = 0; i < WIDTH; i++) to[i] = adds ? to[i] + sums[i] : sums[i];
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
