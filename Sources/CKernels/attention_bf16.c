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
  return bertconv_level() == BERTCONV_AVX512 && __builtin_cpu_supports("avx512bf16");
}

size_t bertconv_attention_bf16_workspace(size_t keys, size_t size) {
  size_t wide = padded(keys, WIDTH), deep = padded(size, WIDTH);
  // In floats: keys, values, queries and weights are pairs of halves of one.
  return (size + 1) / 2 * wide + (keys + 1) / 2 * deep + QUERIES * ((size + 1) / 2) + QUERIES * wide + QUERIES * (wide / 2);
}

// The pairs of a row; a last one alone with 0.
TARGET_INLINE void pairs_of_row(const uint16_t *restrict x, size_t count, uint32_t *restrict y) {
  size_t c = 0;
  for (; c + 2 * WIDTH <= count; c += 2 * WIDTH) _mm512_storeu_si512(y + c / 2, _mm512_loadu_si512(x + c));
  for (; c + 2 <= count; c += 2) y[c / 2] = x[c] | (uint32_t)x[c + 1] << 16;
  if (c < count) y[c / 2] = x[c];
}

// c [rows, 16 columns] = a [rows, pairs] · b [pairs, 16 columns], each row times its factor where there are factors; c of
// floats, or of halves of them.
TARGET_INLINE void tile(
    const uint32_t *restrict a, size_t a_stride, const uint32_t *restrict b, size_t b_stride, size_t pairs,
    const float *restrict factors, void *restrict c, size_t c_stride, const int narrow, const int rows,
    const int columns) {
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
    for (int v = 0; v < columns; v++) {
      if (factors) sums[r][v] = _mm512_mul_ps(sums[r][v], _mm512_set1_ps(factors[r]));
      size_t offset = r * c_stride + v * WIDTH;
      if (narrow)
        _mm256_storeu_si256((__m256i *)((uint16_t *)c + offset), (__m256i)_mm512_cvtneps_pbh(sums[r][v]));
      else
        _mm512_storeu_ps((float *)c + offset, sums[r][v]);
    }
}

TARGET_INLINE void product(
    const uint32_t *restrict a, size_t a_stride, const uint32_t *restrict b, size_t b_stride, size_t pairs,
    const float *restrict factors, void *restrict c, size_t c_stride, const int narrow, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r += ROWS) {
    for (size_t v = 0; v < columns; v += COLUMNS) {
      const uint32_t *from = a + r * a_stride, *by = b + v * WIDTH;
      char *to = (char *)c + (r * c_stride + v * WIDTH) * (narrow ? sizeof(uint16_t) : sizeof(float));
      size_t high = rows - r < ROWS ? rows - r : ROWS, wide = columns - v < COLUMNS ? columns - v : COLUMNS;
      const float *own = factors ? factors + r : NULL;
#define TILE(h, w) \
  case h * 8 + w: tile(from, a_stride, by, b_stride, pairs, own, to, c_stride, narrow, h, w); break;
#define TILES(h) TILE(h, 1) TILE(h, 2) TILE(h, 3) TILE(h, 4)
      switch (high * 8 + wide) { TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) }
#undef TILES
#undef TILE
    }
  }
}

// A row of scores to attention weights as pairs, zeros behind the last key; returns what the weighted sum is to be multiplied
// with so that the weights sum to 1. The weights themselves are at most 1, and 1 is one of them.
TARGET_INLINE float weigh(
    float *restrict row, size_t count, size_t wide, float scale, const float *bias, const int32_t *columns, size_t query,
    uint32_t *restrict pairs) {
  float factor = attention_weights(row, count, scale, bias, columns, query);
  for (size_t c = count; c < wide; c++) row[c] = 0;
  for (size_t c = 0; c < wide; c += WIDTH)
    _mm256_storeu_si256((__m256i *)(pairs + c / 2), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(row + c)));
  return factor;
}

// [half, wide]: pairs of features of the keys, one key per column; rows of pairs first, sixteen keys at a time.
TARGET_INLINE void transpose(
    const uint16_t *restrict keys, size_t key_count, size_t stride, size_t size, uint32_t *restrict lines,
    uint32_t *restrict transposed) {
  size_t wide = padded(key_count, WIDTH), half = (size + 1) / 2;
  for (size_t start = 0; start < wide; start += WIDTH) {
    size_t count = key_count - start < WIDTH ? key_count - start : WIDTH;
    for (size_t s = 0; s < count; s++) pairs_of_row(keys + (start + s) * stride, size, lines + s * half);
    for (size_t d = 0; d < half; d++) {
      uint32_t *restrict row = transposed + d * wide + start;
      for (size_t s = 0; s < count; s++) row[s] = lines[s * half + d];
      for (size_t s = count; s < WIDTH; s++) row[s] = 0;
    }
  }
}

