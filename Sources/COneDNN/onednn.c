// See COneDNN.h. Source of the interface: oneDNN's reference (dnnl.h of versions 2 and 3; what differs is in library.h);
// the library of Debian and Ubuntu runs its loops on GNU OpenMP, whose threads are used for our own loops too: two sets of
// threads would wait for each other.

#define _GNU_SOURCE
#include "COneDNN.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__) && __has_include(<oneapi/dnnl/dnnl.h>)
#include <oneapi/dnnl/dnnl_version.h>
#if DNNL_VERSION_MAJOR == 2 || DNNL_VERSION_MAJOR == 3
#define HAS_ONEDNN 1
#endif
#endif

#ifdef HAS_ONEDNN

#include <dlfcn.h>
#include <stdio.h>
#include <sys/mman.h>

#include "library.h"

// Debian's version 3 goes by the minor version too (3.7.2 is libdnnl.so.3.6 and .3.7), elsewhere the major one is the name.
static void *open_library(void) {
  char name[32];
  snprintf(name, sizeof name, "libdnnl.so.%d", DNNL_VERSION_MAJOR);
  void *dnnl = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (dnnl) return dnnl;
  snprintf(name, sizeof name, "libdnnl.so.%d.%d", DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR);
  return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

static const char *limit;

void bertconv_onednn_limit(const char *instructions) { limit = instructions; }

static void load(void) {
  library.state = -1;
  if (limit) setenv("ONEDNN_MAX_CPU_ISA", limit, 0);
  void *openmp = dlopen("libgomp.so.1", RTLD_NOW | RTLD_GLOBAL);
  void *dnnl = open_library();
  if (!dnnl || !openmp) return;
#define FIND(symbol) \
  if (!(*(void **)&library.symbol = dlsym(dnnl, #symbol))) return;
  FUNCTIONS(FIND)
#undef FIND
  struct {
    const char *name;
    void *function;
  } openmp_functions[] = {
      {"GOMP_parallel", &library.gomp_parallel}, {"omp_get_thread_num", &library.thread_number},
      {"omp_get_num_threads", &library.thread_count}, {"omp_in_parallel", &library.is_in_parallel},
      {"omp_set_num_threads", &library.set_threads}, {"omp_get_max_threads", &library.max_threads},
      {"omp_set_dynamic", &library.set_dynamic}, {"omp_set_max_active_levels", &library.set_active_levels},
  };
  for (size_t i = 0; i < sizeof openmp_functions / sizeof *openmp_functions; i++)
    if (!(*(void **)openmp_functions[i].function = dlsym(openmp, openmp_functions[i].name))) return;
  // The environment may request lines on standard output, files of generated code, and for less than f32 in f32.
  library.dnnl_set_verbose(0);
  library.dnnl_set_jit_dump(0);
  library.dnnl_set_default_fpmath_mode(dnnl_fpmath_mode_strict);
  library.usual_threads = library.max_threads();
  if (library.dnnl_engine_create(&library.engine, dnnl_cpu, 0) != dnnl_success) return;
  const dnnl_version_t *version = library.dnnl_version();
  // A library of another major version has other structures.
  if (!version || version->major != DNNL_VERSION_MAJOR) return;
  snprintf(library.version, sizeof library.version, "%d.%d.%d", version->major, version->minor, version->patch);
  library.state = 1;
}

int bertconv_onednn_load(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load);
  return library.state == 1 ? 0 : -1;
}

const char *bertconv_onednn_version(void) { return library.version; }

#if defined(__x86_64__)
// The user may have configured oneDNN to use less than the processor has (DNNL_MAX_CPU_ISA).
static int allows(dnnl_cpu_isa_t wanted) { return (library.dnnl_get_effective_cpu_isa() & wanted) == wanted; }
#endif

const char *bertconv_onednn_isa(void) {
  if (bertconv_onednn_load()) return "";
#if defined(__x86_64__)
  static const struct {
    dnnl_cpu_isa_t instructions;
    const char *name;
  } levels[] = {
      {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},   {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
      {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"}, {dnnl_cpu_isa_avx512_core, "avx512_core"},
      {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},               {dnnl_cpu_isa_avx2, "avx2"},
      {dnnl_cpu_isa_avx, "avx"},
  };
  for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
    if (allows(levels[i].instructions)) return levels[i].name;
  return "sse41";
#else
  return "default";
#endif
}

int bertconv_onednn_has_tiles(int precision) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (precision == BERTCONV_F32 || !__builtin_cpu_supports("amx-tile")) return 0;
  if (!(precision == BERTCONV_BF16 ? __builtin_cpu_supports("amx-bf16") : __builtin_cpu_supports("amx-int8"))) return 0;
  return bertconv_onednn_has(precision) && allows(dnnl_cpu_isa_avx512_core_amx);
#else
  return (void)precision, 0;
#endif
}

int bertconv_onednn_has(int precision) {
  if (bertconv_onednn_load()) return 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (precision) {
    case BERTCONV_F32: return __builtin_cpu_supports("avx2");
    case BERTCONV_BF16: return __builtin_cpu_supports("avx512bf16") && allows(dnnl_cpu_isa_avx512_core_bf16);
    case BERTCONV_INT8: return __builtin_cpu_supports("avx512vnni") && allows(dnnl_cpu_isa_avx512_core_vnni);
    default: return 0;
  }
#else
  return precision == BERTCONV_F32;
#endif
}

static void count_team(void *pointer) {
  if (library.thread_number() == 0) *(int *)pointer = library.thread_count();
}

int bertconv_onednn_usual_threads(void) { return bertconv_onednn_load() ? 1 : library.usual_threads; }

void bertconv_onednn_set_threads(int threads) {
  if (bertconv_onednn_load() || library.is_in_parallel()) return;
  // oneDNN divides its work among the threads that it is promised. Fewer may come: where the environment lets OpenMP decide
  // (OMP_DYNAMIC), allows no parallel regions (OMP_MAX_ACTIVE_LEVELS) or limits the threads of all (OMP_THREAD_LIMIT).
  library.set_dynamic(0);
  library.set_active_levels(1);
  library.set_threads(threads);
  int team = 1;
  if (threads > 1) library.gomp_parallel(count_team, &team, 0, 0);
  if (team < threads) library.set_threads(team);
}

int bertconv_onednn_threads(void) {
  return bertconv_onednn_load() || library.is_in_parallel() ? 1 : library.max_threads();
}

// MARK: Loops

// The thread sanitizer does not see how the threads of OpenMP wait for each other; these calls show it.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER
#endif
#endif
#ifdef THREAD_SANITIZER
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define AFTER_ALL_BEFORE(address) __tsan_acquire(address)
#define BEFORE_ALL_AFTER(address) __tsan_release(address)
#else
#define AFTER_ALL_BEFORE(address) (void)(address)
#define BEFORE_ALL_AFTER(address) (void)(address)
#endif

static void run_parallel(void (*part)(void *), void *pointer, unsigned threads) {
  BEFORE_ALL_AFTER(pointer);
  library.gomp_parallel(part, pointer, threads, 0);
  AFTER_ALL_BEFORE(pointer);
}

struct loop {
  size_t count, grain;
  void (*body)(void *, size_t, size_t);
  void *data;
};

static void run_part(void *pointer) {
  AFTER_ALL_BEFORE(pointer);
  const struct loop *loop = pointer;
  size_t threads = (size_t)library.thread_count(), thread = (size_t)library.thread_number();
  size_t parts = (loop->count + loop->grain - 1) / loop->grain;
  size_t first = parts * thread / threads * loop->grain, last = parts * (thread + 1) / threads * loop->grain;
  if (last > loop->count) last = loop->count;
  if (first < last) loop->body(loop->data, first, last);
  BEFORE_ALL_AFTER(pointer);
}

void bertconv_parallel(size_t count, size_t grain, void (*body)(void *, size_t, size_t), void *data) {
  if (count == 0) return;
  if (library.state != 1 || count <= grain || library.is_in_parallel()) {
    body(data, 0, count);
    return;
  }
  struct loop loop = {count, grain, body, data};
  run_parallel(run_part, &loop, 0);
}

struct each {
  size_t count;
  void (*body)(void *, size_t);
  void *data;
};

static void run_each(void *pointer) {
  AFTER_ALL_BEFORE(pointer);
  const struct each *each = pointer;
  // For this thread in this loop only: products are planned for the threads that will compute them.
  library.set_threads(1);
  size_t threads = (size_t)library.thread_count();
  for (size_t i = (size_t)library.thread_number(); i < each->count; i += threads) each->body(each->data, i);
  BEFORE_ALL_AFTER(pointer);
}

void bertconv_each(size_t count, void (*body)(void *, size_t), void *data) {
  if (library.state != 1 || count <= 1 || library.is_in_parallel()) {
    for (size_t i = 0; i < count; i++) body(data, i);
    return;
  }
  struct each each = {count, body, data};
  size_t limit = (size_t)library.max_threads();
  run_parallel(run_each, &each, (unsigned)(count < limit ? count : limit));
}

// MARK: Weights

struct bertconv_packed {
  int precision;
  dnnl_dim_t n, k;
  dnnl_memory_desc_t layout;
  dnnl_memory_t memory;
  void *data;
};

// A product of few rows reads each weight once: it is as fast as memory, and page tables in the way cost a fifth of that.
enum { LARGE_PAGE = 2 << 20 };

static void *allocate(size_t bytes) {
  void *data = NULL;
  if (posix_memalign(&data, bytes >= LARGE_PAGE ? LARGE_PAGE : 64, bytes)) return NULL;
  if (bytes >= LARGE_PAGE) madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

static dnnl_data_type_t input_type(int precision) {
  return precision == BERTCONV_F32 ? dnnl_f32 : precision == BERTCONV_BF16 ? dnnl_bf16 : dnnl_u8;
}

static dnnl_data_type_t weight_type(int precision) {
  return precision == BERTCONV_F32 ? dnnl_f32 : precision == BERTCONV_BF16 ? dnnl_bf16 : dnnl_s8;
}

static dnnl_data_type_t output_type(int precision, int narrow) {
  return precision == BERTCONV_INT8 ? dnnl_s32 : narrow ? dnnl_bf16 : dnnl_f32;
}

static size_t size_of(dnnl_data_type_t type) { return type == dnnl_u8 ? 1 : type == dnnl_bf16 ? 2 : 4; }

// The product of these shapes; `layout` is that of the weights, or of the format `any`, for which oneDNN chooses the best.
static dnnl_status_t describe(
    dnnl_primitive_desc_t *result, int precision, dnnl_dim_t m, dnnl_dim_t n, dnnl_dim_t k, dnnl_dim_t x_stride,
    dnnl_dim_t y_stride, desc_view layout, int has_bias, int epilogue, int narrow) {
  dnnl_memory_desc_t x = {0}, y = {0}, bias = {0};
  const dnnl_dims_t x_shape = {m, k}, y_shape = {m, n}, bias_shape = {1, n};
  const dnnl_dims_t x_strides = {x_stride, 1}, y_strides = {y_stride, 1};
  dnnl_status_t status = make_by_strides(&x, x_shape, input_type(precision), x_strides);
  if (!status) status = make_by_strides(&y, y_shape, output_type(precision, narrow), y_strides);
  if (!status) status = make_by_tag(&bias, bias_shape, dnnl_f32, dnnl_ab);

  dnnl_primitive_attr_t attributes = NULL;
  dnnl_post_ops_t operations = NULL;
  if (!status) status = library.dnnl_primitive_attr_create(&attributes);
  if (!status) status = library.dnnl_post_ops_create(&operations);
  if (!status) switch (epilogue) {
      case BERTCONV_GELU: status = append_eltwise(operations, dnnl_eltwise_gelu_erf); break;
      case BERTCONV_GELU_TANH: status = append_eltwise(operations, dnnl_eltwise_gelu_tanh); break;
      default: break;
    }
  if (!status) status = library.dnnl_primitive_attr_set_post_ops(attributes, operations);
  if (!status)
    status = describe_matmul(result, view(&x), layout, has_bias ? view(&bias) : NULL, view(&y), attributes);
  if (operations) library.dnnl_post_ops_destroy(operations);
  if (attributes) library.dnnl_primitive_attr_destroy(attributes);
  release(&bias);
  release(&y);
  release(&x);
  return status;
}

// The number of rows that the layout is chosen for. It serves all others: it depends on n and k.
enum { USUAL_ROWS = 128 };

bertconv_packed *bertconv_pack(int precision, const void *weights, size_t n, size_t k) {
  if (bertconv_onednn_load() || n == 0 || k == 0) return NULL;
  bertconv_packed *packed = calloc(1, sizeof *packed);
  if (!packed) return NULL;
  packed->precision = precision;
  packed->n = (dnnl_dim_t)n;
  packed->k = (dnnl_dim_t)k;
  const dnnl_dims_t shape = {packed->k, packed->n};
  dnnl_memory_desc_t any = {0}, plain = {0};
  dnnl_primitive_desc_t product = NULL, reorder = NULL;
  dnnl_primitive_t primitive = NULL;
  dnnl_memory_t source = NULL;
  dnnl_stream_t stream = NULL;
  dnnl_status_t status = make_by_tag(&any, shape, weight_type(precision), dnnl_format_tag_any);
  // [n, k] row-major is [k, n] column-major.
  if (!status) status = make_by_tag(&plain, shape, weight_type(precision), dnnl_ba);
  if (!status)
    status = describe(
        &product, precision, USUAL_ROWS, packed->n, packed->k, packed->k, packed->n, view(&any), 0, BERTCONV_NOTHING, 0);
  if (!status)
    status = copy_desc(&packed->layout, library.dnnl_primitive_desc_query_md(product, dnnl_query_weights_md, 0));
  const desc_view layout = view(&packed->layout);
  if (!status) {
    packed->data = allocate(library.dnnl_memory_desc_get_size(layout));
    status = packed->data ? library.dnnl_memory_create(&packed->memory, layout, library.engine, packed->data)
                          : dnnl_out_of_memory;
  }
  if (!status) status = library.dnnl_memory_create(&source, view(&plain), library.engine, (void *)weights);
  if (!status)
    status = library.dnnl_reorder_primitive_desc_create(
        &reorder, view(&plain), library.engine, layout, library.engine, NULL);
  if (!status) status = library.dnnl_primitive_create(&primitive, reorder);
  if (!status) status = library.dnnl_stream_create(&stream, library.engine, dnnl_stream_default_flags);
  if (!status) {
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, packed->memory}};
    status = library.dnnl_primitive_execute(primitive, stream, 2, arguments);
  }
  if (stream) library.dnnl_stream_destroy(stream);
  if (primitive) library.dnnl_primitive_destroy(primitive);
  if (source) library.dnnl_memory_destroy(source);
  if (reorder) library.dnnl_primitive_desc_destroy(reorder);
  if (product) library.dnnl_primitive_desc_destroy(product);
  release(&plain);
  release(&any);
  if (status) {
    bertconv_packed_free(packed);
    return NULL;
  }
  return packed;
}

void bertconv_packed_free(bertconv_packed *packed) {
  if (!packed) return;
  if (packed->memory) library.dnnl_memory_destroy(packed->memory);
  release(&packed->layout);
  free(packed->data);
  free(packed);
}

// MARK: Products

// Products of one shape, ready to run.
struct product {
  int precision, has_bias, epilogue, narrow;
  int threads;  // that it is planned for
  dnnl_dim_t m, n, k, x_stride, y_stride;
  dnnl_memory_desc_t layout;
  dnnl_primitive_t primitive;
  dnnl_memory_t x, y, bias;
};

struct bertconv_context {
  dnnl_stream_t stream;
  struct product *products;
  size_t count, capacity;
};

// Inputs of ever new shapes must not fill the memory.
enum { MAX_PRODUCTS = 256 };

bertconv_context *bertconv_context_create(void) {
  if (bertconv_onednn_load()) return NULL;
  bertconv_context *context = calloc(1, sizeof *context);
  if (context && library.dnnl_stream_create(&context->stream, library.engine, dnnl_stream_default_flags)) {
    free(context);
    context = NULL;
  }
  return context;
}

static void forget(struct product *product) {
  if (product->primitive) library.dnnl_primitive_destroy(product->primitive);
  if (product->x) library.dnnl_memory_destroy(product->x);
  if (product->y) library.dnnl_memory_destroy(product->y);
  if (product->bias) library.dnnl_memory_destroy(product->bias);
  release(&product->layout);
}

static void forget_all(bertconv_context *context) {
  for (size_t i = 0; i < context->count; i++) forget(&context->products[i]);
  context->count = 0;
}

void bertconv_context_free(bertconv_context *context) {
  if (!context) return;
  forget_all(context);
  free(context->products);
  library.dnnl_stream_destroy(context->stream);
  free(context);
}

static int is_same(const struct product *a, const struct product *b) {
  return a->m == b->m && a->n == b->n && a->k == b->k && a->precision == b->precision && a->epilogue == b->epilogue &&
         a->narrow == b->narrow && a->threads == b->threads && a->has_bias == b->has_bias &&
         a->x_stride == b->x_stride && a->y_stride == b->y_stride && is_same_desc(view(&a->layout), view(&b->layout));
}

static dnnl_status_t prepare(struct product *p) {
  dnnl_primitive_desc_t description = NULL;
  dnnl_status_t status = describe(
      &description, p->precision, p->m, p->n, p->k, p->x_stride, p->y_stride, view(&p->layout), p->has_bias,
      p->epilogue, p->narrow);
  if (!status) status = library.dnnl_primitive_create(&p->primitive, description);
  const struct {
    dnnl_memory_t *memory;
    dnnl_query_t query;
    int index;
  } memories[] = {
      {&p->x, dnnl_query_src_md, 0}, {&p->y, dnnl_query_dst_md, 0}, {&p->bias, dnnl_query_weights_md, 1}};
  for (int i = 0; !status && i < 2 + p->has_bias; i++)
    status = library.dnnl_memory_create(
        memories[i].memory, library.dnnl_primitive_desc_query_md(description, memories[i].query, memories[i].index),
        library.engine, DNNL_MEMORY_NONE);
  if (description) library.dnnl_primitive_desc_destroy(description);
  return status;
}

static struct product *find(bertconv_context *context, const struct product *wanted) {
  for (size_t i = 0; i < context->count; i++)
    if (is_same(&context->products[i], wanted)) return &context->products[i];
  if (context->count == MAX_PRODUCTS) forget_all(context);
  if (context->count == context->capacity) {
    size_t capacity = context->capacity ? 2 * context->capacity : 16;
    struct product *products = realloc(context->products, capacity * sizeof *products);
    if (!products) return NULL;
    context->products = products;
    context->capacity = capacity;
  }
  struct product *product = &context->products[context->count];
  *product = *wanted;
  // The weights may be gone before the product.
  memset(&product->layout, 0, sizeof product->layout);
  if (copy_desc(&product->layout, view(&wanted->layout)) || prepare(product)) {
    forget(product);
    return NULL;
  }
  context->count++;
  return product;
}

int bertconv_multiply(
    bertconv_context *context, const bertconv_packed *weights, const void *x, size_t m, size_t x_stride,
    const float *bias, int epilogue, void *y, size_t y_stride, int narrow) {
  if (m == 0) return 0;
  if (IGNORES_STRIDE_OF_COLUMN && weights->n == 1 && m > 1 && y_stride > 1) {
    const size_t x_step = x_stride * size_of(input_type(weights->precision));
    const size_t y_step = y_stride * size_of(output_type(weights->precision, narrow));
    for (size_t row = 0; row < m; row++)
      if (bertconv_multiply(
              context, weights, (const char *)x + row * x_step, 1, x_stride, bias, epilogue, (char *)y + row * y_step, 1,
              narrow))
        return -1;
    return 0;
  }
  struct product wanted;
  memset(&wanted, 0, sizeof wanted);
  wanted.precision = weights->precision;
  wanted.has_bias = bias != NULL;
  wanted.epilogue = epilogue;
  wanted.narrow = narrow;
  wanted.threads = library.max_threads();
  wanted.m = (dnnl_dim_t)m;
  wanted.n = weights->n;
  wanted.k = weights->k;
  wanted.x_stride = (dnnl_dim_t)x_stride;
  wanted.y_stride = (dnnl_dim_t)y_stride;
  wanted.layout = weights->layout;
  struct product *product = find(context, &wanted);
  if (!product) return -1;
  dnnl_status_t status = library.dnnl_memory_set_data_handle(product->x, (void *)x);
  if (!status) status = library.dnnl_memory_set_data_handle(product->y, y);
  if (!status && bias) status = library.dnnl_memory_set_data_handle(product->bias, (void *)bias);
  if (status) return -1;
  dnnl_exec_arg_t arguments[] = {
      {DNNL_ARG_SRC, product->x},
      {DNNL_ARG_WEIGHTS, weights->memory},
      {DNNL_ARG_DST, product->y},
      {DNNL_ARG_BIAS, product->bias},
  };
  return library.dnnl_primitive_execute(product->primitive, context->stream, bias ? 4 : 3, arguments) ? -1 : 0;
}

#else

int bertconv_onednn_load(void) { return -1; }
int bertconv_onednn_has(int precision) { return (void)precision, 0; }
int bertconv_onednn_has_tiles(int precision) { return (void)precision, 0; }
void bertconv_onednn_limit(const char *instructions) { (void)instructions; }
const char *bertconv_onednn_isa(void) { return ""; }
const char *bertconv_onednn_version(void) { return ""; }
void bertconv_onednn_set_threads(int threads) { (void)threads; }
int bertconv_onednn_usual_threads(void) { return 1; }
int bertconv_onednn_threads(void) { return 1; }
void bertconv_parallel(size_t count, size_t grain, void (*body)(void *, size_t, size_t), void *data) {
  (void)grain;
  if (count) body(data, 0, count);
}
void bertconv_each(size_t count, void (*body)(void *, size_t), void *data) {
  for (size_t i = 0; i < count; i++) body(data, i);
}
bertconv_packed *bertconv_pack(int precision, const void *weights, size_t n, size_t k) {
  return (void)precision, (void)weights, (void)n, (void)k, NULL;
}
void bertconv_packed_free(bertconv_packed *packed) { (void)packed; }
bertconv_context *bertconv_context_create(void) { return NULL; }
void bertconv_context_free(bertconv_context *context) { (void)context; }
int bertconv_multiply(
    bertconv_context *context, const bertconv_packed *weights, const void *x, size_t m, size_t x_stride,
    const float *bias, int epilogue, void *y, size_t y_stride, int narrow) {
  return (void)context, (void)weights, (void)x, (void)m, (void)x_stride, (void)bias, (void)epilogue, (void)y,
         (void)y_stride, (void)narrow, -1;
}

#endif
