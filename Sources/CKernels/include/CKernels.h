#ifndef CKERNELS_H
#define CKERNELS_H

#include <stddef.h>
#include <stdint.h>

// MARK: Levels

// What kernels use of the processor: code for any, for AVX2 with FMA (x86-64-v3), the same with AVX-VNNI, or for AVX-512 with its
// extensions for bytes, words, double words and short vectors (x86-64-v4).
enum bertconv_level { BERTCONV_PLAIN = 0, BERTCONV_AVX2 = 1, BERTCONV_AVX2_VNNI = 2, BERTCONV_AVX512 = 3 };

// The highest level that the processor has; BERTCONV_PLAIN on other architectures.
int bertconv_processor_level(void);

// The highest level that the environment allows (BERTCONV_MAX_ISA=plain, avx2, avx2_vnni or avx512), BERTCONV_AVX512 where it says nothing,
// -1 where it says something else.
int bertconv_allowed_level(void);

// What the environment says, or NULL.
const char *bertconv_allowed_level_name(void);

// What is used where `allowed` is: the processor's level, or the highest lower one that it has.
int bertconv_lowered_level(int allowed);

// That of what the environment allows, or what bertconv_use_level says.
int bertconv_level(void);

// Lowers the level of the calling thread; -1 for no limit. For tests, which compare levels.
void bertconv_use_level(int level);

// MARK: Kernels

// What the forward pass needs besides matrix products, on row-major matrices of floats. `stride` is the distance between
// the starts of two rows, in elements; where it is absent the rows are adjacent. Pointers of one call do not overlap.
//
// Each kernel has a plain version, written as its definition reads and computed in double precision: the test of the
// fast one. A NaN in the input is a NaN in the output in both.

// c = scale · a · b + keeping · c: a [m, k], b [k, n] or, where `transposed` is not 0, [n, k], c [m, n], with rows a_stride,
// b_stride and c_stride apart. What a library computes, as its definition reads.
void bertconv_multiply_plain(
    int transposed, size_t m, size_t n, size_t k, float scale, const float *a, size_t a_stride, const float *b,
    size_t b_stride, float keeping, float *c, size_t c_stride);

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

// x[r][c] = x[r][c] < 0 ? 0 : x[r][c]
void bertconv_relu(float *x, size_t rows, size_t columns, size_t stride);

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

// x[r] = (x[r] - mean(x[r])) / (deviation(x[r]) + epsilon) * gamma + beta, with the deviation of a sample: the root of the
// squares' sum over columns - 1. A single column has none: the result is a NaN, as it is in torch.
void bertconv_deviation_norm(
    float *x, const float *gamma, const float *beta, float epsilon, size_t rows, size_t columns);
void bertconv_deviation_norm_plain(
    float *x, const float *gamma, const float *beta, float epsilon, size_t rows, size_t columns);

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

// One step of an LSTM: gates [rows, 4 size] hold what goes into the input, forget, cell and output gate (i, f, g, o, as
// torch has them); cell [rows, size] becomes σ(f) cell + σ(i) tanh(g), hidden [rows, size] σ(o) tanh(cell).
void bertconv_lstm(const float *gates, float *cell, float *hidden, size_t rows, size_t size);
void bertconv_lstm_plain(const float *gates, float *cell, float *hidden, size_t rows, size_t size);

// softmax(scale · Q Kᵀ + bias) V of one head over one sequence. queries [query_count, size], keys and values [key_count, size],
// all with rows `stride` apart; result [query_count, size], rows `result_stride` apart. Where `causal` is not 0, query i sees
// only the keys 0 to i. The workspace has as many floats as bertconv_attention_workspace returns.
//
// `bias` is NULL, or points at distance 0 of a table of what is added to the scaled scores: bias[column of the key - column
// of the query]. The column of row i is i, or columns[i] where `columns` is not NULL: tokens are packed without the columns
// that the mask hides. `columns` has an element for each query and each key.
size_t bertconv_attention_workspace(size_t key_count, size_t size);
void bertconv_attend(
    const float *queries, size_t query_count, const float *keys, const float *values, size_t key_count, size_t stride,
    size_t size, float scale, int causal, const float *bias, const int32_t *columns, float *workspace, float *result,
    size_t result_stride);
