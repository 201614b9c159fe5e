// See CProducts.h and panels.h: packing, and the loops around the kernels.

#define _GNU_SOURCE
#include "panels.h"

#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

// A product of few rows reads each weight once: it is as fast as memory, and page tables in the way cost a fifth of that.
enum { LARGE_PAGE = 2 << 20 };

static void *allocate(size_t bytes) {
  void *data = NULL;
  if (posix_memalign(&data, bytes >= LARGE_PAGE ? LARGE_PAGE : 64, bytes)) return NULL;
#if defined(__linux__)
  if (bytes >= LARGE_PAGE) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return data;
}

// MARK: Levels

#if defined(__x86_64__)
// On other processors with vdpbf16ps a multiplication takes as long in it as in a product of floats, or longer.
static int has_fast_bf16(void) {
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd");
}
#endif

int bertconv_panels_has(int type, int level) {
  if (level == BERTCONV_PANELS_PLAIN) return 1;
#if defined(__x86_64__)
  __builtin_cpu_init();
  int is_int8 = type == BERTCONV_PANELS_INT8;
  int has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  int has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  switch (level) {
    case BERTCONV_PANELS_AVX2: return has_avx2;
    case BERTCONV_PANELS_AVX2_VNNI: return is_int8 && has_avx2 && __builtin_cpu_supports("avxvnni");
    case BERTCONV_PANELS_AVX512: return !is_int8 && has_avx2 && has_avx512;
    case BERTCONV_PANELS_AVX512_DOT:
      return has_avx2 && has_avx512 &&
             (is_int8 ? __builtin_cpu_supports("avx512vnni")
                      : type == BERTCONV_PANELS_BF16 && __builtin_cpu_supports("avx512bf16"));
    default: return 0;
  }
#else
  (void)type;
  return 0;
#endif
}

int bertconv_panels_best(int type, int limit) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  int top = limit >= BERTCONV_PANELS_AVX512 ? BERTCONV_PANELS_AVX512_DOT : limit;
  if (type == BERTCONV_PANELS_BF16 && top == BERTCONV_PANELS_AVX512_DOT && !has_fast_bf16()) top--;
  for (int level = top; level > BERTCONV_PANELS_PLAIN; level--)
    if (bertconv_panels_has(type, level)) return level;
#endif
  (void)type, (void)limit;
  return BERTCONV_PANELS_PLAIN;
}

// Those of panels that were made for their level.
static struct kernels kernels_of(const bertconv_panels *w) {
  const int is_int8 = w->type == BERTCONV_PANELS_INT8;
#if defined(__x86_64__)
  switch (w->level) {
    case BERTCONV_PANELS_AVX2:
      return (struct kernels){
          is_int8 ? bertconv_byte_tile_avx2 : bertconv_tile_avx2, ROWS, 1, bertconv_widen_halves_avx2,
          bertconv_add_rests_avx2};
    case BERTCONV_PANELS_AVX2_VNNI: return (struct kernels){bertconv_byte_tile_avx2_vnni, ROWS, 1, NULL, NULL};
    case BERTCONV_PANELS_AVX512:
      return (struct kernels){bertconv_tile_avx512, MAX_ROWS, MAX_PANELS, bertconv_widen_halves_avx2, NULL};
    case BERTCONV_PANELS_AVX512_DOT:
      return (struct kernels){
          is_int8 ? bertconv_byte_tile_avx512 : bertconv_bf16_tile_avx512, MAX_ROWS, MAX_PANELS, NULL, NULL};
    default: break;
  }
#endif
  return (struct kernels){
      is_int8 ? bertconv_byte_tile_plain : bertconv_tile_plain, ROWS, 1, bertconv_widen_halves_plain,
      bertconv_add_rests_plain};
}

// MARK: Panels

