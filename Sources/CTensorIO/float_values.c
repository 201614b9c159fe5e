// What the values of float tensors are like: counts, range, sum and squares in one reading, and bins in another.
//
// Values are decoded into a block that stays in the first-level cache, and every pass goes over the block: memory is read once.
#include "CTensorIO.h"

#include <math.h>
#include <string.h>

// The bodies below are compiled for several processors: each is part of the functions of `FOR_PROCESSORS`. Not by target_clones,
// whose resolvers run before a sanitizer's runtime has started.
#define BODY static inline __attribute__((always_inline)) void
#if defined(__x86_64__)
#define FOR_PROCESSORS(name, body, parameters, arguments)                                            \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))) static void body##_avx512 parameters { \
    body arguments;                                                                                  \
  }                                                                                                  \
  __attribute__((target("avx2"))) static void body##_avx2 parameters { body arguments; }            \
  void name parameters {                                                                             \
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&                  \
        __builtin_cpu_supports("avx512vl")) {                                                        \
      body##_avx512 arguments;                                                                       \
    } else if (__builtin_cpu_supports("avx2")) {                                                     \
      body##_avx2 arguments;                                                                         \
    } else {                                                                                         \
      body arguments;                                                                                \
    }                                                                                                \
  }
#else
#define FOR_PROCESSORS(name, body, parameters, arguments) \
  void name parameters { body arguments; }
#endif

enum { LANES = 8, BLOCK = 2048 };

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef int32_t bits __attribute__((vector_size(4 * LANES)));
typedef double doubles __attribute__((vector_size(8 * LANES)));
typedef int64_t wide_bits __attribute__((vector_size(8 * LANES)));

#define WIDEN(v) __builtin_convertvector(v, doubles)

static inline uint32_t bits_of_half(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7FFF, result;
  if (magnitude >= 0x7C00) {
    result = sign | 0x7F800000u | (magnitude & 0x3FF) << 13;
  } else {
    // The exponent's bias is 112 larger; the product also normalizes what is subnormal in 16 bits.
    float value;
    uint32_t scaled = magnitude << 13;
    memcpy(&value, &scaled, 4);
    value *= 0x1p112f;
    memcpy(&result, &value, 4);
    result |= sign;
  }
  return result;
}

// Decodes `count` values, at most BLOCK, and fills the last vector with NaN, which counts in nothing but the number of NaN. The source needs no alignment.
static inline void decode(const unsigned char *source, size_t count, int kind, float *block) {
  if (kind == BERTCONV_F32_VALUES) {
    memcpy(block, source, count * 4);
  } else {
    for (size_t index = 0; index < count; index++) {
      uint16_t value;
      memcpy(&value, source + index * 2, 2);
      uint32_t wide = kind == BERTCONV_BF16_VALUES ? (uint32_t)value << 16 : bits_of_half(value);
      memcpy(block + index, &wide, 4);
    }
  }
  size_t end = (count + LANES - 1) / LANES * LANES;
  for (size_t index = count; index < end; index++) block[index] = NAN;
}

static inline size_t value_size(int kind) { return kind == BERTCONV_F32_VALUES ? 4 : 2; }

// Macros, since a vector may not be the argument of a function that is compiled for several processors.
#define CHOOSE(mask, yes, no) ((floats)(((bits)(yes) & (mask)) | ((bits)(no) & ~(mask))))
#define CHOOSE_WIDE(mask, yes, no) ((doubles)(((wide_bits)(yes) & (mask)) | ((wide_bits)(no) & ~(mask))))
#define ADD_LANES(v, sum) \
  for (int lane = 0; lane < LANES; lane++) sum += (v)[lane]