void bertconv_attend_plain(
    const float *queries, size_t query_count, const float *keys, const float *values, size_t key_count, size_t stride,
    size_t size, float scale, int causal, const float *bias, const int32_t *columns, float *result,
    size_t result_stride);

// The same of bfloat16, with products of bfloat16 summed in f32: whether this processor has them, and the floats of its
// workspace. The result is of floats, or of bfloat16 where `narrow` is not 0. It may be called only where
// bertconv_has_bf16_attention is not 0.
int bertconv_has_bf16_attention(void);
size_t bertconv_attention_bf16_workspace(size_t key_count, size_t size);
void bertconv_attend_bf16(
    const uint16_t *queries, size_t query_count, const uint16_t *keys, const uint16_t *values, size_t key_count,
    size_t stride, size_t size, float scale, int causal, const float *bias, const int32_t *columns, float *workspace,
    void *result, size_t result_stride, int narrow);

// x[r][c] += bias[column c - column r], with bias and columns as attention takes them.
void bertconv_add_distance_bias(
    float *x, const float *bias, const int32_t *columns, size_t rows, size_t row_columns, size_t stride);

// y [rows, columns] of bfloat16, rounded to nearest, ties to even.
void bertconv_to_bf16(const float *x, size_t stride, uint16_t *y, size_t rows, size_t columns);

// The same as floats.
void bertconv_round_to_bf16(const float *x, size_t stride, float *y, size_t y_stride, size_t rows, size_t columns);

// activation(x + bias) as bfloat16; the bias [columns] may be NULL.
enum bertconv_then {
  BERTCONV_THEN_NOTHING = 0,
  BERTCONV_THEN_GELU = 1,
  BERTCONV_THEN_GELU_TANH = 2,
  BERTCONV_THEN_RELU = 3,
};
void bertconv_narrow(
    const float *x, size_t stride, const float *bias, int activation, uint16_t *y, size_t y_stride, size_t rows,
    size_t columns);

// Unsigned bytes with a scale and a zero per row, so that x ≈ (y - zero) * scale, and 0 is exactly `zero`.
void bertconv_quantize(
    const float *x, size_t stride, uint8_t *y, float *scales, int32_t *zeros, size_t rows, size_t columns);

// Signed bytes with a scale per row, symmetric: x ≈ y * scale, rounded to nearest, ties to even, as Int8Quantization of
// CheckpointFormats makes them, which is the plain version. A row with NaN or infinity has the scale NaN. And the sums of
// such rows.
void bertconv_quantize_weights(const float *weights, int8_t *y, float *scales, size_t rows, size_t columns);
void bertconv_row_sums(const int8_t *x, int32_t *sums, size_t rows, size_t columns);

// In place: 32-bit sums of quantized rows and signed weights to floats, activation((sum - zero · weight_sum) · scale ·
// weight_scale + bias); weight_scales and weight_sums (of the weights of one output) are [columns], as is the bias, which
// may be NULL.
void bertconv_widen(
    float *x, size_t stride, const float *scales, const int32_t *zeros, const float *weight_scales,
    const int32_t *weight_sums, const float *bias, int activation, size_t rows, size_t columns);

// The same with a bias and without an activation, into bfloat16.
void bertconv_widen_to_bf16(
    const int32_t *x, size_t stride, const float *scales, const int32_t *zeros, const float *weight_scales,
    const int32_t *weight_sums, const float *bias, uint16_t *y, size_t y_stride, size_t rows, size_t columns);

// As bertconv_widen, and quantized again while a row is in the cache; gelu within 5e-5, since 8 bits of it are kept. Rows of x
// are adjacent; x is left with the floats.
void bertconv_requantize(
    float *x, const float *scales, const int32_t *zeros, const float *weight_scales, const int32_t *weight_sums,
    const float *bias, int activation, uint8_t *y, float *new_scales, int32_t *new_zeros, size_t rows, size_t columns);

#endif
