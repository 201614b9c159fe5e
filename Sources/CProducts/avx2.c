// The kernels for processors with AVX2 and FMA: sums of six rows by sixteen columns in twelve registers.

#include "panels.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx2,fma")))
#define TARGET_INLINE static inline __attribute__((always_inline)) TARGET

// Code of its own for each number of rows.
#define CASES(tile_)                                                      \
  switch (rows) {                                                         \
    case 1: tile_(1, a, a_stride, b, steps, ahead, lines, c, c_stride, adds); break; \
    case 2: tile_(2, a, a_stride, b, steps, ahead, lines, c, c_stride, adds); break; \
    case 3: tile_(3, a, a_stride, b, steps, ahead, lines, c, c_stride, adds); break; \
    case 4: tile_(4, a, a_stride, b, steps, ahead, lines, c, c_stride, adds); break; \
    case 5: tile_(5, a, a_stride, b, steps, ahead, lines, c, c_stride, adds); break; \
    case 6: tile_(6, a, a_stride, b, steps, ahead, lines, c, c_stride, adds); break; \
  }

#define READ_AHEAD \
  for (size_t l = 0; l < lines; l++, ahead += LINE) _mm_prefetch(ahead, _MM_HINT_T0)

// Rows are reached from the first and the fourth one, so that all addresses fit into registers.
#define DEFINE_HALVES \
  const uint32_t *halves[2] = {a, a + 3 * a_stride}; \
  __asm__("" : "+r"(halves[0]), "+r"(halves[1]))
#define WORD(r, d) (halves[(r) / 3] + (size_t)((r) % 3) * a_stride + (d))

// MARK: Floats

#define STEP(d)                                                                                  \
  do {                                                                                           \
    __m256 low = _mm256_loadu_ps((const float *)b + (d) * WIDTH);                                \
    __m256 high = _mm256_loadu_ps((const float *)b + (d) * WIDTH + 8);                           \
    UNROLLED for (int r = 0; r < rows; r++) {                                                    \
      __m256 x = _mm256_broadcast_ss((const float *)WORD(r, d));                                 \
      sums[r][0] = _mm256_fmadd_ps(x, low, sums[r][0]);                                          \
      sums[r][1] = _mm256_fmadd_ps(x, high, sums[r][1]);                                         \
    }                                                                                            \
  } while (0)
#define NEXT(steps_) (halves[0] += (steps_), halves[1] += (steps_), b += (steps_) * WIDTH)

TARGET_INLINE void tile(
    const int rows, const uint32_t *restrict a, size_t a_stride, const uint32_t *restrict b, size_t steps,
    const char *ahead, size_t lines, float *restrict c, size_t c_stride, int adds) {
  __m256 sums[ROWS][2];
  UNROLLED for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm256_setzero_ps();
  DEFINE_HALVES;
  size_t d = 0;
  for (; d + 4 <= steps; d += 4) {
    READ_AHEAD;
    STEP(0);
    STEP(1);
    STEP(2);
    STEP(3);
    NEXT(4);
  }
  for (; d < steps; d++) {
    STEP(0);
    NEXT(1);
  }
  UNROLLED for (int r = 0; r < rows; r++) {
    float *to = c + (size_t)r * c_stride;
    if (adds) {
      sums[r][0] = _mm256_add_ps(sums[r][0], _mm256_loadu_ps(to));
      sums[r][1] = _mm256_add_ps(sums[r][1], _mm256_loadu_ps(to + 8));
    }
    _mm256_storeu_ps(to, sums[r][0]);
    _mm256_storeu_ps(to + 8, sums[r][1]);
  }
}

#undef STEP

TARGET void bertconv_tile_avx2(
    size_t rows, size_t panels, const uint32_t *a, size_t a_stride, const uint32_t *b, size_t steps, const char *ahead, size_t lines,
    void *c, size_t c_stride, int adds) {
  (void)panels;
  CASES(tile)
}

