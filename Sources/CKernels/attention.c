// Attention of one head over one sequence, in blocks of queries whose scores stay in the cache: no matrix of all scores is
// written to memory.

#include "CKernels.h"

#include <math.h>
#include <string.h>

#include "vectors.h"

// Sixteen floats, at any address.
typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));

enum { WIDTH = 16, COLUMNS = 4, ROWS = 6, QUERIES = 48 };

static size_t padded(size_t count, size_t unit) { return (count + unit - 1) / unit * unit; }

size_t bertconv_attention_workspace(size_t keys, size_t size) {
  size_t wide = padded(keys, WIDTH), deep = padded(size, WIDTH);
  return size * wide + keys * deep + QUERIES * wide;
}

// c [rows, 16 columns] = a [rows, depth] · b [depth, 16 columns], as many sums in registers as a machine has.
INLINE void tile(
    const float *restrict a, size_t a_stride, const float *restrict b, size_t b_stride, size_t depth, float *restrict c,
    size_t c_stride, const int rows, const int columns) {
  vec sums[ROWS][COLUMNS];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < columns; v++) sums[r][v] = (vec){0};
  for (size_t d = 0; d < depth; d++) {
    vec row[COLUMNS];
#pragma clang loop unroll(full)
    for (int v = 0; v < columns; v++) row[v] = *(const vec *)(b + d * b_stride + v * WIDTH);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      float factor = a[r * a_stride + d];
#pragma clang loop unroll(full)
      for (int v = 0; v < columns; v++) sums[r][v] += row[v] * factor;
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < columns; v++) *(vec *)(c + r * c_stride + v * WIDTH) = sums[r][v];
}

// The same for any number of rows and of sixteens of columns.
INLINE void product(
    const float *restrict a, size_t a_stride, const float *restrict b, size_t b_stride, size_t depth, float *restrict c,
    size_t c_stride, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r += ROWS) {
    for (size_t v = 0; v < columns; v += COLUMNS) {
      const float *from = a + r * a_stride, *by = b + v * WIDTH;
      float *to = c + r * c_stride + v * WIDTH;
      size_t high = rows - r < ROWS ? rows - r : ROWS, wide = columns - v < COLUMNS ? columns - v : COLUMNS;
      // Each size is code of its own, so that its sums stay in registers.
#define TILE(h, w) \
  case h * 8 + w: tile(from, a_stride, by, b_stride, depth, to, c_stride, h, w); break;
#define TILES(h) TILE(h, 1) TILE(h, 2) TILE(h, 3) TILE(h, 4)
      switch (high * 8 + wide) { TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) }
#undef TILES
#undef TILE
    }
  }
}

VECTORIZED void bertconv_attend(
    const float *queries, size_t query_count, const float *keys, const float *values, size_t key_count, size_t stride,
    size_t size, float scale, int causal, const float *bias, const int32_t *columns, float *workspace, float *result,
    size_t result_stride) {
  if (key_count == 0) {
    for (size_t r = 0; r < query_count; r++) memset(result + r * result_stride, 0, size * sizeof(float));
    return;
  }
  size_t wide = padded(key_count, WIDTH), deep = padded(size, WIDTH);
  float *transposed = workspace;                     // [size, wide]: the keys, one per column
  float *padded_values = transposed + size * wide;   // [key_count, deep]: the values, then zeros
  float *scores = padded_values + key_count * deep;  // [QUERIES, wide]
  for (size_t start = 0; start < wide; start += WIDTH) {
    size_t count = start >= key_count ? 0 : key_count - start < WIDTH ? key_count - start : WIDTH;
    for (size_t d = 0; d < size; d++) {
      float *row = transposed + d * wide + start;
      for (size_t s = 0; s < count; s++) row[s] = keys[(start + s) * stride + d];
      for (size_t s = count; s < WIDTH; s++) row[s] = 0;
    }
  }
  for (size_t s = 0; s < key_count; s++) {
    memcpy(padded_values + s * deep, values + s * stride, size * sizeof(float));
    for (size_t d = size; d < deep; d++) padded_values[s * deep + d] = 0;
  }
  for (size_t first = 0; first < query_count; first += QUERIES) {
    size_t count = query_count - first < QUERIES ? query_count - first : QUERIES;
    // Keys that one of these queries sees.
    size_t seen = causal && first + count < key_count ? first + count : key_count;
    product(queries + first * stride, stride, transposed, wide, size, scores, wide, count, padded(seen, WIDTH) / WIDTH);
    for (size_t r = 0; r < count; r++) {
      float *restrict row = scores + r * wide;
      size_t own = causal && first + r + 1 < seen ? first + r + 1 : seen;
      float factor = attention_weights(row, own, scale, bias, columns, first + r);
      for (size_t c = 0; c < own; c++) row[c] *= factor;
      for (size_t c = own; c < seen; c++) row[c] = 0;
    }
    if (deep == size) {
      product(scores, wide, padded_values, deep, seen, result + first * result_stride, result_stride, count, deep / WIDTH);
    } else {
      // One row at a time through a line of its own: the columns beyond the head are another's.
      for (size_t r = 0; r < count; r++) {
        float line[WIDTH * 64];
        for (size_t d = 0; d < deep; d += WIDTH * 64) {
          size_t part = deep - d < WIDTH * 64 ? deep - d : WIDTH * 64;
          product(scores + r * wide, wide, padded_values + d, deep, seen, line, part, 1, part / WIDTH);
          size_t own = size - d < part ? size - d : part;
          memcpy(result + (first + r) * result_stride + d, line, own * sizeof(float));
        }
      }
    }
  }
}

VECTORIZED void bertconv_add_distance_bias(
    float *restrict x, const float *restrict bias, const int32_t *restrict columns, size_t rows, size_t row_columns,
    size_t stride) {
  for (size_t r = 0; r < rows; r++) add_distance_bias(x + r * stride, row_columns, 1, bias, columns, r);
}
