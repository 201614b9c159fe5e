// Between floats and the smaller numbers that fast matrix products take: bfloat16, and 8 bits with a scale per row.

#include "CKernels.h"

#include <float.h>
#include <math.h>

#include "vectors.h"

VECTORIZED(
    bertconv_to_bf16,
    (const float *restrict x, size_t stride, uint16_t *restrict y, size_t rows, size_t columns),
    (x, stride, y, rows, columns)) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) y[r * columns + c] = bfloat16(x[r * stride + c]);
}

VECTORIZED(
    bertconv_round_to_bf16,
    (const float *restrict x, size_t stride, float *restrict y, size_t y_stride, size_t rows, size_t columns),
    (x, stride, y, y_stride, rows, columns)) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) y[r * y_stride + c] = as_float((uint32_t)bfloat16(x[r * stride + c]) << 16);
}

INLINE float activated(float v, const int activation, const int is_rough) {
  switch (activation) {
    case BERTCONV_THEN_GELU: return is_rough ? gelu_for_8_bits(v) : gelu(v);
    case BERTCONV_THEN_GELU_TANH: return gelu_tanh(v);
    case BERTCONV_THEN_RELU: return v < 0 ? 0 : v;
    default: return v;
  }
}

INLINE void narrow_rows(
    const float *restrict x, size_t stride, const float *restrict bias, const int activation, uint16_t *restrict y,
    size_t y_stride, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) {
      float v = x[r * stride + c];
      y[r * y_stride + c] = bfloat16(activated(bias ? v + bias[c] : v, activation, 0));
    }
}

// Each activation, and whether there is a bias, is a loop of its own.
#define FOR_EACH_ACTIVATION(call)                                          \
  switch (activation) {                                                    \
    case BERTCONV_THEN_GELU: call(BERTCONV_THEN_GELU) break;               \
    case BERTCONV_THEN_GELU_TANH: call(BERTCONV_THEN_GELU_TANH) break;     \
    case BERTCONV_THEN_RELU: call(BERTCONV_THEN_RELU) break;               \
    default: call(BERTCONV_THEN_NOTHING) break;                            \
  }

VECTORIZED(
    bertconv_narrow,
    (const float *restrict x, size_t stride, const float *restrict bias, int activation, uint16_t *restrict y,
    size_t y_stride, size_t rows, size_t columns),
    (x, stride, bias, activation, y, y_stride, rows, columns)) {
#define CALL(a)                                                            \
  if (bias)                                                                \
    narrow_rows(x, stride, bias, a, y, y_stride, rows, columns);           \
  else                                                                     \
    narrow_rows(x, stride, NULL, a, y, y_stride, rows, columns);
  FOR_EACH_ACTIVATION(CALL)
#undef CALL
}

INLINE void quantize(
    const float *restrict x, uint8_t *restrict y, size_t columns, float *restrict scale, int32_t *restrict zero) {
  // 0 is a value that counts: what the activation cuts off must stay exactly that.
  float low[LANES] = {0}, high[LANES] = {0}, nothing[LANES] = {0};
  size_t c = 0;
  for (; c + LANES <= columns; c += LANES)
    for (int l = 0; l < LANES; l++) {
      low[l] = x[c + l] < low[l] ? x[c + l] : low[l];
      high[l] = x[c + l] > high[l] ? x[c + l] : high[l];
      nothing[l] += x[c + l] * 0.0f;
    }
  for (; c < columns; c++) {
    low[0] = x[c] < low[0] ? x[c] : low[0];
    high[0] = x[c] > high[0] ? x[c] : high[0];
    nothing[0] += x[c] * 0.0f;
  }
  for (int l = 1; l < LANES; l++) {
    low[0] = low[l] < low[0] ? low[l] : low[0];
    high[0] = high[l] > high[0] ? high[l] : high[0];
    nothing[0] += nothing[l];
  }
  if (nothing[0] != 0) {
    // NaN or infinite values, which 8 bits cannot hold: every product of the row becomes NaN, and so is seen.
    memset(y, 0, columns);
    *scale = NAN;
    *zero = 0;
    return;
  }
  // Halves, since the whole may be too large for a float.
  float step = (0.5f * high[0] - 0.5f * low[0]) / 127.5f;
  if (!(step >= 1e-30f)) step = 1;
  float inverse = 1.0f / step;
  float offset = nearbyintf(-low[0] * inverse);
  for (c = 0; c < columns; c++) {
    // Adding 1.5 * 2^23 rounds to a whole number, whose low bits it is.
    float value = x[c] * inverse + offset;
    value = value < 0 ? 0 : value > 255 ? 255 : value;
    y[c] = (uint8_t)as_bits(value + 12582912.0f);
  }
  *scale = step;
  *zero = (int32_t)offset;
}

VECTORIZED(
    bertconv_quantize,
    (const float *restrict x, size_t stride, uint8_t *restrict y, float *restrict scales, int32_t *restrict zeros,
    size_t rows, size_t columns),
    (x, stride, y, scales, zeros, rows, columns)) {
  for (size_t r = 0; r < rows; r++) quantize(x + r * stride, y + r * columns, columns, scales + r, zeros + r);
}