TARGET void bertconv_widen_halves_avx2(const uint16_t *x, float *y, size_t count) {
  // The count is a multiple of the width of a panel.
  for (size_t i = 0; i < count; i += 16) {
    __m256i low = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(x + i)));
    __m256i high = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(x + i + 8)));
    _mm256_storeu_ps(y + i, _mm256_castsi256_ps(_mm256_slli_epi32(low, 16)));
    _mm256_storeu_ps(y + i + 8, _mm256_castsi256_ps(_mm256_slli_epi32(high, 16)));
  }
}

// MARK: Bytes

// Two products in 16 bits, which do not saturate: see panels.h.
#define MULTIPLY_IN_16_BITS(sum, x, w) \
  _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), _mm256_set1_epi16(1)))

#define STEP(multiply, d)                                                                                 \
  do {                                                                                                    \
    __m256i low = _mm256_loadu_si256((const __m256i *)(b + (d) * WIDTH));                                 \
    __m256i high = _mm256_loadu_si256((const __m256i *)(b + (d) * WIDTH + 8));                            \
    UNROLLED for (int r = 0; r < rows; r++) {                                                             \
      __m256i x = _mm256_set1_epi32((int)*WORD(r, d));                                                    \
      sums[r][0] = multiply(sums[r][0], x, low);                                                          \
      sums[r][1] = multiply(sums[r][1], x, high);                                                         \
    }                                                                                                     \
  } while (0)

