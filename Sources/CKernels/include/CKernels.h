#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

// What the forward pass needs beside matrix products, on row-major matrices of floats. `stride` is the distance between
// the starts of two rows, in elements; where it is absent the rows are adjacent. Pointers of one call do not overlap.
//
// Each kernel has a plain version, written as its definition reads and computed in double precision: the test of the
// fast one. A NaN in the input is a NaN in the output in both.

// x[r][c] = f(x[r][c] + bias[c])
void bertconv_bias(float *x, const float *bias, size_t rows, size_t columns, size_t stride);
void bertconv_bias_gelu(float *x, const float *bias, size_t rows, size_t columns, size_t stride);
void bertconv_bias_gelu_tanh(float *x, const float *bias, size_t rows, size_t columns, size_t stride);
void bertconv_bias_relu(float *x, const float *bias, size_t rows, size_t columns, size_t stride);
void bertconv_bias_tanh(float *x, const float *bias, size_t rows, size_t columns, size_t stride);

void bertconv_bias_plain(float *x, const float *bias, size_t rows, size_t columns, size_t stride);
void bertconv_bias_gelu_plain(float *x, const float *bias, size_t rows, size_t columns, size_t stride);
void bertconv_bias_gelu_tanh_plain(float *x, const float *bias, size_t rows, size_t columns, size_t stride);
void bertconv_bias_relu_plain(float *x, const float *bias, size_t rows, size_t columns, size_t stride);
void bertconv_bias_tanh_plain(float *x, const float *bias, size_t rows, size_t columns, size_t stride);

// x[i] += y[i]
void bertconv_add(float *x, const float *y, size_t count);
void bertconv_add_plain(float *x, const float *y, size_t count);

// x[r] = (x[r] - mean(x[r])) / sqrt(variance(x[r]) + epsilon) * gamma + beta
void bertconv_layer_norm(
    float *x, const float *gamma, const float *beta, float epsilon, size_t rows, size_t columns);
void bertconv_layer_norm_plain(
    float *x, const float *gamma, const float *beta, float epsilon, size_t rows, size_t columns);

// x[r] = layer_norm(x[r] + bias + residual[r])
void bertconv_residual_layer_norm(
    float *x, const float *bias, const float *residual, const float *gamma, const float *beta, float epsilon,
    size_t rows, size_t columns);
void bertconv_residual_layer_norm_plain(
    float *x, const float *bias, const float *residual, const float *gamma, const float *beta, float epsilon,
    size_t rows, size_t columns);

// x[r] = x[r] * gamma + beta
void bertconv_affine(float *x, const float *gamma, const float *beta, size_t rows, size_t columns);
void bertconv_affine_plain(float *x, const float *gamma, const float *beta, size_t rows, size_t columns);

// x[r] = affine(x[r] + bias + residual[r])
void bertconv_residual_affine(
    float *x, const float *bias, const float *residual, const float *gamma, const float *beta, size_t rows,
    size_t columns);
void bertconv_residual_affine_plain(
    float *x, const float *bias, const float *residual, const float *gamma, const float *beta, size_t rows,
    size_t columns);

// x[r] = exp(x[r] - max(x[r])) / sum(exp(x[r] - max(x[r])))
void bertconv_softmax(float *x, size_t rows, size_t columns, size_t stride);
void bertconv_softmax_plain(float *x, size_t rows, size_t columns, size_t stride);

// Reduced storage to floats. `source` is little-endian and need not be aligned.
void bertconv_from_f16(const void *source, float *target, size_t count);
void bertconv_from_bf16(const void *source, float *target, size_t count);
void bertconv_from_f64(const void *source, float *target, size_t count);
// target[r][c] = source[r][c] * scale[r]
void bertconv_from_i8(const void *source, const float *scale, float *target, size_t rows, size_t columns);

#endif
