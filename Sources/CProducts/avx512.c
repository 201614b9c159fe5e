// The kernels for processors with AVX-512: sums of twelve rows by 32 columns in 24 registers.

#include "panels.h"

#if defined(__x86_64__)

#include <immintrin.h>

// A word of each row times two panels. Rows are reached from every third one, so that all addresses fit into registers.
#define STEP(multiply_, d_)                                                                      \
  do {                                                                                           \
    __m512i w[MAX_PANELS];                                                                       \
    UNROLLED for (int p = 0; p < panels; p++) w[p] = _mm512_loadu_si512(b + p * panel + (d_) * WIDTH); \
    UNROLLED for (int r = 0; r < rows; r++) {                                                    \
      __m512i x = _mm512_set1_epi32((int)thirds[r / 3][(r % 3) * a_stride + (d_)]);              \
      UNROLLED for (int p = 0; p < panels; p++) sums[r][p] = multiply_(sums[r][p], x, w[p]);     \
    }                                                                                            \
  } while (0)

#define NEXT(steps_)                                                               \
  do {                                                                             \
    UNROLLED for (int i = 0; i < (rows + 2) / 3; i++) thirds[i] += (steps_);       \
    b += (steps_) * WIDTH;                                                         \
  } while (0)

#define CASE(tile_, r_) \
  case r_: tile_(r_, 2, a, a_stride, b, steps, ahead, lines, c, c_stride, adds); break;
#define CASE_OF_ONE(tile_, r_) \
  case r_: tile_(r_, 1, a, a_stride, b, steps, ahead, lines, c, c_stride, adds); break;
#define CASES(case_, tile_)                                                                                       \
  case_(tile_, 1) case_(tile_, 2) case_(tile_, 3) case_(tile_, 4) case_(tile_, 5) case_(tile_, 6) case_(tile_, 7) \
  case_(tile_, 8) case_(tile_, 9) case_(tile_, 10) case_(tile_, 11) case_(tile_, 12)

// Code of its own for each number of rows and panels.
#define DEFINE_TILE(name_, features_, multiply_, add_)                                                           \
  static inline __attribute__((always_inline, target(features_))) void name_##_of(                               \
      const int rows, const int panels, const uint32_t *restrict a, size_t a_stride, const uint32_t *restrict b, \
      size_t steps, const char *ahead, size_t lines, int32_t *restrict c, size_t c_stride, int adds) {                        \
    __m512i sums[MAX_ROWS][MAX_PANELS];                                                                          \
    UNROLLED for (int r = 0; r < rows; r++)                                                                      \
      UNROLLED for (int p = 0; p < panels; p++) sums[r][p] = _mm512_setzero_si512();                             \
    const size_t panel = steps * WIDTH;                                                                          \
    const uint32_t *thirds[(MAX_ROWS + 2) / 3];                                                                  \
    UNROLLED for (int i = 0; i < (rows + 2) / 3; i++) {                                                          \
      thirds[i] = a + (size_t)(3 * i) * a_stride;                                                                \
      /* The compiler would compute the address of each row again in each step. */                               \
      __asm__("" : "+r"(thirds[i]));                                                                             \
    }                                                                                                            \
    /* What is written, or added to, is asked for while the sums are made. */                                    \
    UNROLLED for (int r = 0; r < rows; r++)                                                                      \
      UNROLLED for (int p = 0; p < panels; p++)                                                                  \
        __builtin_prefetch(c + (size_t)r * c_stride + p * WIDTH, 1, 3);                                          \
    size_t d = 0;                                                                                                \
    for (; d + 4 <= steps; d += 4) {                                                                             \
      for (size_t l = 0; l < lines; l++, ahead += LINE) _mm_prefetch(ahead, _MM_HINT_T1);      \
      STEP(multiply_, 0);                                                                               \
      STEP(multiply_, 1);                                                                               \
      STEP(multiply_, 2);                                                                               \
      STEP(multiply_, 3);                                                                               \
      NEXT(4);                                                                                                   \
    }                                                                                                            \
    for (; d < steps; d++) {                                                                                     \
      STEP(multiply_, 0);                                                                               \
      NEXT(1);                                                                                                   \
    }                                                                                                            \
    UNROLLED for (int r = 0; r < rows; r++)                                                                      \
      UNROLLED for (int p = 0; p < panels; p++) {                                                                \
        int32_t *to = c + (size_t)r * c_stride + p * WIDTH;                                                      \
        __m512i sum = sums[r][p];                                                                                \
        if (adds) sum = add_(sum, _mm512_loadu_si512(to));                                                       \
        _mm512_storeu_si512(to, sum);                                                                            \
      }                                                                                                          \
  }                                                                                                              \
  __attribute__((target(features_))) void name_(                                                                 \
      size_t rows, size_t panels, const uint32_t *a, size_t a_stride, const uint32_t *b, size_t steps,           \
      const char *ahead, size_t lines, void *c, size_t c_stride, int adds) {                                                  \
    if (panels == 2)                                                                                             \
      switch (rows) { CASES(CASE, name_##_of) }                                                                  \
    else                                                                                                         \
      switch (rows) { CASES(CASE_OF_ONE, name_##_of) }                                                           \
  }

#define FEATURES "avx512f,avx512bw,avx512dq,avx512vl,fma"
#define FLOATS(x) _mm512_castsi512_ps(x)
#define ADD_FLOATS(a, b) _mm512_castps_si512(_mm512_add_ps(FLOATS(a), FLOATS(b)))

#define MULTIPLY_FLOATS(sum, x, w) _mm512_castps_si512(_mm512_fmadd_ps(FLOATS(x), FLOATS(w), FLOATS(sum)))
DEFINE_TILE(bertconv_tile_avx512, FEATURES, MULTIPLY_FLOATS, ADD_FLOATS)

#define MULTIPLY_PAIRS(sum, x, w) _mm512_castps_si512(_mm512_dpbf16_ps(FLOATS(sum), (__m512bh)(x), (__m512bh)(w)))
DEFINE_TILE(bertconv_bf16_tile_avx512, FEATURES ",avx512bf16", MULTIPLY_PAIRS, ADD_FLOATS)

DEFINE_TILE(bertconv_byte_tile_avx512, FEATURES ",avx512vnni", _mm512_dpbusd_epi32, _mm512_add_epi32)

#endif