bertconv_panels *bertconv_panels_create(int type, int level, size_t n, size_t k) {
  bertconv_panels *panels = calloc(1, sizeof *panels);
  if (!panels) return NULL;
  const int is_dot = type == BERTCONV_PANELS_BF16 && level == BERTCONV_PANELS_AVX512_DOT;
  panels->type = type;
  panels->level = level;
  panels->n = n;
  panels->k = k;
  panels->count = (n + WIDTH - 1) / WIDTH;
  panels->inputs = type == BERTCONV_PANELS_INT8 ? 4 : is_dot ? 2 : 1;
  panels->size = type == BERTCONV_PANELS_BF16 && !is_dot ? 2 : 4;
  panels->steps = (k + panels->inputs - 1) / panels->inputs;
  panels->depth = level == BERTCONV_PANELS_AVX512 ? DEPTH_512 : DEPTH;
  panels->data = allocate(panels->count * WIDTH * panels->steps * panels->size);
  int cuts = type == BERTCONV_PANELS_INT8 && level == BERTCONV_PANELS_AVX2;
  if (cuts) panels->rests = calloc(panels->count, sizeof *panels->rests);
  if (!panels->data || (cuts && !panels->rests)) {
    bertconv_panels_free(panels);
    return NULL;
  }
  return panels;
}

void bertconv_panels_free(bertconv_panels *panels) {
  if (!panels) return;
  for (size_t p = 0; panels->rests && p < panels->count; p++) free(panels->rests[p].list);
  free(panels->rests);
  free(panels->data);
  free(panels);
}

size_t bertconv_panels_count(const bertconv_panels *panels) { return panels->count; }

// MARK: Packing

// Sixteen rows at a time, in steps of inputs that stay in the cache: each row of the source is read in order.
#define DEFINE_FILL(name, type, inputs)                                                                      \
  static void name(bertconv_panels *w, const type *weights, size_t p) {                                      \
    size_t height = smaller(w->n - p * WIDTH, WIDTH);                                                        \
    for (size_t start = 0; start < w->steps; start += w->depth) {                                            \
      size_t depth = block_depth(w, start), count = smaller(w->k - start * inputs, depth * inputs);          \
      type *to = (type *)panel_start(w, start, p);                                                           \
      if (height < WIDTH || count < depth * inputs) memset(to, 0, depth * WIDTH * inputs * sizeof *to);      \
      for (size_t d0 = 0; d0 < count; d0 += 16)                                                              \
        for (size_t i = 0; i < height; i++) {                                                                \
          const type *from = weights + (p * WIDTH + i) * w->k + start * inputs;                              \
          for (size_t d = d0; d < smaller(d0 + 16, count); d++)                                              \
            to[(d / inputs * WIDTH + i) * inputs + d % inputs] = from[d];                                    \
        }                                                                                                    \
    }                                                                                                        \
  }
DEFINE_FILL(fill_floats, float, 1)
DEFINE_FILL(fill_halves, uint16_t, 1)
DEFINE_FILL(fill_pairs, uint16_t, 2)
DEFINE_FILL(fill_bytes, int8_t, 4)

// What has to be taken from the larger of two weights, so that neither sum of two products exceeds 16 bits: 0 where nothing has.
INLINE int excess(int a, int b) {
  int sum = a + b;
  // With different signs no sum is larger than one of the two.
  if ((a < 0) != (b < 0)) return 0;
  return sum > LIMIT ? sum - LIMIT : sum < -LIMIT ? sum + LIMIT : 0;
}

