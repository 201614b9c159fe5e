// Times each kernel of the forward pass, of checksums and of layout on the shapes of BERT-base, on one thread, beside
// its plain version where it has one; see README.md.
//
//     kernels [--seconds S] [NAME ...]      all kernels, or those whose name contains one of the NAMEs

#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "CKernels.h"
#include "COneDNN.h"
#include "CProducts.h"
#include "CTensorIO.h"

enum { HIDDEN = 768, INNER = 3072, HEADS = 12, HEAD_SIZE = 64 };

// MARK: What the kernels work on

static size_t rows, columns;  // of the case that is timed

enum { MOST = 4 << 20 };  // elements of a buffer: a score for each head and pair of 512 tokens are fewer
static float *x, *z;    // changed in place; written
static const float *y;  // read, and so are the same numbers in other types:
static uint16_t *as_bf16;
static int8_t *as_bytes;
static int32_t *totals;  // like products of 8 bits

static const float *bias, *gain, *shift;
static float *scales, *weight_scales, *new_scales, *workspace;
static int32_t *zeros, *sums, *new_zeros, *new_sums;
static uint32_t checksum;

static bertconv_context *context;
static bertconv_packed *packed;

static void *allocate(size_t size) {
  void *data = aligned_alloc(64, (size + 63) / 64 * 64);
  if (!data) {
    fputs("kernels: out of memory\n", stderr);
    exit(1);
  }
  return memset(data, 0, size);
}

// Numbers from -1 to 1, the same each time.
static float *random_floats(size_t count) {
  static uint32_t state = 1;
  float *values = allocate(count * sizeof *values);
  for (size_t i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    values[i] = (float)(int32_t)state / 2147483648.0f;
  }
  return values;
}

static void make_buffers(void) {
  x = allocate(MOST * sizeof *x);
  z = allocate(MOST * sizeof *z);
  y = random_floats(MOST);
  as_bf16 = allocate(MOST * sizeof *as_bf16);
  as_bytes = allocate(MOST * sizeof *as_bytes);
  totals = allocate(MOST * sizeof *totals);
  bertconv_to_bf16(y, MOST, as_bf16, 1, MOST);
  for (size_t i = 0; i < MOST; i++) {
    int number = (int)(y[i] * 1024);
    // A sign, an exponent of -8 to -1, ten bits of the mantissa.
    as_bytes[i] = (int8_t)(y[i] * 127);
    totals[i] = (int32_t)(y[i] * 200000);
  }
  bias = random_floats(INNER);
  gain = random_floats(INNER);
  shift = random_floats(INNER);
  // A scale and a zero for each row, and for each output: as many as any matrix here has of either.
  scales = allocate(INNER * sizeof *scales);
  weight_scales = allocate(INNER * sizeof *weight_scales);
  zeros = allocate(INNER * sizeof *zeros);
  sums = allocate(INNER * sizeof *sums);
  for (size_t i = 0; i < INNER; i++) {
    scales[i] = 0.01f + 0.001f * y[i];
    weight_scales[i] = 0.001f + 0.0001f * y[i];
    zeros[i] = 128;
    sums[i] = (int32_t)i - INNER / 2;
  }
  new_scales = allocate(INNER * sizeof *new_scales);
  new_zeros = allocate(INNER * sizeof *new_zeros);
  new_sums = allocate(INNER * sizeof *new_sums);
  size_t wide = bertconv_attention_workspace(512, HEAD_SIZE);
  size_t narrow = bertconv_attention_bf16_workspace(512, HEAD_SIZE);
  workspace = allocate((wide > narrow ? wide : narrow) * sizeof *workspace);
}

// MARK: The kernels

#define KERNEL(name, call) \
  static void name(void) { call; }