#define DEFINE_BYTE_TILE(name, features, multiply)                                                             \
  static inline __attribute__((always_inline, target(features))) void name##_of(                               \
      const int rows, const uint32_t *restrict a, size_t a_stride, const uint32_t *restrict b, size_t steps,   \
      const char *ahead, size_t lines, int32_t *restrict c, size_t c_stride, int adds) {                                    \
    __m256i sums[ROWS][2];                                                                                     \
    UNROLLED for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = _mm256_setzero_si256();                  \
    DEFINE_HALVES;                                                                                             \
    size_t d = 0;                                                                                              \
    for (; d + 4 <= steps; d += 4) {                                                                           \
      READ_AHEAD;                                                                                              \
      /* Four at once need more registers than there are. */                                                   \
      _Pragma("clang loop unroll(disable)") for (int half = 0; half < 2; half++) {                             \
        STEP(multiply, 0);                                                                                     \
        STEP(multiply, 1);                                                                                     \
        NEXT(2);                                                                                               \
      }                                                                                                        \
    }                                                                                                          \
    for (; d < steps; d++) {                                                                                   \
      STEP(multiply, 0);                                                                                       \
      NEXT(1);                                                                                                 \
    }                                                                                                          \
    UNROLLED for (int r = 0; r < rows; r++) {                                                                  \
      __m256i *to = (__m256i *)(c + (size_t)r * c_stride);                                                     \
      if (adds) {                                                                                              \
        sums[r][0] = _mm256_add_epi32(sums[r][0], _mm256_loadu_si256(to));                                     \
        sums[r][1] = _mm256_add_epi32(sums[r][1], _mm256_loadu_si256(to + 1));                                 \
      }                                                                                                        \
      _mm256_storeu_si256(to, sums[r][0]);                                                                     \
      _mm256_storeu_si256(to + 1, sums[r][1]);                                                                 \
    }                                                                                                          \
  }                                                                                                            \
  __attribute__((target(features))) void name(                                                                 \
      size_t rows, size_t panels, const uint32_t *a, size_t a_stride, const uint32_t *b, size_t steps,         \
      const char *ahead, size_t lines, void *c, size_t c_stride, int adds) {                                                \
    (void)panels;                                                                                              \
    CASES(name##_of)                                                                                           \
  }

DEFINE_BYTE_TILE(bertconv_byte_tile_avx2, "avx2,fma", MULTIPLY_IN_16_BITS)
DEFINE_BYTE_TILE(bertconv_byte_tile_avx2_vnni, "avx2,fma,avxvnni", _mm256_dpbusd_avx_epi32)

#undef STEP

// MARK: Rests

TARGET size_t bertconv_columns_avx2(const uint8_t *x, size_t stride, size_t k, uint16_t *columns) {
  size_t d = 0;
  for (; d + 16 <= k; d += 16) {
    __m128i a[16], b[16];
    UNROLLED for (int i = 0; i < 16; i++) a[i] = _mm_loadu_si128((const __m128i *)(x + (size_t)i * stride + d));
    // Each step puts rows i and i + 8 next to each other: after four, a vector has the sixteen rows of an input.
    UNROLLED for (int step = 0; step < 4; step++) {
      UNROLLED for (int i = 0; i < 8; i++) {
        b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
        b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
      }
      UNROLLED for (int i = 0; i < 16; i++) a[i] = b[i];
    }
    UNROLLED for (int i = 0; i < 16; i++)
      _mm256_storeu_si256((__m256i *)(columns + (d + (size_t)i) * GROUP), _mm256_cvtepu8_epi16(a[i]));
  }
  return d;
}

// Eight vectors of eight numbers, rows and columns exchanged.
TARGET_INLINE void transpose8(__m256i x[8]) {
  __m256i a[8], b[8];
  for (int i = 0; i < 4; i++) {
    a[2 * i] = _mm256_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
    a[2 * i + 1] = _mm256_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++) {
      b[4 * i + 2 * j] = _mm256_unpacklo_epi64(a[4 * i + j], a[4 * i + j + 2]);
      b[4 * i + 2 * j + 1] = _mm256_unpackhi_epi64(a[4 * i + j], a[4 * i + j + 2]);
    }
  for (int i = 0; i < 4; i++) {
    x[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
    x[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
  }
}

TARGET void bertconv_add_rests_avx2(
    const struct rests *rests, const uint16_t *columns, int32_t *c, size_t c_stride, size_t rows, size_t width) {
  if (rests->start[WIDTH] == 0) return;
  // Of each output: the sums of rows 0 to 3 and 8 to 11, and of rows 4 to 7 and 12 to 15.
  __m256i sums[WIDTH][2];
  for (int i = 0; i < WIDTH; i++) {
    __m256i first = _mm256_setzero_si256(), second = first;
    const struct rest *rest = rests->list + rests->start[i], *end = rests->list + rests->start[i + 1];
    for (; rest < end; rest += 2) {
      __m256i x = _mm256_loadu_si256((const __m256i *)(columns + rest[0].input * GROUP));
      __m256i y = _mm256_loadu_si256((const __m256i *)(columns + rest[1].input * GROUP));
      __m256i w = _mm256_set1_epi32((rest[0].weight & 0xFFFF) | (int32_t)((uint32_t)rest[1].weight << 16));
      first = _mm256_add_epi32(first, _mm256_madd_epi16(_mm256_unpacklo_epi16(x, y), w));
      second = _mm256_add_epi32(second, _mm256_madd_epi16(_mm256_unpackhi_epi16(x, y), w));
    }
    sums[i][0] = first;
    sums[i][1] = second;
  }
  for (int half = 0; half < 2; half++)
    for (int part = 0; part < 2; part++) {
      __m256i lines[8];
      for (int i = 0; i < 8; i++) lines[i] = sums[8 * half + i][part];
      transpose8(lines);
      for (int i = 0; i < 8; i++) {
        size_t row = (size_t)((i < 4 ? i : i + 4) + 4 * part);
        if (row >= rows) continue;
        int32_t *to = c + row * c_stride + 8 * half;
        if ((size_t)(8 * half + 8) <= width) {
          _mm256_storeu_si256((__m256i *)to, _mm256_add_epi32(_mm256_loadu_si256((const __m256i *)to), lines[i]));
          continue;
        }
        int32_t line[8];
        _mm256_storeu_si256((__m256i *)line, lines[i]);
        for (size_t j = 0; 8 * (size_t)half + j < width && j < 8; j++) to[j] += line[j];
      }
    }
}

#endif