static int fill_cut_bytes(bertconv_panels *w, const int8_t *weights, size_t p) {
  size_t height = smaller(w->n - p * WIDTH, WIDTH), whole = 4 * w->steps;
  struct rests *rests = &w->rests[p];
  uint32_t count = 0, capacity = 0;
  for (size_t i = 0; i < WIDTH; i++) {
    const int8_t *from = weights + (p * WIDTH + i) * w->k;
    rests->start[i] = count;
    for (size_t d = 0; d < whole; d += 2) {
      int pair[2] = {i < height && d < w->k ? from[d] : 0, i < height && d + 1 < w->k ? from[d + 1] : 0};
      int cut = excess(pair[0], pair[1]);
      if (cut) {
        if (count + 2 > capacity) {
          capacity = capacity ? 2 * capacity : 64;
          struct rest *list = realloc(rests->list, capacity * sizeof *list);
          if (!list) return -1;
          rests->list = list;
        }
        int larger = abs(pair[1]) > abs(pair[0]);
        pair[larger] -= cut;
        rests->list[count++] = (struct rest){(uint32_t)(d + (size_t)larger), cut};
      }
      size_t start = d / 4 / w->depth * w->depth;
      int8_t *to = (int8_t *)panel_start(w, start, p);
      to += ((d / 4 - start) * WIDTH + i) * 4 + d % 4;
      to[0] = (int8_t)pair[0];
      to[1] = (int8_t)pair[1];
    }
    // An even number: there was room for one more.
    if ((count - rests->start[i]) % 2) rests->list[count++] = (struct rest){0, 0};
  }
  rests->start[WIDTH] = count;
  return 0;
}

int bertconv_panels_fill(bertconv_panels *panels, const void *weights, size_t first, size_t last) {
  for (size_t p = first; p < last; p++) {
    switch (panels->type) {
      case BERTCONV_PANELS_F32: fill_floats(panels, weights, p); break;
      case BERTCONV_PANELS_BF16:
        if (panels->inputs == 2)
          fill_pairs(panels, weights, p);
        else
          fill_halves(panels, weights, p);
        break;
      default:
        if (!panels->rests)
          fill_bytes(panels, weights, p);
        else if (fill_cut_bytes(panels, weights, p))
          return -1;
    }
  }
  return 0;
}

// MARK: Activations

int bertconv_panels_input(const bertconv_panels *panels) {
  switch (panels->type) {
    case BERTCONV_PANELS_F32: return BERTCONV_INPUT_FLOATS;
    case BERTCONV_PANELS_BF16: return panels->inputs == 2 ? BERTCONV_INPUT_BF16 : BERTCONV_INPUT_ROUNDED;
    default: return BERTCONV_INPUT_BYTES;
  }
}

// Of 4096 bytes, the reach of the sets of a first-level cache, these rows start at one or two places.
int bertconv_rows_collide(size_t bytes) { return bytes % 2048 == 0; }

size_t bertconv_panels_input_bytes(const bertconv_panels *panels) { return 4 * panels->steps; }

size_t bertconv_panels_row_bytes(const bertconv_panels *panels) {
  size_t bytes = bertconv_panels_input_bytes(panels);
  return bertconv_rows_collide(bytes) ? bytes + LINE : bytes;
}

int bertconv_panels_need_columns(const bertconv_panels *panels) { return panels->rests != NULL; }

size_t bertconv_columns_size(size_t rows, size_t k) { return (rows + GROUP - 1) / GROUP * GROUP * k; }

void bertconv_columns_fill(
    const bertconv_panels *panels, const uint8_t *x, size_t rows, uint16_t *columns, size_t first, size_t last) {
  size_t k = panels->k, stride = bertconv_panels_row_bytes(panels);
  for (size_t group = first; group < last; group++) {
    uint16_t *to = columns + group * GROUP * k;
    const uint8_t *from = x + group * GROUP * stride;
    size_t height = smaller(rows - group * GROUP, GROUP), done = 0;
#if defined(__x86_64__)
    if (panels->level == BERTCONV_PANELS_AVX2 && height == GROUP) done = bertconv_columns_avx2(from, stride, k, to);
#endif
    bertconv_columns_plain(from, stride, height, done, k, to);
  }
}

// MARK: Products