// What a sum of products of quantized numbers stands for.
INLINE float widened(int32_t sum, int32_t zero, int32_t weight_sum, float scale) {
  return (float)(sum - zero * weight_sum) * scale;
}

INLINE void widen(
    float *restrict row, float scale, int32_t zero, const float *restrict weight_scales,
    const int32_t *restrict weight_sums, const float *restrict bias, const int activation, const int is_rough,
    size_t columns) {
  for (size_t c = 0; c < columns; c++) {
    int32_t sum;
    memcpy(&sum, row + c, sizeof sum);
    float v = widened(sum, zero, weight_sums[c], scale * weight_scales[c]);
    if (bias) v += bias[c];
    row[c] = activated(v, activation, is_rough);
  }
}

// `is_rough` where 8 bits of the result are kept.
INLINE void widen_any(
    float *restrict row, float scale, int32_t zero, const float *restrict weight_scales,
    const int32_t *restrict weight_sums, const float *restrict bias, int activation, const int is_rough,
    size_t columns) {
#define CALL(a)                                                                      \
  if (bias)                                                                          \
    widen(row, scale, zero, weight_scales, weight_sums, bias, a, is_rough, columns); \
  else                                                                               \
    widen(row, scale, zero, weight_scales, weight_sums, NULL, a, is_rough, columns);
  FOR_EACH_ACTIVATION(CALL)
#undef CALL
}

VECTORIZED(
    bertconv_widen,
    (float *restrict x, size_t stride, const float *scales, const int32_t *zeros, const float *weight_scales,
    const int32_t *weight_sums, const float *bias, int activation, size_t rows, size_t columns),
    (x, stride, scales, zeros, weight_scales, weight_sums, bias, activation, rows, columns)) {
  for (size_t r = 0; r < rows; r++)
    widen_any(x + r * stride, scales[r], zeros[r], weight_scales, weight_sums, bias, activation, 0, columns);
}

VECTORIZED(
    bertconv_widen_to_bf16,
    (const int32_t *restrict x, size_t stride, const float *scales, const int32_t *zeros,
    const float *restrict weight_scales, const int32_t *restrict weight_sums, const float *restrict bias,
    uint16_t *restrict y, size_t y_stride, size_t rows, size_t columns),
    (x, stride, scales, zeros, weight_scales, weight_sums, bias, y, y_stride, rows, columns)) {
  for (size_t r = 0; r < rows; r++) {
    const int32_t *restrict row = x + r * stride;
    float scale = scales[r];
    int32_t zero = zeros[r];
    for (size_t c = 0; c < columns; c++)
      y[r * y_stride + c] = bfloat16(widened(row[c], zero, weight_sums[c], scale * weight_scales[c]) + bias[c]);
  }
}

VECTORIZED(
    bertconv_requantize,
    (float *restrict x, const float *scales, const int32_t *zeros, const float *weight_scales,
    const int32_t *weight_sums, const float *bias, int activation, uint8_t *restrict y, float *restrict new_scales,
    int32_t *restrict new_zeros, size_t rows, size_t columns),
    (x, scales, zeros, weight_scales, weight_sums, bias, activation, y, new_scales, new_zeros, rows, columns)) {
  for (size_t r = 0; r < rows; r++) {
    float *row = x + r * columns;
    widen_any(row, scales[r], zeros[r], weight_scales, weight_sums, bias, activation, 1, columns);
    quantize(row, y + r * columns, columns, new_scales + r, new_zeros + r);
  }
}

VECTORIZED(
    bertconv_quantize_weights,
    (const float *restrict weights, int8_t *restrict y, float *restrict scales, size_t rows, size_t columns),
    (weights, y, scales, rows, columns)) {
  for (size_t r = 0; r < rows; r++) {
    const float *row = weights + r * columns;
    float largest = 0, nothing = 0;
    for (size_t c = 0; c < columns; c++) {
      float magnitude = fabsf(row[c]);
      largest = magnitude > largest ? magnitude : largest;
      nothing += magnitude * 0.0f;
    }
    if (nothing != 0) {
      // As above: the output becomes NaN, and so is seen.
      memset(y + r * columns, 0, columns);
      scales[r] = NAN;
      continue;
    }
    float scale = largest == 0 ? 1 : largest / 127.0f < FLT_MIN ? FLT_MIN : largest / 127.0f;
    scales[r] = scale;
    for (size_t c = 0; c < columns; c++) {
      float value = row[c] / scale;
      value = value < -127 ? -127 : value > 127 ? 127 : value;
      y[r * columns + c] = (int8_t)(int32_t)(as_bits(value + 12582912.0f) - as_bits(12582912.0f));
    }
  }
}

VECTORIZED(
    bertconv_row_sums,
    (const int8_t *restrict x, int32_t *restrict sums, size_t rows, size_t columns),
    (x, sums, rows, columns)) {
  for (size_t r = 0; r < rows; r++) {
    int32_t sum = 0;
    for (size_t c = 0; c < columns; c++) sum += x[r * columns + c];
    sums[r] = sum;
  }
}