// And the plain version, which takes the same.
#define KERNEL_AND_PLAIN(name, function, ...) \
  KERNEL(name, function(__VA_ARGS__))         \
  KERNEL(name##_plain, function##_plain(__VA_ARGS__))

KERNEL_AND_PLAIN(add, bertconv_add, x, y, rows *columns)
KERNEL_AND_PLAIN(layer_norm, bertconv_layer_norm, x, gain, shift, 1e-12f, rows, columns)
KERNEL_AND_PLAIN(residual_layer_norm, bertconv_residual_layer_norm, x, bias, y, gain, shift, 1e-12f, rows, columns)
KERNEL_AND_PLAIN(affine, bertconv_affine, x, gain, shift, rows, columns)
KERNEL_AND_PLAIN(residual_affine, bertconv_residual_affine, x, bias, y, gain, shift, rows, columns)
KERNEL_AND_PLAIN(bias_only, bertconv_bias, x, bias, rows, columns, columns)
KERNEL_AND_PLAIN(bias_gelu, bertconv_bias_gelu, x, bias, rows, columns, columns)
KERNEL_AND_PLAIN(bias_gelu_tanh, bertconv_bias_gelu_tanh, x, bias, rows, columns, columns)
KERNEL_AND_PLAIN(bias_relu, bertconv_bias_relu, x, bias, rows, columns, columns)
KERNEL_AND_PLAIN(bias_tanh, bertconv_bias_tanh, x, bias, rows, columns, columns)
KERNEL(relu, bertconv_relu(x, rows, columns, columns))
KERNEL_AND_PLAIN(softmax, bertconv_softmax, x, rows, columns, columns)

// All heads over one sequence of `rows` tokens: query, key and value side by side in the input, as the forward pass has
// them.
#define EACH_HEAD(type, input, call)                                       \
  for (size_t head = 0; head < HEADS; head++) {                            \
    const type *query = input + head * HEAD_SIZE;                          \
    const type *key = query + HIDDEN, *value = key + HIDDEN;               \
    float *result = z + head * HEAD_SIZE;                                  \
    call;                                                                  \
  }

static void attention(void) {
  EACH_HEAD(
      float, y,
      bertconv_attend(
          query, rows, key, value, rows, 3 * HIDDEN, HEAD_SIZE, 0.125f, 0, NULL, NULL, workspace, result, HIDDEN))
}

// With a bias by distance; the values do not matter.
static void attention_biased(void) {
  EACH_HEAD(
      float, y,
      bertconv_attend(
          query, rows, key, value, rows, 3 * HIDDEN, HEAD_SIZE, 0.125f, 0, y + rows, NULL, workspace, result, HIDDEN))
}

static void attention_plain(void) {
  EACH_HEAD(
      float, y,
      bertconv_attend_plain(
          query, rows, key, value, rows, 3 * HIDDEN, HEAD_SIZE, 0.125f, 0, NULL, NULL, result, HIDDEN))
}

static void attention_bf16(void) {
  EACH_HEAD(
      uint16_t, as_bf16,
      bertconv_attend_bf16(
          query, rows, key, value, rows, 3 * HIDDEN, HEAD_SIZE, 0.125f, 0, NULL, NULL, workspace, result, HIDDEN, 0))
}

static void attention_bf16_biased(void) {
  EACH_HEAD(
      uint16_t, as_bf16,
      bertconv_attend_bf16(
          query, rows, key, value, rows, 3 * HIDDEN, HEAD_SIZE, 0.125f, 0, y + rows, NULL, workspace, result, HIDDEN,
          0))
}

KERNEL(to_bf16, bertconv_to_bf16(y, columns, (uint16_t *)z, rows, columns))
KERNEL(quantize, bertconv_quantize(y, columns, (uint8_t *)z, new_scales, new_zeros, rows, columns))
KERNEL(
    widen, bertconv_widen(
               x, columns, scales, zeros, weight_scales, sums, bias, BERTCONV_THEN_NOTHING, rows, columns))
KERNEL(
    widen_gelu, bertconv_widen(
                    x, columns, scales, zeros, weight_scales, sums, bias, BERTCONV_THEN_GELU, rows, columns))
KERNEL(
    requantize_gelu, bertconv_requantize(
                         x, scales, zeros, weight_scales, sums, bias, BERTCONV_THEN_GELU, (uint8_t *)z, new_scales,
                         new_zeros, rows, columns))
KERNEL(quantize_weights, bertconv_quantize_weights(y, (int8_t *)z, new_scales, rows, columns))
KERNEL(row_sums, bertconv_row_sums(as_bytes, new_sums, rows, columns))


// Of `rows` x `columns` floats.
KERNEL(crc32c, checksum = bertconv_crc32c_extend(checksum, y, 4 * rows * columns))
KERNEL(crc32c_plain, checksum = bertconv_crc32c_extend_plain(checksum, y, 4 * rows * columns))
KERNEL(crc32, checksum = bertconv_crc32_extend(checksum, y, 4 * rows * columns))
KERNEL(crc32_plain, checksum = bertconv_crc32_extend_plain(checksum, y, 4 * rows * columns))
KERNEL(transpose2, bertconv_transpose(y, columns, z, rows, rows, columns, 2))
KERNEL(transpose4, bertconv_transpose(y, columns, z, rows, rows, columns, 4))
KERNEL(swap2, bertconv_swap_bytes(y, z, rows *columns, 2))
KERNEL(swap4, bertconv_swap_bytes(y, z, rows *columns, 4))
KERNEL(swap8, bertconv_swap_bytes(y, z, rows *columns, 8))

// [rows, HIDDEN] times packed weights [columns, HIDDEN].
static void multiply(const void *input, const float *added) {
  if (!bertconv_multiply(context, packed, input, rows, HIDDEN, added, BERTCONV_NOTHING, z, columns, 0)) return;
  fputs("kernels: oneDNN could not compute a product\n", stderr);
  exit(1);
}

KERNEL(product_f32, multiply(y, bias))
KERNEL(product_bf16, multiply(as_bf16, bias))
KERNEL(product_int8, multiply(as_bytes, NULL))

// MARK: The cases

// What is counted: the bytes that must be read and written, or additions and multiplications of products.
enum unit { BYTES, OPERATIONS };

// What x holds before each call of a kernel that changes it. The time to put it there is not counted; x is then in the
// cache, as it is where a product has just written it.
enum content { NOTHING, FLOATS, TOTALS };

struct kernel {
  const char *name;
  size_t rows, columns;
  enum content content;
  enum unit unit;
  double amount;  // for each element of rows x columns
  void (*fast)(void), (*plain)(void);
};

#define PAIR(function) function, function##_plain
// Two products a head.
#define ATTENTION (4 * HEADS * HEAD_SIZE)

static const struct kernel kernels[] = {
    {"residual layer norm", 128, HIDDEN, FLOATS, BYTES, 12, PAIR(residual_layer_norm)},
    {"layer norm", 128, HIDDEN, FLOATS, BYTES, 8, PAIR(layer_norm)},
    {"residual affine", 128, HIDDEN, FLOATS, BYTES, 12, PAIR(residual_affine)},
    {"affine", 128, HIDDEN, FLOATS, BYTES, 8, PAIR(affine)},
    {"add", 128, HIDDEN, FLOATS, BYTES, 12, PAIR(add)},
    {"bias", 128, HIDDEN, FLOATS, BYTES, 8, PAIR(bias_only)},
    {"bias gelu", 128, INNER, FLOATS, BYTES, 8, PAIR(bias_gelu)},
    {"bias gelu tanh", 128, INNER, FLOATS, BYTES, 8, PAIR(bias_gelu_tanh)},
    {"bias relu", 128, INNER, FLOATS, BYTES, 8, PAIR(bias_relu)},
    {"bias tanh", 8, HIDDEN, FLOATS, BYTES, 8, PAIR(bias_tanh)},
    {"relu", 128, INNER, FLOATS, BYTES, 8, relu, NULL},
    {"softmax", HEADS * 128, 128, FLOATS, BYTES, 8, PAIR(softmax)},
    {"softmax", HEADS * 512, 512, FLOATS, BYTES, 8, PAIR(softmax)},
    // Of attention, columns are keys. The plain version computes each score many times: for 512 tokens half a minute.
    {"attention f32", 128, 128, NOTHING, OPERATIONS, ATTENTION, PAIR(attention)},
    {"attention f32", 512, 512, NOTHING, OPERATIONS, ATTENTION, attention, NULL},
    {"attention f32 biased", 128, 128, NOTHING, OPERATIONS, ATTENTION, attention_biased, NULL},
    {"attention bf16", 128, 128, NOTHING, OPERATIONS, ATTENTION, attention_bf16, attention_plain},
    {"attention bf16", 512, 512, NOTHING, OPERATIONS, ATTENTION, attention_bf16, NULL},
    {"attention bf16 biased", 128, 128, NOTHING, OPERATIONS, ATTENTION, attention_bf16_biased, NULL},
    {"to bf16", 128, HIDDEN, NOTHING, BYTES, 6, to_bf16, NULL},
    {"to bf16", 128, INNER, NOTHING, BYTES, 6, to_bf16, NULL},
    {"quantize", 128, HIDDEN, NOTHING, BYTES, 5, quantize, NULL},
    {"quantize", 128, INNER, NOTHING, BYTES, 5, quantize, NULL},
    {"widen", 128, HIDDEN, TOTALS, BYTES, 8, widen, NULL},
    {"widen gelu", 128, INNER, TOTALS, BYTES, 8, widen_gelu, NULL},
    {"requantize gelu", 128, INNER, TOTALS, BYTES, 9, requantize_gelu, NULL},
    {"quantize weights", INNER, HIDDEN, NOTHING, BYTES, 5, quantize_weights, NULL},
    {"row sums", INNER, HIDDEN, NOTHING, BYTES, 1, row_sums, NULL},
    {"crc32c", HIDDEN, HIDDEN, NOTHING, BYTES, 4, PAIR(crc32c)},
    {"crc32c", INNER, HIDDEN, NOTHING, BYTES, 4, PAIR(crc32c)},
    {"crc32", HIDDEN, HIDDEN, NOTHING, BYTES, 4, PAIR(crc32)},
    {"crc32", INNER, HIDDEN, NOTHING, BYTES, 4, PAIR(crc32)},
    {"transpose 2 bytes", HIDDEN, INNER, NOTHING, BYTES, 4, transpose2, NULL},
    {"transpose 4 bytes", HIDDEN, HIDDEN, NOTHING, BYTES, 8, transpose4, NULL},
    {"transpose 4 bytes", HIDDEN, INNER, NOTHING, BYTES, 8, transpose4, NULL},
    {"swap 2 bytes", HIDDEN, INNER, NOTHING, BYTES, 4, swap2, NULL},
    {"swap 4 bytes", HIDDEN, INNER, NOTHING, BYTES, 8, swap4, NULL},
    {"swap 8 bytes", HIDDEN, HIDDEN, NOTHING, BYTES, 16, swap8, NULL},
};

// MARK: Timing

enum { MOST_CALLS = 1 << 20 };
static double times[MOST_CALLS];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int by_time(const void *a, const void *b) {
  double first = *(const double *)a, second = *(const double *)b;
  return (first > second) - (first < second);
}

struct timing {
  double best, median;
};

// Calls for as long as is asked for, at least once.
static struct timing measure(void (*call)(void), enum content content, double seconds) {
  size_t count = 0;
  double start = now(), end;
  do {
    if (content != NOTHING) memcpy(x, content == FLOATS ? (const void *)y : totals, rows * columns * sizeof *x);
    double began = now();
    call();
    end = now();
    times[count++] = end - began;
  } while (end - start < seconds && count < MOST_CALLS);
  qsort(times, count, sizeof *times, by_time);
  return (struct timing){times[0], times[count / 2]};
}

static void report(const struct kernel *kernel, double seconds) {
  rows = kernel->rows;
  columns = kernel->columns;
  measure(kernel->fast, kernel->content, 0);  // a call that does not count: plans, page faults and caches
  struct timing fast = measure(kernel->fast, kernel->content, seconds);
  double rate = kernel->amount * (double)rows * (double)columns / fast.median / 1e9;
  char shape[32];
  snprintf(shape, sizeof shape, "%zu x %zu", rows, columns);
  printf(
      "%-22s %-12s %10.2f %10.2f %8.1f %s", kernel->name, shape, fast.best * 1e6, fast.median * 1e6, rate,
      kernel->unit == BYTES ? "GB/s" : "GFLOP/s");
  if (kernel->plain) {
    struct timing plain = measure(kernel->plain, kernel->content, seconds);
    printf("%*.1f", kernel->unit == BYTES ? 12 : 9, plain.median / fast.median);
  }
  putchar('\n');
  fflush(stdout);
}

static int is_wanted(const char *name, char **wanted, int count) {
  for (int i = 0; i < count; i++)
    if (strstr(name, wanted[i])) return 1;
  return count == 0;
}

static void report_products(char **wanted, int count, double seconds) {
  const struct {
    const char *name;
    int precision;
    const void *weights;
    void (*run)(void);
  } products[] = {
      {"product f32", BERTCONV_F32, y, product_f32},
      {"product bf16", BERTCONV_BF16, as_bf16, product_bf16},
      {"product int8", BERTCONV_INT8, as_bytes, product_int8},
  };
  const size_t inputs[] = {16, 128, 1024}, outputs[] = {HIDDEN, INNER};
  for (size_t p = 0; p < sizeof products / sizeof *products; p++) {
    if (!is_wanted(products[p].name, wanted, count)) continue;
    if (!bertconv_onednn_has(products[p].precision)) {
      printf("%-22s left out: no oneDNN that computes it fast here\n", products[p].name);
      continue;
    }
    for (size_t n = 0; n < sizeof outputs / sizeof *outputs; n++) {
      packed = bertconv_pack(products[p].precision, products[p].weights, outputs[n], HIDDEN);
      if (!packed) {
        fputs("kernels: oneDNN could not pack the weights\n", stderr);
        exit(1);
      }
      for (size_t m = 0; m < sizeof inputs / sizeof *inputs; m++) {
        const struct kernel kernel = {
            products[p].name, inputs[m], outputs[n], NOTHING, OPERATIONS, 2 * HIDDEN, products[p].run, NULL};
        report(&kernel, seconds);
      }
      bertconv_packed_free(packed);
    }
  }
}

// The same with panels of each level: all columns in blocks of 16 panels, rows in blocks of 144, activations converted each
// time.
static bertconv_panels *panels;
static uint8_t *panel_rows;
static uint16_t *byte_columns;

static void multiply_panels(void) {
  size_t count = bertconv_panels_count(panels), bytes = bertconv_panels_row_bytes(panels);
  const int needs_columns = bertconv_panels_need_columns(panels);
  switch (bertconv_panels_input(panels)) {
    case BERTCONV_INPUT_FLOATS:
      for (size_t r = 0; r < rows; r++) memcpy(panel_rows + r * bytes, y + r * HIDDEN, HIDDEN * sizeof *y);
      break;
    case BERTCONV_INPUT_ROUNDED:
      bertconv_round_to_bf16(y, HIDDEN, (float *)panel_rows, bytes / sizeof(float), rows, HIDDEN);
      break;
    case BERTCONV_INPUT_BF16:
      bertconv_narrow(
          y, HIDDEN, NULL, BERTCONV_THEN_NOTHING, (uint16_t *)panel_rows, bytes / sizeof(uint16_t), rows, HIDDEN);
      break;
    default: break;  // They are bytes.
  }
  if (needs_columns)
    bertconv_columns_fill(
        panels, panel_rows, rows, byte_columns, 0, (rows + BERTCONV_GROUP_ROWS - 1) / BERTCONV_GROUP_ROWS);
  for (size_t row = 0; row < rows; row += 144)
    for (size_t panel = 0; panel < count; panel += 16) {
      struct bertconv_block block = {
          row, row + 144 < rows ? row + 144 : rows, panel, panel + 16 < count ? panel + 16 : count};
      bertconv_panels_multiply(
          panels, panel_rows, bytes, needs_columns ? byte_columns : NULL, block,
          z + row * columns + panel * BERTCONV_PANEL_WIDTH, columns);
    }
}

static void report_panels(char **wanted, int count, double seconds) {
  const struct {
    const char *name;
    int type;
    const void *weights;
  } products[] = {
      {"f32", BERTCONV_PANELS_F32, y}, {"bf16", BERTCONV_PANELS_BF16, as_bf16}, {"int8", BERTCONV_PANELS_INT8, as_bytes}};
  const char *const levels[] = {"plain", "avx2", "avx2_vnni", "avx512", "avx512_dot"};
  const size_t inputs[] = {16, 128, 1024}, outputs[] = {HIDDEN, INNER};
  panel_rows = allocate(1024 * (HIDDEN * sizeof *y + 64));
  memcpy(panel_rows, as_bytes, 1024 * HIDDEN);
  byte_columns = allocate(bertconv_columns_size(1024, HIDDEN) * sizeof *byte_columns);
  for (size_t p = 0; p < sizeof products / sizeof *products; p++)
    for (int level = BERTCONV_PANELS_AVX2; level <= BERTCONV_PANELS_AVX512_DOT; level++) {
      char name[40];
      snprintf(name, sizeof name, "panels %s %s", products[p].name, levels[level]);
      if (!is_wanted(name, wanted, count) || !bertconv_panels_has(products[p].type, level)) continue;
      for (size_t n = 0; n < sizeof outputs / sizeof *outputs; n++) {
        panels = bertconv_panels_create(products[p].type, level, outputs[n], HIDDEN);
        if (!panels || bertconv_panels_fill(panels, products[p].weights, 0, bertconv_panels_count(panels))) {
          fputs("kernels: the weights could not be packed\n", stderr);
          exit(1);
        }
        for (size_t m = 0; m < sizeof inputs / sizeof *inputs; m++) {
          const struct kernel kernel = {
              name, inputs[m], outputs[n], NOTHING, OPERATIONS, 2 * HIDDEN, multiply_panels, NULL};
          report(&kernel, seconds);
        }
        bertconv_panels_free(panels);
      }
    }
  free(panel_rows);
  free(byte_columns);
}

static int usage(FILE *file, int status) {
  fputs(
      "usage: kernels [--seconds S] [NAME ...]\n"
      "Times all kernels, or those whose name contains one of the NAMEs, on one thread.\n"
      "  --seconds S   for each kernel, and for each plain version (default: 0.5)\n",
      file);
  return status;
}

int main(int count, char **texts) {
  double seconds = 0.5;
  int first = 1;
  if (first < count && (!strcmp(texts[first], "--help") || !strcmp(texts[first], "-h"))) return usage(stdout, 0);
  if (first < count && !strcmp(texts[first], "--seconds")) {
    char *end = NULL;
    if (first + 1 < count) seconds = strtod(texts[first + 1], &end);
    if (!end || *end || !(seconds > 0)) return usage(stderr, 64);
    first += 2;
  }
  for (int i = first; i < count; i++)
    if (texts[i][0] == '-') return usage(stderr, 64);
  char **wanted = texts + first;
  count -= first;

  make_buffers();
  printf("compiled by %s\n", __VERSION__);
  printf("%-22s %-12s %10s %10s %16s %8s\n", "kernel", "shape", "best us", "median us", "at the median", "x plain");
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    const struct kernel *kernel = &kernels[i];
    if (!is_wanted(kernel->name, wanted, count)) continue;
    if ((kernel->fast == attention_bf16 || kernel->fast == attention_bf16_biased) && !bertconv_has_bf16_attention())
      printf("%-22s left out: the processor has no products of bfloat16\n", kernel->name);
    else
      report(kernel, seconds);
  }
  bertconv_onednn_set_threads(1);
  context = bertconv_context_create();
  report_products(wanted, count, seconds);
  report_panels(wanted, count, seconds);
  bertconv_context_free(context);
  return 0;
}
