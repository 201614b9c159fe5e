// CRC32C at memory speed.
//
// The fast version keeps three independent CRC chains in flight, since the instruction has a latency of
// three cycles and a throughput of one, and joins them with a shift that is computed once per block length.
// The method is that of Intel's white paper "Fast CRC Computation for iSCSI Polynomial Using CRC32
// Instruction" (2011); the join here multiplies by x^n modulo the polynomial instead of using PCLMULQDQ.

#include "CTensorIO.h"
#include "crc_tables.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

#define POLYNOMIAL 0x82F63B78u

static uint32_t slice_table[8][256];

static void fill_tables(void) { bertconv_fill_crc_tables(slice_table, POLYNOMIAL); }

static void make_tables(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, fill_tables);
}

uint32_t bertconv_crc32c_extend_plain(uint32_t crc, const void *data, size_t length) {
  make_tables();
  const unsigned char *p = data;
  crc = ~crc;
  while (length >= 8) {
    uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    crc = slice_table[7][low & 0xFF] ^ slice_table[6][(low >> 8) & 0xFF] ^ slice_table[5][(low >> 16) & 0xFF] ^
          slice_table[4][low >> 24] ^ slice_table[3][p[4]] ^ slice_table[2][p[5]] ^ slice_table[1][p[6]] ^
          slice_table[0][p[7]];
    p += 8;
    length -= 8;
  }
  while (length--) crc = slice_table[0][(crc ^ *p++) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

// The product of two polynomials modulo the CRC's, both bit-reflected.
static uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
    if (a & bit) product ^= b;
    b = b & 1 ? (b >> 1) ^ POLYNOMIAL : b >> 1;
  }
  return product;
}

// x^(8 * bytes) modulo the polynomial: what `bytes` zero bytes do to a CRC.
static uint32_t shift_by_bytes(uint64_t bytes) {
  uint32_t result = 1u << 31, power = 1u << 23;  // 1 and x^8
  for (; bytes; bytes >>= 1) {
    if (bytes & 1) result = multiply(result, power);
    power = multiply(power, power);
  }
  return result;
}

uint32_t bertconv_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b) {
  return multiply(shift_by_bytes(length_b), crc_a) ^ crc_b;
}

#if defined(__x86_64__) || defined(__aarch64__)

#if defined(__x86_64__)
#define CRC_TARGET __attribute__((target("sse4.2")))
#define CRC_STEP8(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CRC_STEP1(crc, byte) _mm_crc32_u8((crc), (byte))
static int cpu_has_crc(void) { return __builtin_cpu_supports("sse4.2"); }
#else
#define CRC_TARGET __attribute__((target("+crc")))
#define CRC_STEP8(crc, word) __crc32cd((crc), (word))
#define CRC_STEP1(crc, byte) __crc32cb((crc), (byte))
static int cpu_has_crc(void) {
#if defined(__APPLE__)
  return 1;  // every 64-bit Apple processor has it
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) & (1 << 7)) != 0;  // HWCAP_CRC32
#else
  return 0;
#endif
}
#endif

static inline uint64_t load64(const unsigned char *p) {
  uint64_t word;
  memcpy(&word, p, 8);
  return word;
}

enum { LANE = 4096 };  // bytes a lane; three lanes a block

// The shift over one lane as four tables of 256, so that joining costs four look-ups.
static uint32_t lane_table[4][256];

static void fill_lane_table(void) {
  uint32_t shift = shift_by_bytes(LANE);
  for (uint32_t n = 0; n < 256; n++)
    for (int k = 0; k < 4; k++) lane_table[k][n] = multiply(shift, n << (8 * k));
}

static void make_lane_table(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, fill_lane_table);
}

static inline uint32_t shift_lane(uint32_t crc) {
  return lane_table[0][crc & 0xFF] ^ lane_table[1][(crc >> 8) & 0xFF] ^ lane_table[2][(crc >> 16) & 0xFF] ^
         lane_table[3][crc >> 24];
}

CRC_TARGET static uint32_t extend_fast(uint32_t crc, const void *data, size_t length) {
  const unsigned char *p = data;
  uint32_t a = ~crc;
  while (length >= 3 * LANE) {
    uint32_t b = 0, c = 0;
    for (size_t i = 0; i < LANE; i += 8) {
      a = CRC_STEP8(a, load64(p + i));
      b = CRC_STEP8(b, load64(p + LANE + i));
      c = CRC_STEP8(c, load64(p + 2 * LANE + i));
    }
    a = shift_lane(shift_lane(a) ^ b) ^ c;
    p += 3 * LANE;
    length -= 3 * LANE;
  }
  while (length >= 8) {
    a = CRC_STEP8(a, load64(p));
    p += 8;
    length -= 8;
  }
  while (length--) a = CRC_STEP1(a, *p++);
  return ~a;
}

static int is_accelerated(void) {
  static _Atomic int known;  // 0 not asked yet, 1 no, 2 yes
  int value = atomic_load_explicit(&known, memory_order_acquire);
  if (!value) {
    value = cpu_has_crc() ? 2 : 1;
    make_lane_table();
    atomic_store_explicit(&known, value, memory_order_release);
  }
  return value == 2;
}

uint32_t bertconv_crc32c_extend(uint32_t crc, const void *data, size_t length) {
  return is_accelerated() ? extend_fast(crc, data, length) : bertconv_crc32c_extend_plain(crc, data, length);
}

#else

uint32_t bertconv_crc32c_extend(uint32_t crc, const void *data, size_t length) {
  return bertconv_crc32c_extend_plain(crc, data, length);
}

#endif
