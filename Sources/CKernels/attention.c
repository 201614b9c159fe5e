// Attention of one head over one sequence, in blocks of queries whose scores stay in the cache: no matrix of all scores is
// written to memory.

#include "CKernels.h"

#include <math.h>
#include <string.h>

#include "vectors.h"

// Sixteen floats, at any address.
typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));

enum { WIDTH = 16, MAX_COLUMNS = 4, MAX_ROWS = 6, QUERIES = 48 };

static size_t padded(size_t count, size_t unit) { return (count + unit - 1) / unit * unit; }

size_t bertconv_attention_workspace(size_t keys, size_t size) {
  size_t wide = padded(keys, WIDTH), deep = padded(size, WIDTH);
  return size * wide + keys * deep + QUERIES * wide;
}

// c [rows, 16 columns] = a [rows, depth] · b, as many sums in registers as a machine has; b in panels [depth, 16].
INLINE void tile(
    const float *restrict a, size_t a_stride, const float *restrict b, size_t panel, size_t depth, float *restrict c,
    size_t c_stride, const int rows, const int columns) {
  vec sums[MAX_ROWS][MAX_COLUMNS];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < columns; v++) sums[r][v] = (vec){0};
  for (size_t d = 0; d < depth; d++) {
    vec row[MAX_COLUMNS];
#pragma clang loop unroll(full)
    for (int v = 0; v < columns; v++) row[v] = *(const vec *)(b + v * panel + d * WIDTH);
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

// The same for any number of rows and of panels, which are `panel` floats apart: tiles of at most `height` rows by `breadth`
// panels.
INLINE void product(
    const float *restrict a, size_t a_stride, const float *restrict b, size_t panel, size_t depth, float *restrict c,
    size_t c_stride, size_t rows, size_t columns, const int height, const int breadth) {
  for (size_t v = 0; v < columns; v += (size_t)breadth) {
    for (size_t r = 0; r < rows; r += (size_t)height) {
      const float *from = a + r * a_stride, *by = b + v * panel;
      float *to = c + r * c_stride + v * WIDTH;
      size_t high = rows - r < (size_t)height ? rows - r : (size_t)height;
      size_t wide = columns - v < (size_t)breadth ? columns - v : (size_t)breadth;
      // Each size is code of its own, so that its sums stay in registers.
#define TILE(h, w) \
  case h * 8 + w: \
    if (h <= height && w <= breadth) tile(from, a_stride, by, panel, depth, to, c_stride, h, w); \
    break;
#define TILES(h) TILE(h, 1) TILE(h, 2) TILE(h, 3) TILE(h, 4)
      switch (high * 8 + wide) { TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) }
#undef TILES
#undef TILE
    }
  }
}

// [key_count, size] to panels [size, 16]: one key per column, zeros behind the last one.
INLINE void transpose(const float *keys, size_t key_count, size_t stride, size_t size, float *restrict panels) {
  for (size_t start = 0; start < key_count; start += WIDTH) {
    size_t count = key_count - start < WIDTH ? key_count - start : WIDTH;
    float *restrict panel = panels + start * size;
    for (size_t d = 0; d < size; d++) {
      for (size_t s = 0; s < count; s++) panel[d * WIDTH + s] = keys[(start + s) * stride + d];
      for (size_t s = count; s < WIDTH; s++) panel[d * WIDTH + s] = 0;
    }
  }
}

// [key_count, size] to panels [key_count, 16] of its columns, zeros behind the last one.
INLINE void line_up(const float *values, size_t key_count, size_t stride, size_t size, float *restrict panels) {
  for (size_t start = 0; start < size; start += WIDTH) {
    size_t count = size - start < WIDTH ? size - start : WIDTH;
    float *restrict panel = panels + start * key_count;
    for (size_t s = 0; s < key_count; s++) {
      const float *restrict from = values + s * stride + start;
      for (size_t d = 0; d < count; d++) panel[s * WIDTH + d] = from[d];
      for (size_t d = count; d < WIDTH; d++) panel[s * WIDTH + d] = 0;
    }
  }
}

