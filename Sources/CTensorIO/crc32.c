// CRC-32 of zip, gzip and zlib (ISO 3309, reflected polynomial 0xEDB88320) at memory speed.
//
// x86-64 folds with the carry-less multiplication, four times 16 bytes at a time (Intel's white paper "Fast CRC
// Computation for Generic Polynomials Using PCLMULQDQ Instruction", 2009, whose constants these are): what is left of the
// data are 16 bytes with the same remainder, which the tables finish. ARM has an instruction for this polynomial.

#include "CTensorIO.h"
#include "crc_tables.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

#define POLYNOMIAL 0xEDB88320u

static uint32_t table[8][256];

static void fill_tables(void) { bertconv_fill_crc_tables(table, POLYNOMIAL); }

static void make_tables(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, fill_tables);
}

// The remainder alone, without the inversions before and after.
static uint32_t remainder_by_table(uint32_t crc, const unsigned char *p, size_t length) {
  make_tables();
  while (length >= 8) {
    uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    crc = table[7][low & 0xFF] ^ table[6][(low >> 8) & 0xFF] ^ table[5][(low >> 16) & 0xFF] ^ table[4][low >> 24] ^
          table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    p += 8;
    length -= 8;
  }
  while (length--) crc = table[0][(crc ^ *p++) & 0xFF] ^ (crc >> 8);
  return crc;
}

uint32_t bertconv_crc32_extend_plain(uint32_t crc, const void *data, size_t length) {
  return ~remainder_by_table(~crc, data, length);
}

#if defined(__x86_64__)

#define FAST_TARGET __attribute__((target("pclmul,sse4.1")))

static int cpu_is_fast(void) { return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"); }

// Moves 16 bytes over the distance that `keys` stand for and adds what lies there.
FAST_TARGET static inline __m128i fold(__m128i block, __m128i keys, __m128i next) {
  __m128i low = _mm_clmulepi64_si128(block, keys, 0x00);
  __m128i high = _mm_clmulepi64_si128(block, keys, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

FAST_TARGET static uint32_t remainder_fast(uint32_t crc, const unsigned char *p, size_t length) {
  if (length < 128) return remainder_by_table(crc, p, length);
  const __m128i over64 = _mm_set_epi64x(0x1C6E41596, 0x154442BD4);
  const __m128i over16 = _mm_set_epi64x(0x0CCAA009E, 0x1751997D0);
  const __m128i *blocks = (const __m128i *)p;
  __m128i a = _mm_xor_si128(_mm_loadu_si128(blocks), _mm_cvtsi32_si128((int)crc));
  __m128i b = _mm_loadu_si128(blocks + 1);
  __m128i c = _mm_loadu_si128(blocks + 2);
  __m128i d = _mm_loadu_si128(blocks + 3);
  size_t left = length - 64;
  for (blocks += 4; left >= 64; blocks += 4, left -= 64) {
    a = fold(a, over64, _mm_loadu_si128(blocks));
    b = fold(b, over64, _mm_loadu_si128(blocks + 1));
    c = fold(c, over64, _mm_loadu_si128(blocks + 2));
    d = fold(d, over64, _mm_loadu_si128(blocks + 3));
  }
  a = fold(fold(fold(a, over16, b), over16, c), over16, d);
  for (; left >= 16; blocks++, left -= 16) a = fold(a, over16, _mm_loadu_si128(blocks));
  unsigned char last[16];
  _mm_storeu_si128((__m128i *)last, a);
  return remainder_by_table(remainder_by_table(0, last, 16), (const unsigned char *)blocks, left);
}

#elif defined(__aarch64__)

#define FAST_TARGET __attribute__((target("+crc")))

static int cpu_is_fast(void) {
#if defined(__APPLE__)
  return 1;  // every 64-bit Apple processor has it
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) & (1 << 7)) != 0;  // HWCAP_CRC32
#else
  return 0;
#endif
}

FAST_TARGET static uint32_t remainder_fast(uint32_t crc, const unsigned char *p, size_t length) {
  for (; length >= 8; p += 8, length -= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    crc = __crc32d(crc, word);
  }
  while (length--) crc = __crc32b(crc, *p++);
  return crc;
}

#else

static int cpu_is_fast(void) { return 0; }
static uint32_t remainder_fast(uint32_t crc, const unsigned char *p, size_t length) {
  return remainder_by_table(crc, p, length);
}

#endif

uint32_t bertconv_crc32_extend(uint32_t crc, const void *data, size_t length) {
  static _Atomic int known;  // 0 not asked yet, 1 no, 2 yes
  int value = atomic_load_explicit(&known, memory_order_relaxed);
  if (!value) {
    value = cpu_is_fast() ? 2 : 1;
    atomic_store_explicit(&known, value, memory_order_relaxed);
  }
  return ~(value == 2 ? remainder_fast(~crc, data, length) : remainder_by_table(~crc, data, length));
}
