// What the fast kernels share: code for each level of x86-64, and the functions that loops are made of. No -ffast-math: sums run in a fixed number of lanes, so that they vectorize in a fixed order.

#ifndef BERTCONV_VECTORS_H
#define BERTCONV_VECTORS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "CKernels.h"

// Defines a function as its loops, which follow: once for each level, each of which the compiler vectorizes for itself, and one
// that calls what the level of the thread says. So the level can be lowered, and tests compare them.
#if defined(__x86_64__)
// The features, not the names of the levels (arch=x86-64-v4): with these the compiler prefers vectors of half the width.
#define FOR_AVX2 __attribute__((target("avx2,fma,bmi,bmi2")))
#define FOR_AVX512 __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi,bmi2")))
#define VECTORIZED(name, parameters, arguments)                                                \
  INLINE void name##_loops parameters;                                                         \
  static void name##_of_any parameters { name##_loops arguments; }                             \
  FOR_AVX2 static void name##_of_avx2 parameters { name##_loops arguments; }                   \
  FOR_AVX512 static void name##_of_avx512 parameters { name##_loops arguments; }               \
  void name parameters {                                                                       \
    switch (bertconv_level()) {                                                                \
      case BERTCONV_AVX512: name##_of_avx512 arguments; break;                                 \
      case BERTCONV_AVX2_VNNI:                                                                 \
      case BERTCONV_AVX2: name##_of_avx2 arguments; break;                                     \
      default: name##_of_any arguments; break;                                                 \
    }                                                                                          \
  }                                                                                            \
  INLINE void name##_loops parameters
#else
#define VECTORIZED(name, parameters, arguments) void name parameters
#endif
#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };

INLINE float as_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

INLINE uint32_t as_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// exp(x) within 2 units of the last place for -87 <= x <= 88; smaller x count as -87 (1.6e-38), larger ones as 88.
INLINE float fast_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  // x = n ln 2 + r with |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to a whole number, whose low bits are n.
  float shifted = x * 1.44269504088896341f + 12582912.0f;
  float n = shifted - 12582912.0f;
  // ln 2 in two parts, the first with few bits so that n times it is exact.
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  // The polynomial of the Cephes library's expf.
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  return p * as_float((as_bits(shifted) + 127u) << 23);
}

// x Phi(x), with Phi the normal distribution: max(x, 0) - |x| exp(-x^2 / 2) R(|x|), where R(a) = exp(a^2 / 2) Phi(-a)
// is a polynomial in 1 / (1 + 0.26 a), fitted on 0 <= a <= 14 to a relative error of 5.5e-9. Unlike
// 1 + erf(x / sqrt 2) it loses no digits for negative x.
INLINE float gelu(float x) {
  float a = x < 0 ? -x : x;
  a = a > 14.0f ? 14.0f : a;
  float t = 1.0f / (1.0f + 0.26f * a);
  float p = 0.03392576426267624f;
  p = p * t - 0.17051638662815094f;
  p = p * t + 0.290976345539093f;
  p = p * t - 0.20080292224884033f;
  p = p * t + 0.20011015236377716f;
  p = p * t + 0.031211860477924347f;
  p = p * t + 0.10947998613119125f;
  p = p * t + 0.1017158031463623f;
  p = p * t + 0.10390656441450119f;
  p = p * t - 7.16386603016872e-06f;
  return (x > 0 ? x : 0) - a * (p * fast_exp(-0.5f * a * a));
}

// x Phi(x) within 5e-5, for results of which 8 bits are kept: Phi(x) - 1/2 is an odd polynomial, fitted to make the error of
// the product small on |x| <= 4.35, where it reaches 1/2, and is 1/2 beyond. No exponential and no quotient: a third of the
// time of gelu above.
INLINE float gelu_for_8_bits(float x) {
  float t = x < -4.35f ? -4.35f : x > 4.35f ? 4.35f : x;
  float s = t * t;
  float p = 4.3430842255887114e-11f;
  p = p * s - 4.406218945263163e-09f;
  p = p * s + 1.970379202020922e-07f;
  p = p * s - 5.161749868420884e-06f;
  p = p * s + 8.915842045098543e-05f;
  p = p * s - 0.001086984877474606f;
  p = p * s + 0.009761858731508255f;
  p = p * s - 0.06629756093025208f;
  p = p * s + 0.3989119827747345f;
  float y = x * (0.5f + t * p);
  y = x > 4.35f ? x : y;
  return x < -4.35f ? 0 : y;
}

// 0.5 x (1 + tanh u) = x / (1 + exp(-2 u)) with u = sqrt(2 / pi) (x + 0.044715 x^3).
INLINE float gelu_tanh(float x) {
  float u = 1.5957691216057308f * (x + 0.044715f * x * x * x);
  // exp(88) is finite, and so is the quotient for every finite x.
  float y = x / (1.0f + fast_exp(-u));
  return x < -20.0f ? 0.0f : y;
}

INLINE float sum_of_lanes(const float *lanes) {
  float sum = 0;
  for (int l = 0; l < LANES; l++) sum += lanes[l];
  return sum;
}

// A row to exp(scale · (x - max(x))); gives what each is to be multiplied with so that they sum to 1.
INLINE float exponentials(float *restrict row, size_t columns, float scale) {
  float lanes[LANES];
  for (int l = 0; l < LANES; l++) lanes[l] = -INFINITY;
  size_t c = 0;
  for (; c + LANES <= columns; c += LANES)
    for (int l = 0; l < LANES; l++) lanes[l] = row[c + l] > lanes[l] ? row[c + l] : lanes[l];
  for (; c < columns; c++) lanes[0] = row[c] > lanes[0] ? row[c] : lanes[0];
  float max = lanes[0];
  for (int l = 1; l < LANES; l++) max = lanes[l] > max ? lanes[l] : max;

  float sums[LANES] = {0};
  for (c = 0; c + LANES <= columns; c += LANES)
    for (int l = 0; l < LANES; l++) {
      float e = fast_exp((row[c + l] - max) * scale);
      row[c + l] = e;
      sums[l] += e;
    }
  for (; c < columns; c++) {
    row[c] = fast_exp((row[c] - max) * scale);
    sums[0] += row[c];
  }
  return 1.0f / sum_of_lanes(sums);
}

// row[c] = scale · row[c] + bias[column c - column query]; see CKernels.h for bias and columns.
INLINE void add_distance_bias(
    float *restrict row, size_t count, float scale, const float *restrict bias, const int32_t *restrict columns,
    size_t query) {
  if (columns) {
    const float *restrict own = bias - columns[query];
    for (size_t c = 0; c < count; c++) row[c] = scale * row[c] + own[columns[c]];
  } else {
    const float *restrict own = bias - query;
    for (size_t c = 0; c < count; c++) row[c] = scale * row[c] + own[c];
  }
}

// A row of scores to exp(s - max(s)) with s = scale · score, plus the bias where there is one; returns what each is to be
// multiplied with so that they sum to 1.
INLINE float attention_weights(
    float *restrict row, size_t count, float scale, const float *bias, const int32_t *columns, size_t query) {
  if (!bias) return exponentials(row, count, scale);
  add_distance_bias(row, count, scale, bias, columns, query);
  return exponentials(row, count, 1);
}

// The upper half of a float, rounded to nearest, ties to even. A NaN stays one.
INLINE uint16_t bfloat16(float x) {
  uint32_t bits = as_bits(x);
  uint32_t rounded = bits + 0x7FFFu + (bits >> 16 & 1u);
  return (uint16_t)((x != x ? bits | 0x400000u : rounded) >> 16);
}

#endif
