// Which instructions kernels may use; see CKernels.h.

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

int bertconv_processor_level(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#define HAS(feature) __builtin_cpu_supports(feature)
  if (!HAS("avx2") || !HAS("fma") || !HAS("bmi") || !HAS("bmi2")) return BERTCONV_PLAIN;
  if (!HAS("avx512f") || !HAS("avx512bw") || !HAS("avx512dq") || !HAS("avx512vl") || !HAS("avx512cd"))
    return HAS("avxvnni") ? BERTCONV_AVX2_VNNI : BERTCONV_AVX2;
#undef HAS
  return BERTCONV_AVX512;
#else
  return BERTCONV_PLAIN;
#endif
}

const char *bertconv_allowed_level_name(void) {
  const char *name = getenv("BERTCONV_MAX_ISA");
  return name && *name ? name : NULL;
}

int bertconv_allowed_level(void) {
  const char *name = bertconv_allowed_level_name();
  if (!name) return BERTCONV_AVX512;
  static const char *const names[] = {"plain", "avx2", "avx2_vnni", "avx512"};
  for (int level = BERTCONV_PLAIN; level <= BERTCONV_AVX512; level++)
    if (strcmp(name, names[level]) == 0) return level;
  return -1;
}

int bertconv_lowered_level(int allowed) {
  int level = bertconv_processor_level();
  if (allowed >= level) return level;
#if defined(__x86_64__)
  // Not all processors with AVX-512 have it.
  if (allowed == BERTCONV_AVX2_VNNI && !__builtin_cpu_supports("avxvnni")) return BERTCONV_AVX2;
#endif
  return allowed;
}

static _Thread_local int limit = -1;

void bertconv_use_level(int level) { limit = level; }

int bertconv_level(void) {
  static atomic_int known = -1;
  int level = atomic_load_explicit(&known, memory_order_relaxed);
  if (level < 0) {
    // A value that means nothing limits nothing here; whoever opens a model reports it.
    int allowed = bertconv_allowed_level();
    level = bertconv_lowered_level(allowed >= 0 ? allowed : BERTCONV_AVX512);
    atomic_store_explicit(&known, level, memory_order_relaxed);
  }
  return limit >= 0 && limit < level ? limit : level;
}
