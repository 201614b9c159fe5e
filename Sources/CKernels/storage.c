// Reduced storage to floats, when a model is opened.

#include "CKernels.h"

#include <string.h>

static float half_to_float(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t exponent = half >> 10 & 0x1F;
  uint32_t mantissa = half & 0x3FF;
  float value;
  if (exponent == 0) {
    // Zero, or a number below 2^-14: both are whole multiples of 2^-24.
    value = (float)mantissa * 0x1p-24f;
    return sign ? -value : value;
  }
  uint32_t bits = sign | (exponent == 31 ? 0xFF : exponent + 112) << 23 | mantissa << 13;
  memcpy(&value, &bits, sizeof value);
  return value;
}

void bertconv_from_f16(const void *source, float *target, size_t count) {
  const char *from = source;
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, from + 2 * i, sizeof half);
    target[i] = half_to_float(half);
  }
}

void bertconv_from_bf16(const void *source, float *target, size_t count) {
  const char *from = source;
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, from + 2 * i, sizeof half);
    uint32_t bits = (uint32_t)half << 16;
    memcpy(target + i, &bits, sizeof bits);
  }
}

void bertconv_from_f64(const void *source, float *target, size_t count) {
  const char *from = source;
  for (size_t i = 0; i < count; i++) {
    double value;
    memcpy(&value, from + 8 * i, sizeof value);
    target[i] = (float)value;
  }
}

void bertconv_from_i8(const void *source, const float *scale, float *target, size_t rows, size_t columns) {
  const int8_t *from = source;
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) target[r * columns + c] = (float)from[r * columns + c] * scale[r];
}