// A tile into y, where its last panel is whole, else through memory of its own.
static void multiply_tile(
    const struct kernels *kernels, size_t rows, size_t panels, size_t width, const uint32_t *a, size_t a_stride,
    const uint32_t *b, size_t steps, const char *ahead, size_t lines, uint32_t *y, size_t y_stride, int adds) {
  if (width == panels * WIDTH) {
    kernels->tile(rows, panels, a, a_stride, b, steps, ahead, lines, y, y_stride, adds);
    return;
  }
  uint32_t edge[MAX_ROWS * MAX_PANELS * WIDTH];
  for (size_t r = 0; r < rows && adds; r++)
    memcpy(edge + r * panels * WIDTH, y + r * y_stride, width * sizeof *y);
  kernels->tile(rows, panels, a, a_stride, b, steps, ahead, lines, edge, panels * WIDTH, adds);
  for (size_t r = 0; r < rows; r++) memcpy(y + r * y_stride, edge + r * panels * WIDTH, width * sizeof *y);
}

// All rows of a part by adjacent panels, which begin with output `first`; `next` is what is read after them, or NULL.
static void multiply_rows(
    const struct kernels *kernels, const bertconv_panels *w, size_t panels, size_t first, const uint32_t *a,
    size_t a_stride, const uint32_t *b, size_t steps, const char *next, struct bertconv_block part, uint32_t *y,
    size_t y_stride, int adds) {
  size_t count = part.last_row - part.first_row, tiles = (count + kernels->rows - 1) / kernels->rows;
  // As many bytes as these panels have, in parts for all tiles.
  size_t bytes = panels * steps * WIDTH * w->size, quarters = steps / 4;
  size_t lines = quarters ? (bytes / LINE + tiles * quarters - 1) / (tiles * quarters) : 0;
  for (size_t tile = 0; tile < tiles; tile++) {
    // All about as high: a low one would wait for the weights.
    size_t row = count * tile / tiles, end = count * (tile + 1) / tiles, start = tile * lines * quarters * LINE;
    const char *ahead = next && start < bytes ? next + start : NULL;
    multiply_tile(
        kernels, end - row, panels, smaller(w->n - first, panels * WIDTH), a + (part.first_row + row) * a_stride, a_stride,
        b, steps, ahead, ahead ? lines : 0, y + row * y_stride + first - part.first_panel * WIDTH, y_stride, adds);
  }
}

void bertconv_panels_multiply(
    const bertconv_panels *w, const void *x, size_t x_bytes, const uint16_t *columns, struct bertconv_block part, void *y,
    size_t y_stride) {
  if (part.first_row >= part.last_row) return;
  const struct kernels kernels = kernels_of(w);
  _Alignas(64) float widened[WIDTH * (DEPTH > DEPTH_512 * MAX_PANELS ? DEPTH : DEPTH_512 * MAX_PANELS)];
  for (size_t start = 0; start < w->steps; start += w->depth) {
    size_t depth = block_depth(w, start);
    const uint32_t *a = (const uint32_t *)x + start;
    for (size_t p = part.first_panel; p < part.last_panel; p += kernels.panels) {
      size_t panels = smaller(part.last_panel - p, kernels.panels);
      const char *stored = panel_start(w, start, p), *next = NULL;
      if (p + panels < part.last_panel)
        next = stored + panels * depth * WIDTH * w->size;
      else if (start + w->depth < w->steps)
        next = panel_start(w, start + w->depth, part.first_panel);
      else if (part.last_panel < w->count)  // what the same thread is likely to do next
        next = panel_start(w, 0, part.last_panel);
      const uint32_t *b = (const uint32_t *)stored;
      if (w->size == 2) {
        kernels.widen((const uint16_t *)stored, widened, panels * depth * WIDTH);
        b = (const uint32_t *)widened;
      }
      multiply_rows(
          &kernels, w, panels, p * WIDTH, a, x_bytes / sizeof *a, b, depth, next, part, y, y_stride, start > 0);
    }
  }
  for (size_t p = part.first_panel; columns && p < part.last_panel; p++)
    for (size_t row = part.first_row; row < part.last_row; row += GROUP)
      kernels.add(
          &w->rests[p], columns + row * w->k,
          (int32_t *)y + (row - part.first_row) * y_stride + (p - part.first_panel) * WIDTH, y_stride,
          smaller(part.last_row - row, GROUP), smaller(w->n - p * WIDTH, WIDTH));
}
