// Attention as attention.c has it, with products of bfloat16 pairs summed in f32, for processors with AVX512-BF16.

#include "CKernels.h"

#include <string.h>

#include "vectors.h"

#if defined(__x86_64__)

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")))
#define TARGET_INLINE static inline __attribute__((always_inline)) TARGET

enum { WIDTH = 16, COLUMNS = 4, ROWS = 6, QUERIES = 48 };

static size_t padded(size_t count, size_t unit) { return (count + unit - 1) / unit * unit; }

int bertconv_has_bf16_attention(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

size_t bertconv_attention_bf16_workspace(size_t keys, size_t size) {
  size_t wide = padded(keys, WIDTH), deep = padded(size, WIDTH);
  // In floats: keys, values, queries and weights are pairs of halves of one.
  return (size + 1) / 2 * wide + (keys + 1) / 2 * deep + QUERIES * ((size + 1) / 2) + QUERIES * wide + QUERIES * (wide / 2);
}

// Both halves rounded to nearest, ties to even, the first in the lower one.
TARGET_INLINE uint32_t pair(float first, float second) {
  return bfloat16(first) | (uint32_t)bfloat16(second) << 16;
}

// Neighbours of a row, each times `factor`, as pairs; a last one alone beside 0.
TARGET_INLINE void pairs_of_row(const float *restrict x, size_t count, float factor, uint32_t *restrict y) {
  size_t c = 0;
  for (; c + WIDTH <= count; c += WIDTH) {
    __m512 values = _mm512_mul_ps(_mm512_loadu_ps(x + c), _mm512_set1_ps(factor));
    _mm256_storeu_si256((__m256i *)(y + c / 2), (__m256i)_mm512_cvtneps_pbh(values));
  }
  for (; c < count; c += 2) y[c / 2] = pair(x[c] * factor, c + 1 < count ? x[c + 1] * factor : 0);
}

// c [rows, 16 columns] = a [rows, pairs] · b [pairs, 16 columns].
TARGET_INLINE void tile(
    const uint32_t *restrict a, size_t a_stride, const uint32_t *restrict b, size_t b_stride, size_t pairs,
    float *restrict c, size_t c_stride, const int rows, const int columns) {
  __m512 sums[ROWS][COLUMNS];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < columns; v++) sums[r][v] = _mm512_setzero_ps();
  for (size_t p = 0; p < pairs; p++) {
    __m512bh row[COLUMNS];
#pragma clang loop unroll(full)
    for (int v = 0; v < columns; v++) row[v] = (__m512bh)_mm512_loadu_si512(b + p * b_stride + v * WIDTH);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      __m512bh factor = (__m512bh)_mm512_set1_epi32((int)a[r * a_stride + p]);
#pragma clang loop unroll(full)
      for (int v = 0; v < columns; v++) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], row[v], factor);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < columns; v++) _mm512_storeu_ps(c + r * c_stride + v * WIDTH, sums[r][v]);
}

TARGET_INLINE void product(
    const uint32_t *restrict a, size_t a_stride, const uint32_t *restrict b, size_t b_stride, size_t pairs,
    float *restrict c, size_t c_stride, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r += ROWS) {
    for (size_t v = 0; v < columns; v += COLUMNS) {
      const uint32_t *from = a + r * a_stride, *by = b + v * WIDTH;
      float *to = c + r * c_stride + v * WIDTH;
      size_t high = rows - r < ROWS ? rows - r : ROWS, wide = columns - v < COLUMNS ? columns - v : COLUMNS;
#define TILE(h, w) \
  case h * 8 + w: tile(from, a_stride, by, b_stride, pairs, to, c_stride, h, w); break;
#define TILES(h) TILE(h, 1) TILE(h, 2) TILE(h, 3) TILE(h, 4)
      switch (high * 8 + wide) { TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) }
#undef TILES
#undef TILE
    }
  }
}

// A row of scores to weights that sum to 1, as pairs; zeros behind the last key.
TARGET_INLINE void weigh(float *restrict row, size_t count, size_t wide, float scale, uint32_t *restrict pairs) {
  float factor = exponentials(row, count, scale);
  for (size_t c = count; c < wide; c++) row[c] = 0;
  pairs_of_row(row, wide, factor, pairs);
}

