// See COpenBLAS.h. Source of the interface: OpenBLAS's cblas.h.

#include "COpenBLAS.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

// Where several libraries have a cblas.h, the plain name may be another's.
#if __has_include(<openblas-pthread/cblas.h>)
#include <openblas-pthread/cblas.h>
#elif __has_include(<openblas/cblas.h>)
#include <openblas/cblas.h>
#else
#include <cblas.h>
#endif

// The functions that are used, by the types of their declarations.
#define FUNCTIONS(_)             \
  _(openblas_set_num_threads)    \
  _(openblas_get_num_threads)    \
  _(openblas_get_config)         \
  _(cblas_sgemm)

static struct {
#define MEMBER(name) __typeof__(&name) name;
  FUNCTIONS(MEMBER)
#undef MEMBER
  char problem[256];  // why it is not available, or ""
} library;

static void fail(void) {
  const char *reason = dlerror();
  snprintf(library.problem, sizeof library.problem, "%s", reason ? reason : "no reason given");
}

static void load(void) {
  void *openblas = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!openblas) {
    fail();
    return;
  }
#define FIND(symbol)                                                \
  if (!(*(void **)&library.symbol = dlsym(openblas, #symbol))) {    \
    fail();                                                         \
    return;                                                         \
  }
  FUNCTIONS(FIND)
#undef FIND
}

static const char *limit;

void bertconv_openblas_limit(const char *core) { limit = core; }

const char *bertconv_openblas_load(int threads) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static int is_tried;
  pthread_mutex_lock(&lock);
  if (!is_tried) {
    const char *asked = getenv("OPENBLAS_NUM_THREADS");
    if (threads > 0 && !(asked && atoi(asked) > 0 && atoi(asked) < threads)) {
      char text[16];
      snprintf(text, sizeof text, "%d", threads);
      setenv("OPENBLAS_NUM_THREADS", text, 1);
    }
    if (limit) setenv("OPENBLAS_CORETYPE", limit, 0);
    load();
    is_tried = 1;
  }
  pthread_mutex_unlock(&lock);
  return library.problem[0] ? library.problem : NULL;
}

void bertconv_openblas_warm_up(void) {
  enum { SIZE = 192 };  // large enough for all threads to take part
  float *matrix = calloc(SIZE * SIZE, sizeof *matrix), *result = calloc(SIZE * SIZE, sizeof *result);
  if (matrix && result)
    bertconv_openblas_multiply(0, SIZE, SIZE, SIZE, 1, matrix, SIZE, matrix, SIZE, 0, result, SIZE);
  free(matrix);
  free(result);
}

void bertconv_openblas_set_threads(int threads) { library.openblas_set_num_threads(threads); }

const char *bertconv_openblas_config(void) { return library.openblas_get_config(); }

int bertconv_openblas_threads(void) { return library.openblas_get_num_threads(); }

void bertconv_openblas_multiply(
    int transposed, int m, int n, int k, float scale, const float *a, int a_stride, const float *b, int b_stride,
    float keeping, float *c, int c_stride) {
  library.cblas_sgemm(
      CblasRowMajor, CblasNoTrans, transposed ? CblasTrans : CblasNoTrans, m, n, k, scale, a, a_stride, b, b_stride,
      keeping, c, c_stride);
}