// `height` and `breadth` of tiles are those of which the sums stay in registers.
INLINE void attend(
    const float *queries, size_t query_count, const float *keys, const float *values, size_t key_count, size_t stride,
    size_t size, float scale, int causal, const float *bias, const int32_t *columns, float *workspace, float *result,
    size_t result_stride, const int height, const int breadth) {
  if (key_count == 0) {
    for (size_t r = 0; r < query_count; r++) memset(result + r * result_stride, 0, size * sizeof(float));
    return;
  }
  size_t wide = padded(key_count, WIDTH), deep = padded(size, WIDTH);
  float *transposed = workspace;
  float *lined = transposed + size * wide;
  float *scores = lined + key_count * deep;  // [QUERIES, wide]
  transpose(keys, key_count, stride, size, transposed);
  line_up(values, key_count, stride, size, lined);
  for (size_t first = 0; first < query_count; first += QUERIES) {
    size_t count = query_count - first < QUERIES ? query_count - first : QUERIES;
    // Keys that one of these queries sees.
    size_t seen = causal && first + count < key_count ? first + count : key_count;
    product(
        queries + first * stride, stride, transposed, size * WIDTH, size, scores, wide, count,
        padded(seen, WIDTH) / WIDTH, height, breadth);
    for (size_t r = 0; r < count; r++) {
      float *restrict row = scores + r * wide;
      size_t own = causal && first + r + 1 < seen ? first + r + 1 : seen;
      float factor = attention_weights(row, own, scale, bias, columns, first + r);
      for (size_t c = 0; c < own; c++) row[c] *= factor;
      for (size_t c = own; c < seen; c++) row[c] = 0;
    }
    float *to = result + first * result_stride;
    size_t whole = size / WIDTH;
    product(scores, wide, lined, key_count * WIDTH, seen, to, result_stride, count, whole, height, breadth);
    if (deep == size) continue;
    // The last panel through memory of its own: the columns beyond the head are another's.
    float last[QUERIES * WIDTH];
    product(scores, wide, lined + whole * key_count * WIDTH, 0, seen, last, WIDTH, count, 1, height, breadth);
    for (size_t r = 0; r < count; r++)
      memcpy(to + r * result_stride + whole * WIDTH, last + r * WIDTH, (size - whole * WIDTH) * sizeof(float));
  }
}

#define PARAMETERS                                                                                                   \
  const float *queries, size_t query_count, const float *keys, const float *values, size_t key_count, size_t stride, \
      size_t size, float scale, int causal, const float *bias, const int32_t *columns, float *workspace,             \
      float *result, size_t result_stride
#define ARGUMENTS                                                                                                  \
  queries, query_count, keys, values, key_count, stride, size, scale, causal, bias, columns, workspace, result,    \
      result_stride

#if defined(__x86_64__)
// 16, 16 and 32 registers of four, eight and sixteen floats.
static void attend_of_any(PARAMETERS) { attend(ARGUMENTS, 3, 1); }
FOR_AVX2 static void attend_of_avx2(PARAMETERS) { attend(ARGUMENTS, 6, 1); }
FOR_AVX512 static void attend_of_avx512(PARAMETERS) { attend(ARGUMENTS, 6, 4); }

void bertconv_attend(PARAMETERS) {
  switch (bertconv_level()) {
    case BERTCONV_AVX512: attend_of_avx512(ARGUMENTS); break;
    case BERTCONV_AVX2_VNNI:
    case BERTCONV_AVX2: attend_of_avx2(ARGUMENTS); break;
    default: attend_of_any(ARGUMENTS); break;
  }
}
#else
// 32 registers of four floats.
void bertconv_attend(PARAMETERS) { attend(ARGUMENTS, 6, 1); }
#endif

VECTORIZED(
    bertconv_add_distance_bias,
    (float *restrict x, const float *restrict bias, const int32_t *restrict columns, size_t rows,
    size_t row_columns, size_t stride),
    (x, bias, columns, rows, row_columns, stride)) {
  for (size_t r = 0; r < rows; r++) add_distance_bias(x + r * stride, row_columns, 1, bias, columns, r);
}
