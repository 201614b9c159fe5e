// The plain versions: definitions in double precision.

#include "CKernels.h"

#include <math.h>

void bertconv_multiply_plain(
    int transposed, size_t m, size_t n, size_t k, float scale, const float *a, size_t a_stride, const float *b,
    size_t b_stride, float keeping, float *c, size_t c_stride) {
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) {
      double sum = 0;
      for (size_t d = 0; d < k; d++)
        sum += (double)a[i * a_stride + d] * (transposed ? b[j * b_stride + d] : b[d * b_stride + j]);
      // A factor of 0 leaves out what c held, even where that was not a number.
      double kept = keeping == 0 ? 0 : (double)keeping * c[i * c_stride + j];
      c[i * c_stride + j] = (float)(scale * sum + kept);
    }
}

#define FOR_EACH(expression)                               \
  for (size_t r = 0; r < rows; r++)                        \
    for (size_t c = 0; c < columns; c++) {                 \
      double v = (double)x[r * stride + c] + bias[c];      \
      x[r * stride + c] = (float)(expression);             \
    }

void bertconv_bias_plain(float *x, const float *bias, size_t rows, size_t columns, size_t stride) { FOR_EACH(v) }

void bertconv_bias_gelu_plain(float *x, const float *bias, size_t rows, size_t columns, size_t stride) {
  FOR_EACH(0.5 * v * erfc(-v * 0.70710678118654752440))
}

void bertconv_bias_gelu_tanh_plain(float *x, const float *bias, size_t rows, size_t columns, size_t stride) {
  FOR_EACH(0.5 * v * (1 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v))))
}

void bertconv_bias_relu_plain(float *x, const float *bias, size_t rows, size_t columns, size_t stride) {
  FOR_EACH(v < 0 ? 0 : v)
}

void bertconv_bias_tanh_plain(float *x, const float *bias, size_t rows, size_t columns, size_t stride) {
  FOR_EACH(tanh(v))
}

void bertconv_add_plain(float *x, const float *y, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] += y[i];
}

void bertconv_layer_norm_plain(
    float *x, const float *gamma, const float *beta, float epsilon, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r++) {
    float *row = x + r * columns;
    double mean = 0, variance = 0;
    for (size_t c = 0; c < columns; c++) mean += row[c];
    mean /= (double)columns;
    for (size_t c = 0; c < columns; c++) variance += (row[c] - mean) * (row[c] - mean);
    variance /= (double)columns;
    for (size_t c = 0; c < columns; c++)
      row[c] = (float)((row[c] - mean) / sqrt(variance + epsilon) * gamma[c] + beta[c]);
  }
}

void bertconv_deviation_norm_plain(
    float *x, const float *gamma, const float *beta, float epsilon, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r++) {
    float *row = x + r * columns;
    double mean = 0, squares = 0;
    for (size_t c = 0; c < columns; c++) mean += row[c];
    mean /= (double)columns;
    for (size_t c = 0; c < columns; c++) squares += (row[c] - mean) * (row[c] - mean);
    double deviation = sqrt(squares / ((double)columns - 1));
    for (size_t c = 0; c < columns; c++)
      row[c] = (float)((row[c] - mean) / (deviation + epsilon) * gamma[c] + beta[c]);
  }
}

void bertconv_residual_layer_norm_plain(
    float *x, const float *bias, const float *residual, const float *gamma, const float *beta, float epsilon,
    size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) x[r * columns + c] += bias[c] + residual[r * columns + c];
  bertconv_layer_norm_plain(x, gamma, beta, epsilon, rows, columns);
}

void bertconv_affine_plain(float *x, const float *gamma, const float *beta, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) x[r * columns + c] = (float)((double)x[r * columns + c] * gamma[c] + beta[c]);
}

void bertconv_residual_affine_plain(
    float *x, const float *bias, const float *residual, const float *gamma, const float *beta, size_t rows,
    size_t columns) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) x[r * columns + c] += bias[c] + residual[r * columns + c];
  bertconv_affine_plain(x, gamma, beta, rows, columns);
}

void bertconv_softmax_plain(float *x, size_t rows, size_t columns, size_t stride) {
  for (size_t r = 0; r < rows; r++) {
    float *row = x + r * stride;
    double max = -INFINITY, sum = 0;
    for (size_t c = 0; c < columns; c++)
      if (row[c] > max) max = row[c];
    for (size_t c = 0; c < columns; c++) sum += exp(row[c] - max);
    for (size_t c = 0; c < columns; c++) row[c] = (float)(exp(row[c] - max) / sum);
  }
}

// The scaled score of a query and a key, with what is added for their distance.
static double score(
    const float *query, const float *key, size_t size, float scale, const float *bias, const int32_t *columns, size_t q,
    size_t k) {
  double sum = 0;
  for (size_t d = 0; d < size; d++) sum += (double)query[d] * key[d];
  ptrdiff_t distance = columns ? (ptrdiff_t)columns[k] - columns[q] : (ptrdiff_t)k - (ptrdiff_t)q;
  return sum * scale + (bias ? bias[distance] : 0);
}

void bertconv_attend_plain(
    const float *queries, size_t query_count, const float *keys, const float *values, size_t key_count, size_t stride,
    size_t size, float scale, int causal, const float *bias, const int32_t *columns, float *result,
    size_t result_stride) {
  for (size_t q = 0; q < query_count; q++) {
    size_t seen = causal && q < key_count ? q + 1 : key_count;
    const float *query = queries + q * stride;
#define SCORE(k) score(query, keys + (k) * stride, size, scale, bias, columns, q, k)
    double max = -INFINITY, sum = 0;
    for (size_t k = 0; k < seen; k++) max = fmax(max, SCORE(k));
    for (size_t k = 0; k < seen; k++) sum += exp(SCORE(k) - max);
    for (size_t d = 0; d < size; d++) {
      double mean = 0;
      for (size_t k = 0; k < seen; k++) mean += exp(SCORE(k) - max) / sum * values[k * stride + d];
      result[q * result_stride + d] = (float)mean;
    }
#undef SCORE
  }
}

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

void bertconv_lstm_plain(const float *gates, float *cell, float *hidden, size_t rows, size_t size) {
  for (size_t r = 0; r < rows; r++) {
    const float *i = gates + r * 4 * size, *f = i + size, *g = f + size, *o = g + size;
    for (size_t c = 0; c < size; c++) {
      double kept = sigmoid(f[c]) * cell[r * size + c] + sigmoid(i[c]) * tanh(g[c]);
      cell[r * size + c] = (float)kept;
      hidden[r * size + c] = (float)(sigmoid(o[c]) * tanh(kept));
    }
  }
}