TARGET void bertconv_attend_bf16(
    const float *queries, size_t query_count, const float *keys, const float *values, size_t key_count, size_t stride,
    size_t size, float scale, float *workspace, float *result, size_t result_stride) {
  if (key_count == 0) {
    for (size_t r = 0; r < query_count; r++) memset(result + r * result_stride, 0, size * sizeof(float));
    return;
  }
  size_t wide = padded(key_count, WIDTH), deep = padded(size, WIDTH), half = (size + 1) / 2;
  uint32_t *turned = (uint32_t *)workspace;               // [half, wide]: pairs of features of the keys, one key a column
  uint32_t *lined = turned + half * wide;                 // [⌈key_count / 2⌉, deep]: pairs of values
  uint32_t *asked = lined + (key_count + 1) / 2 * deep;   // [QUERIES, half]
  float *scores = (float *)(asked + QUERIES * half);      // [QUERIES, wide]
  uint32_t *weights = (uint32_t *)(scores + QUERIES * wide);  // [QUERIES, wide / 2]
  // Rows of pairs first, sixteen keys at a time, then turned: through the memory of the queries, which come later.
  for (size_t start = 0; start < wide; start += WIDTH) {
    size_t count = start >= key_count ? 0 : key_count - start < WIDTH ? key_count - start : WIDTH;
    for (size_t s = 0; s < count; s++) pairs_of_row(keys + (start + s) * stride, size, 1, asked + s * half);
    for (size_t d = 0; d < half; d++) {
      uint32_t *row = turned + d * wide + start;
      for (size_t s = 0; s < count; s++) row[s] = asked[s * half + d];
      for (size_t s = count; s < WIDTH; s++) row[s] = 0;
    }
  }
  for (size_t s = 0; s < (key_count + 1) / 2; s++) {
    const float *restrict first = values + 2 * s * stride, *restrict second = first + stride;
    uint32_t *restrict line = lined + s * deep;
    if (2 * s + 1 < key_count)
      for (size_t d = 0; d < size; d++) line[d] = pair(first[d], second[d]);
    else
      for (size_t d = 0; d < size; d++) line[d] = pair(first[d], 0);
    for (size_t d = size; d < deep; d++) line[d] = 0;
  }
  for (size_t start = 0; start < query_count; start += QUERIES) {
    size_t count = query_count - start < QUERIES ? query_count - start : QUERIES;
    for (size_t r = 0; r < count; r++) pairs_of_row(queries + (start + r) * stride, size, 1, asked + r * half);
    product(asked, half, turned, wide, half, scores, wide, count, wide / WIDTH);
    for (size_t r = 0; r < count; r++) weigh(scores + r * wide, key_count, wide, scale, weights + r * (wide / 2));
    size_t pairs = (key_count + 1) / 2;
    float *to = result + start * result_stride;
    if (deep == size) {
      product(weights, wide / 2, lined, deep, pairs, to, result_stride, count, deep / WIDTH);
      continue;
    }
    // One row at a time through a line of its own: the columns beyond the head are another's.
    for (size_t r = 0; r < count; r++) {
      float line[WIDTH * 64];
      for (size_t d = 0; d < deep; d += WIDTH * 64) {
        size_t part = deep - d < WIDTH * 64 ? deep - d : WIDTH * 64, own = size - d < part ? size - d : part;
        product(weights + r * (wide / 2), wide / 2, lined + d, deep, pairs, line, part, 1, part / WIDTH);
        memcpy(to + r * result_stride + d, line, own * sizeof(float));
      }
    }
  }
}

#else

int bertconv_has_bf16_attention(void) { return 0; }
size_t bertconv_attention_bf16_workspace(size_t keys, size_t size) { return bertconv_attention_workspace(keys, size); }
void bertconv_attend_bf16(
    const float *queries, size_t query_count, const float *keys, const float *values, size_t key_count, size_t stride,
    size_t size, float scale, float *workspace, float *result, size_t result_stride) {
  bertconv_attend(
      queries, query_count, keys, values, key_count, stride, size, scale, workspace, result, result_stride);
}

#endif