BODY summarize(const void *data, size_t count, int kind, bertconv_float_summary *summary) {
  const unsigned char *source = data;
  float block[BLOCK] __attribute__((aligned(64)));
  for (size_t start = 0; start < count; start += BLOCK) {
    size_t size = count - start < BLOCK ? count - start : BLOCK;
    size_t padding = (LANES - size % LANES) % LANES;
    decode(source + start * value_size(kind), size, kind, block);

    bits finite = {0}, nan = {0}, zero = {0};
    doubles sum = {0};
    floats low = (floats){0} + summary->low, high = (floats){0} + summary->high;
    size_t vectors = (size + padding) / LANES;
    for (size_t index = 0; index < vectors; index++) {
      floats value = ((const floats *)block)[index];
      bits raw = (bits)value, magnitude = raw & 0x7FFFFFFF;
      bits is_finite = magnitude < 0x7F800000;
      finite += is_finite;
      nan += magnitude > 0x7F800000;
      zero += magnitude == 0;
      sum += WIDEN((floats)(raw & is_finite));
      low = CHOOSE(is_finite & (value < low), value, low);
      high = CHOOSE(is_finite & (value > high), value, high);
    }
    for (int lane = 0; lane < LANES; lane++) {
      if (low[lane] < summary->low) summary->low = low[lane];
      if (high[lane] > summary->high) summary->high = high[lane];
    }
    // Lanes count downwards: a comparison that holds is −1.
    int64_t finite_lanes = 0, nan_lanes = 0, zero_lanes = 0;
    ADD_LANES(finite, finite_lanes);
    ADD_LANES(nan, nan_lanes);
    ADD_LANES(zero, zero_lanes);
    uint64_t finite_count = (uint64_t)-finite_lanes, nan_count = (uint64_t)-nan_lanes - padding;
    summary->nan += nan_count;
    summary->infinite += size - finite_count - nan_count;
    summary->zeros += (uint64_t)-zero_lanes;
    if (finite_count == 0) continue;

    double block_sum = 0;
    ADD_LANES(sum, block_sum);
    double mean = block_sum / (double)finite_count;
    doubles squares = {0};
    for (size_t index = 0; index < vectors; index++) {
      floats value = ((const floats *)block)[index];
      bits is_finite = ((bits)value & 0x7FFFFFFF) < 0x7F800000;
      doubles distance = WIDEN((floats)((bits)value & is_finite)) - mean;
      distance = (doubles)((wide_bits)distance & __builtin_convertvector(is_finite, wide_bits));
      squares += distance * distance;
    }
    ADD_LANES(squares, summary->squares);
    // Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979).
    if (summary->finite > 0) {
      double before = (double)summary->finite, added = (double)finite_count;
      double shift = mean - summary->sum / before;
      summary->squares += shift * shift * before * added / (before + added);
    }
    summary->sum += block_sum;
    summary->finite += finite_count;
  }
}

BODY count_bins(const void *data, size_t count, int kind, double factor, double low, double bins_per_unit, size_t bins,
                uint64_t *counts) {
  const unsigned char *source = data;
  float block[BLOCK] __attribute__((aligned(64)));
  int32_t numbers[BLOCK] __attribute__((aligned(64)));
  // Neighboring values often fall into the same bin: four tables, so that one addition need not wait for the last. Each has a
  // bin more, for what counts nowhere.
  uint32_t tables[4][BERTCONV_MAX_BINS + 1];
  double last = (double)(bins - 1);
  for (size_t start = 0; start < count; start += BLOCK) {
    size_t size = count - start < BLOCK ? count - start : BLOCK;
    decode(source + start * value_size(kind), size, kind, block);
    for (size_t index = 0; index < (size + LANES - 1) / LANES; index++) {
      doubles position = (WIDEN(((const floats *)block)[index]) * factor - low) * bins_per_unit;
      wide_bits counts_somewhere = (position >= 0) & (position < last + 2);
      // The largest value comes out as the number of bins, or a rounding beyond it.
      position = CHOOSE_WIDE(position < last, position, (doubles){0} + last);
      position = CHOOSE_WIDE(counts_somewhere, position, (doubles){0} + (last + 1));
      ((bits *)numbers)[index] = __builtin_convertvector(position, bits);
    }
    memset(tables, 0, sizeof tables);
    size_t index = 0;
    for (; index + 4 <= size; index += 4) {
      tables[0][numbers[index]]++;
      tables[1][numbers[index + 1]]++;
      tables[2][numbers[index + 2]]++;
      tables[3][numbers[index + 3]]++;
    }
    for (; index < size; index++) tables[0][numbers[index]]++;
    for (size_t bin = 0; bin < bins; bin++) {
      counts[bin] += (uint64_t)tables[0][bin] + tables[1][bin] + tables[2][bin] + tables[3][bin];
    }
  }
}

FOR_PROCESSORS(bertconv_summarize_floats, summarize,
               (const void *data, size_t count, int kind, bertconv_float_summary *summary), (data, count, kind, summary))

FOR_PROCESSORS(bertconv_count_bins, count_bins,
               (const void *data, size_t count, int kind, double factor, double low, double bins_per_unit, size_t bins,
                uint64_t *counts),
               (data, count, kind, factor, low, bins_per_unit, bins, counts))