// Two values, one below the other, as pairs: [⌈key_count / 2⌉, deep]; a last one alone with 0.
TARGET_INLINE void line_up(
    const uint16_t *restrict values, size_t key_count, size_t stride, size_t size, uint32_t *restrict lined) {
  size_t deep = padded(size, WIDTH);
  for (size_t s = 0; s < (key_count + 1) / 2; s++) {
    const uint16_t *restrict first = values + 2 * s * stride, *restrict second = first + stride;
    uint32_t *restrict line = lined + s * deep;
    if (2 * s + 1 < key_count)
      for (size_t d = 0; d < size; d++) line[d] = first[d] | (uint32_t)second[d] << 16;
    else
      for (size_t d = 0; d < size; d++) line[d] = first[d];
    for (size_t d = size; d < deep; d++) line[d] = 0;
  }
}

TARGET_INLINE void attend(
    const uint16_t *queries, size_t query_count, const uint16_t *keys, const uint16_t *values, size_t key_count,
    size_t stride, size_t size, float scale, int causal, const float *bias, const int32_t *columns, float *workspace,
    void *result, size_t result_stride, const int narrow) {
  size_t width = narrow ? sizeof(uint16_t) : sizeof(float);
  if (key_count == 0) {
    for (size_t r = 0; r < query_count; r++) memset((char *)result + r * result_stride * width, 0, size * width);
    return;
  }
  size_t wide = padded(key_count, WIDTH), deep = padded(size, WIDTH), half = (size + 1) / 2;
  uint32_t *transposed = (uint32_t *)workspace;
  uint32_t *lined = transposed + half * wide;
  uint32_t *asked = lined + (key_count + 1) / 2 * deep;   // [QUERIES, half]
  float *scores = (float *)(asked + QUERIES * half);      // [QUERIES, wide]
  uint32_t *weights = (uint32_t *)(scores + QUERIES * wide);  // [QUERIES, wide / 2]
  // Through the memory of the queries, which come later.
  transpose(keys, key_count, stride, size, asked, transposed);
  line_up(values, key_count, stride, size, lined);
  for (size_t start = 0; start < query_count; start += QUERIES) {
    size_t count = query_count - start < QUERIES ? query_count - start : QUERIES;
    for (size_t r = 0; r < count; r++) pairs_of_row(queries + (start + r) * stride, size, asked + r * half);
    // Keys that one of these queries sees.
    size_t seen = causal && start + count < key_count ? start + count : key_count;
    product(asked, half, transposed, wide, half, NULL, scores, wide, 0, count, padded(seen, WIDTH) / WIDTH);
    float factors[QUERIES];
    for (size_t r = 0; r < count; r++) {
      size_t own = causal && start + r + 1 < seen ? start + r + 1 : seen;
      factors[r] = weigh(
          scores + r * wide, own, wide, scale, bias, columns, start + r, weights + r * (wide / 2));
    }
    size_t pairs = (seen + 1) / 2;
    char *to = (char *)result + start * result_stride * width;
    if (deep == size) {
      product(weights, wide / 2, lined, deep, pairs, factors, to, result_stride, narrow, count, deep / WIDTH);
      continue;
    }
    // One row at a time through a line of its own: the columns beyond the head are another's.
    for (size_t r = 0; r < count; r++) {
      float line[WIDTH * 64];
      for (size_t d = 0; d < deep; d += WIDTH * 64) {
        size_t part = deep - d < WIDTH * 64 ? deep - d : WIDTH * 64, own = size - d < part ? size - d : part;
        product(
            weights + r * (wide / 2), wide / 2, lined + d, deep, pairs, factors + r, line, part, narrow, 1, part / WIDTH);
        memcpy(to + (r * result_stride + d) * width, line, own * width);
      }
    }
  }
}

TARGET void bertconv_attend_bf16(
    const uint16_t *queries, size_t query_count, const uint16_t *keys, const uint16_t *values, size_t key_count,
    size_t stride, size_t size, float scale, int causal, const float *bias, const int32_t *columns, float *workspace,
    void *result, size_t result_stride, int narrow) {
  if (narrow)
    attend(
        queries, query_count, keys, values, key_count, stride, size, scale, causal, bias, columns, workspace, result,
        result_stride, 1);
  else
    attend(
        queries, query_count, keys, values, key_count, stride, size, scale, causal, bias, columns, workspace, result,
        result_stride, 0);
}

#else

int bertconv_has_bf16_attention(void) { return 0; }
size_t bertconv_attention_bf16_workspace(size_t keys, size_t size) { return (void)keys, (void)size, 0; }
void bertconv_attend_bf16(
    const uint16_t *queries, size_t query_count, const uint16_t *keys, const uint16_t *values, size_t key_count,
    size_t stride, size_t size, float scale, int causal, const float *bias, const int32_t *columns, float *workspace,
    void *result, size_t result_stride, int narrow) {
  (void)queries, (void)query_count, (void)keys, (void)values, (void)key_count, (void)stride, (void)size, (void)scale;
  (void)causal, (void)bias, (void)columns, (void)workspace, (void)result, (void)result_stride, (void)narrow;
  __builtin_trap();
}

#endif
