// The fast versions: loops that the compiler vectorizes; see vectors.h.

#include "CKernels.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "vectors.h"

#define DEFINE_BIAS(name, expression)                                                                       \
  VECTORIZED(                                                                                               \
      name, (float *restrict x, const float *restrict bias, size_t rows, size_t columns, size_t stride),    \
      (x, bias, rows, columns, stride)) {                                                                   \
    for (size_t r = 0; r < rows; r++) {                                                                     \
      float *restrict row = x + r * stride;                                                                 \
      for (size_t c = 0; c < columns; c++) {                                                                \
        float v = row[c] + bias[c];                                                                         \
        row[c] = expression;                                                                                \
      }                                                                                                     \
    }                                                                                                       \
  }

DEFINE_BIAS(bertconv_bias, v)
DEFINE_BIAS(bertconv_bias_gelu, gelu(v))
DEFINE_BIAS(bertconv_bias_gelu_tanh, gelu_tanh(v))
DEFINE_BIAS(bertconv_bias_relu, v < 0 ? 0 : v)

// One row per sequence passes through here: exactness counts, not speed.
void bertconv_bias_tanh(float *x, const float *bias, size_t rows, size_t columns, size_t stride) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) x[r * stride + c] = tanhf(x[r * stride + c] + bias[c]);
}

VECTORIZED(
    bertconv_relu,
    (float *restrict x, size_t rows, size_t columns, size_t stride),
    (x, rows, columns, stride)) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) x[r * stride + c] = x[r * stride + c] < 0 ? 0 : x[r * stride + c];
}

VECTORIZED(
    bertconv_add,
    (float *restrict x, const float *restrict y, size_t count),
    (x, y, count)) {
  for (size_t i = 0; i < count; i++) x[i] += y[i];
}

// The epsilon lies inside the root with the variance of all, or outside of it with that of a sample.
INLINE void normalize(
    float *restrict row, const float *restrict gamma, const float *restrict beta, float epsilon, size_t columns,
    const int of_sample) {
  float lanes[LANES] = {0};
  size_t c = 0;
  for (; c + LANES <= columns; c += LANES)
    for (int l = 0; l < LANES; l++) lanes[l] += row[c + l];
  for (; c < columns; c++) lanes[0] += row[c];
  float mean = sum_of_lanes(lanes) / (float)columns;

  float squares[LANES] = {0};
  for (c = 0; c + LANES <= columns; c += LANES)
    for (int l = 0; l < LANES; l++) squares[l] += (row[c + l] - mean) * (row[c + l] - mean);
  for (; c < columns; c++) squares[0] += (row[c] - mean) * (row[c] - mean);
  float sum = sum_of_lanes(squares);
  if (!(sum <= FLT_MAX)) {
    // The squares do not fit a float; the plain versions compute in double. NaN or infinity in the row becomes NaN.
    if (of_sample) bertconv_deviation_norm_plain(row, gamma, beta, epsilon, 1, columns);
    else bertconv_layer_norm_plain(row, gamma, beta, epsilon, 1, columns);
    return;
  }
  float scale = of_sample ? 1.0f / (sqrtf(sum / ((float)columns - 1)) + epsilon)
                          : 1.0f / sqrtf(sum / (float)columns + epsilon);

  for (c = 0; c < columns; c++) row[c] = (row[c] - mean) * scale * gamma[c] + beta[c];
}

VECTORIZED(
    bertconv_layer_norm,
    (float *restrict x, const float *restrict gamma, const float *restrict beta, float epsilon, size_t rows,
    size_t columns),
    (x, gamma, beta, epsilon, rows, columns)) {
  for (size_t r = 0; r < rows; r++) normalize(x + r * columns, gamma, beta, epsilon, columns, 0);
}

VECTORIZED(
    bertconv_deviation_norm,
    (float *restrict x, const float *restrict gamma, const float *restrict beta, float epsilon, size_t rows,
    size_t columns),
    (x, gamma, beta, epsilon, rows, columns)) {
  for (size_t r = 0; r < rows; r++) normalize(x + r * columns, gamma, beta, epsilon, columns, 1);
}

VECTORIZED(
    bertconv_residual_layer_norm,
    (float *restrict x, const float *restrict bias, const float *restrict residual, const float *restrict gamma,
    const float *restrict beta, float epsilon, size_t rows, size_t columns),
    (x, bias, residual, gamma, beta, epsilon, rows, columns)) {
  for (size_t r = 0; r < rows; r++) {
    float *restrict row = x + r * columns;
    const float *restrict other = residual + r * columns;
    for (size_t c = 0; c < columns; c++) row[c] += bias[c] + other[c];
    normalize(row, gamma, beta, epsilon, columns, 0);
  }
}

VECTORIZED(
    bertconv_affine,
    (float *restrict x, const float *restrict gamma, const float *restrict beta, size_t rows, size_t columns),
    (x, gamma, beta, rows, columns)) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) x[r * columns + c] = x[r * columns + c] * gamma[c] + beta[c];
}

VECTORIZED(
    bertconv_residual_affine,
    (float *restrict x, const float *restrict bias, const float *restrict residual, const float *restrict gamma,
    const float *restrict beta, size_t rows, size_t columns),
    (x, bias, residual, gamma, beta, rows, columns)) {
  for (size_t r = 0; r < rows; r++) {
    float *restrict row = x + r * columns;
    const float *restrict other = residual + r * columns;
    for (size_t c = 0; c < columns; c++) row[c] = (row[c] + bias[c] + other[c]) * gamma[c] + beta[c];
  }
}

VECTORIZED(
    bertconv_softmax,
    (float *restrict x, size_t rows, size_t columns, size_t stride),
    (x, rows, columns, stride)) {
  for (size_t r = 0; r < rows; r++) {
    float *restrict row = x + r * stride;
    float scale = exponentials(row, columns, 1);
    for (size_t c = 0; c < columns; c++) row[c] *= scale;
  }
}

INLINE float sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

// tanh x = x - x³/3 + 2x⁵/15 … where the difference of two near ones would lose its digits.
INLINE float fast_tanh(float x) {
  float s = x * x;
  float small = x * (1 + s * (-0.333333333f + s * (0.133333333f + s * (-0.0539682540f + s * 0.0218694885f))));
  float large = 2.0f * sigmoid(2.0f * x) - 1.0f;
  return s < 0.04f ? small : large;
}

VECTORIZED(
    bertconv_lstm,
    (const float *restrict gates, float *restrict cell, float *restrict hidden, size_t rows, size_t size),
    (gates, cell, hidden, rows, size)) {
  for (size_t r = 0; r < rows; r++) {
    const float *restrict i = gates + r * 4 * size, *restrict f = i + size, *restrict g = f + size;
    const float *restrict o = g + size;
    float *restrict kept = cell + r * size, *restrict out = hidden + r * size;
    for (size_t c = 0; c < size; c++) kept[c] = sigmoid(f[c]) * kept[c] + sigmoid(i[c]) * fast_tanh(g[c]);
    for (size_t c = 0; c < size; c++) out[c] = sigmoid(o[c]) * fast_tanh(kept[c]);
  }
}
