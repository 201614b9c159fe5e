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

static size_t padded_depth(int type, size_t k) {
  return type == BERTCONV_PANELS_INT8 ? (k + 3) / 4 * 4 : k;
}

static size_t size_of(int type) {
  return type == BERTCONV_PANELS_F32 ? sizeof(float) : type == BERTCONV_PANELS_BF16 ? sizeof(uint16_t) : 1;
}

bertconv_panels *bertconv_panels_create(int type, int level, size_t n, size_t k) {
  bertconv_panels *panels = calloc(1, sizeof *panels);
  if (!panels) return NULL;
  panels->type = type;
  panels->level = level;
  panels->n = n;
  panels->k = k;
  panels->count = (n + WIDTH - 1) / WIDTH;
  panels->data = allocate(panels->count * WIDTH * padded_depth(type, k) * size_of(type));
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

int bertconv_panels_need_columns(const bertconv_panels *panels) { return panels->rests != NULL; }

size_t bertconv_row_bytes(size_t k) { return padded_depth(BERTCONV_PANELS_INT8, k); }

// MARK: Packing

// Sixteen rows at a time, in steps of inputs that stay in the cache: each row of the source is read in order.
#define DEFINE_FILL(name, type, panel)                                                                       \
  static void name(bertconv_panels *w, const type *weights, size_t p) {                                      \
    size_t height = smaller(w->n - p * WIDTH, WIDTH);                                                        \
    for (size_t start = 0, block = 0; start < w->k; start += DEPTH, block++) {                               \
      size_t depth = smaller(w->k - start, DEPTH);                                                           \
      type *to = (type *)panel(w, block, p, depth);                                                          \
      if (height < WIDTH) memset(to, 0, depth * WIDTH * sizeof *to);                                         \
      for (size_t d0 = 0; d0 < depth; d0 += 16)                                                              \
        for (size_t i = 0; i < height; i++) {                                                                \
          const type *from = weights + (p * WIDTH + i) * w->k + start;                                       \
          for (size_t d = d0; d < smaller(d0 + 16, depth); d++) to[d * WIDTH + i] = from[d];                 \
        }                                                                                                    \
    }                                                                                                        \
  }
DEFINE_FILL(fill_floats, float, panel_of_floats)
DEFINE_FILL(fill_halves, uint16_t, panel_of_halves)

// What has to be taken from the larger of two weights, so that neither sum of two products exceeds 16 bits: 0 where nothing has.
INLINE int excess(int a, int b) {
  int sum = a + b;
  // With different signs no sum is larger than one of the two.
  if ((a < 0) != (b < 0)) return 0;
  return sum > LIMIT ? sum - LIMIT : sum < -LIMIT ? sum + LIMIT : 0;
}

static int fill_bytes(bertconv_panels *w, const int8_t *weights, size_t p) {
  size_t height = smaller(w->n - p * WIDTH, WIDTH), whole = padded_depth(w->type, w->k);
  struct rests *rests = w->rests ? &w->rests[p] : NULL;
  uint32_t count = 0, capacity = 0;
  for (size_t i = 0; i < WIDTH; i++) {
    const int8_t *from = weights + (p * WIDTH + i) * w->k;
    if (rests) rests->start[i] = count;
    for (size_t d = 0; d < whole; d += 2) {
      int pair[2] = {i < height && d < w->k ? from[d] : 0, i < height && d + 1 < w->k ? from[d + 1] : 0};
      int cut = rests ? excess(pair[0], pair[1]) : 0;
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
      size_t block = d / DEPTH_OF_BYTES, start = block * DEPTH_OF_BYTES;
      int8_t *to = (int8_t *)panel_of_bytes(w, block, p, smaller(whole - start, DEPTH_OF_BYTES));
      to += (d - start) / 4 * 4 * WIDTH + 4 * i + d % 4;
      to[0] = (int8_t)pair[0];
      to[1] = (int8_t)pair[1];
    }
    // An even number: there was room for one more.
    if (rests && (count - rests->start[i]) % 2) rests->list[count++] = (struct rest){0, 0};
  }
  if (rests) rests->start[WIDTH] = count;
  return 0;
}

int bertconv_panels_fill(bertconv_panels *panels, const void *weights, size_t first, size_t last) {
  for (size_t p = first; p < last; p++) {
    switch (panels->type) {
      case BERTCONV_PANELS_F32: fill_floats(panels, weights, p); break;
      case BERTCONV_PANELS_BF16: fill_halves(panels, weights, p); break;
      default:
        if (fill_bytes(panels, weights, p)) return -1;
    }
  }
  return 0;
}

// MARK: Activations

size_t bertconv_tiles_size(size_t rows, size_t k) {
  return (rows + ROWS - 1) / ROWS * ROWS * ((k + DEPTH - 1) / DEPTH * DEPTH);
}

// A float with the bits of the nearest bfloat16, ties to even. A NaN stays one.
INLINE float rounded(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  uint32_t nearest = (bits + 0x7FFFu + (bits >> 16 & 1u)) & 0xFFFF0000u;
  bits = x != x ? (bits | 0x400000u) & 0xFFFF0000u : nearest;
  memcpy(&x, &bits, sizeof x);
  return x;
}

INLINE void fill_tiles(
    const float *restrict x, size_t stride, size_t rows, size_t k, const int rounds, float *restrict tiles, size_t first,
    size_t last) {
  for (size_t start = 0, block = 0; start < k; start += DEPTH, block++) {
    size_t depth = smaller(k - start, DEPTH);
    for (size_t tile = first; tile < last; tile++)
      for (size_t r = 0; r < ROWS && tile * ROWS + r < rows; r++) {
        const float *restrict from = x + (tile * ROWS + r) * stride + start;
        float *restrict to = tiles + tile_offset(rows, block, tile) + r * DEPTH;
        if (rounds)
          for (size_t d = 0; d < depth; d++) to[d] = rounded(from[d]);
        else
          memcpy(to, from, depth * sizeof *to);
      }
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void fill_tiles_avx2(
    const float *x, size_t stride, size_t rows, size_t k, float *tiles, size_t first, size_t last) {
  fill_tiles(x, stride, rows, k, 1, tiles, first, last);
}
#endif

void bertconv_tiles_fill(
    int level, const float *x, size_t stride, size_t rows, size_t k, int rounds, float *tiles, size_t first,
    size_t last) {
  if (!rounds) {
    fill_tiles(x, stride, rows, k, 0, tiles, first, last);
    return;
  }
#if defined(__x86_64__)
  if (level == BERTCONV_PANELS_AVX2) {
    fill_tiles_avx2(x, stride, rows, k, tiles, first, last);
    return;
  }
#endif
  (void)level;
  fill_tiles(x, stride, rows, k, 1, tiles, first, last);
}

size_t bertconv_columns_size(size_t rows, size_t k) { return (rows + GROUP - 1) / GROUP * GROUP * k; }

void bertconv_columns_fill(
    const bertconv_panels *panels, const uint8_t *x, size_t rows, uint16_t *columns, size_t first, size_t last) {
  size_t k = panels->k, stride = bertconv_row_bytes(k);
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

INLINE void multiply_tiles(
    tile_of_floats *kernel, widen_halves *widen, const bertconv_panels *w, const float *tiles, size_t rows,
    struct bertconv_block part, float *y, size_t y_stride) {
  _Alignas(64) float widened[DEPTH * WIDTH], edge[ROWS * WIDTH];
  const int lines = lines_of_tiles((part.last_row - part.first_row + ROWS - 1) / ROWS);
  for (size_t start = 0, block = 0; start < w->k; start += DEPTH, block++) {
    size_t depth = smaller(w->k - start, DEPTH);
    int adds = block > 0;
    for (size_t p = part.first_panel; p < part.last_panel; p++) {
      int is_last = p + 1 == part.last_panel;
      const float *b = widened;
      const void *next;
      if (w->type == BERTCONV_PANELS_BF16) {
        const uint16_t *halves = panel_of_halves(w, block, p, depth);
        widen(halves, widened, depth * WIDTH);
        next = is_last ? NULL : halves + depth * WIDTH;
      } else {
        b = panel_of_floats(w, block, p, depth);
        next = is_last ? NULL : b + depth * WIDTH;
      }
      // Lines of the next panel.
      size_t steps = w->type == BERTCONV_PANELS_BF16 ? depth / 2 : depth;
      size_t width = smaller(w->n - p * WIDTH, WIDTH);
      for (size_t row = part.first_row; row < part.last_row; row += ROWS) {
        size_t height = smaller(part.last_row - row, ROWS);
        size_t offset = offset_ahead(steps, (row - part.first_row) / ROWS, lines);
        const char *ahead = next && offset < steps * LINE ? (const char *)next + offset : NULL;
        const float *a = tiles + tile_offset(rows, block, row / ROWS);
        float *c = y + row * y_stride + p * WIDTH;
        if (width == WIDTH) {
          kernel(height, a, b, depth, ahead, ahead ? lines : 0, c, y_stride, adds);
          continue;
        }
        for (size_t r = 0; r < height && adds; r++) memcpy(edge + r * WIDTH, c + r * y_stride, width * sizeof *c);
        kernel(height, a, b, depth, ahead, ahead ? lines : 0, edge, WIDTH, adds);
        for (size_t r = 0; r < height; r++) memcpy(c + r * y_stride, edge + r * WIDTH, width * sizeof *c);
      }
    }
  }
}

void bertconv_panels_multiply(
    const bertconv_panels *panels, const float *tiles, size_t rows, struct bertconv_block block, float *y,
    size_t y_stride) {
#if defined(__x86_64__)
  if (panels->level == BERTCONV_PANELS_AVX2) {
    multiply_tiles(
        bertconv_tile_avx2, bertconv_widen_halves_avx2, panels, tiles, rows, block, y, y_stride);
    return;
  }
#endif
  multiply_tiles(bertconv_tile_plain, bertconv_widen_halves_plain, panels, tiles, rows, block, y, y_stride);
}

INLINE void multiply_bytes(
    tile_of_bytes *kernel, add_rests *add, const bertconv_panels *w, const uint8_t *x, const uint16_t *columns,
    struct bertconv_block part, int32_t *y, size_t y_stride) {
  _Alignas(64) int32_t edge[ROWS * WIDTH];
  const int lines = lines_of_tiles((part.last_row - part.first_row + ROWS - 1) / ROWS);
  size_t stride = bertconv_row_bytes(w->k);
  for (size_t start = 0, block = 0; start < stride; start += DEPTH_OF_BYTES, block++) {
    size_t depth = smaller(stride - start, DEPTH_OF_BYTES);
    int adds = block > 0, is_end = start + depth == stride;
    for (size_t p = part.first_panel; p < part.last_panel; p++) {
      const int8_t *b = panel_of_bytes(w, block, p, depth);
      const int8_t *next = p + 1 == part.last_panel ? NULL : b + depth * WIDTH;
      size_t width = smaller(w->n - p * WIDTH, WIDTH);
      for (size_t row = part.first_row; row < part.last_row; row += ROWS) {
        size_t height = smaller(part.last_row - row, ROWS);
        size_t offset = offset_ahead(depth / 4, (row - part.first_row) / ROWS, lines);
        const char *ahead = next && offset < depth * WIDTH ? (const char *)next + offset : NULL;
        const uint8_t *a = x + row * stride + start;
        int32_t *c = y + row * y_stride + p * WIDTH;
        if (width == WIDTH) {
          kernel(height, a, stride, b, depth / 4, ahead, ahead ? lines : 0, c, y_stride, adds);
          continue;
        }
        for (size_t r = 0; r < height && adds; r++) memcpy(edge + r * WIDTH, c + r * y_stride, width * sizeof *c);
        kernel(height, a, stride, b, depth / 4, ahead, ahead ? lines : 0, edge, WIDTH, adds);
        for (size_t r = 0; r < height; r++) memcpy(c + r * y_stride, edge + r * WIDTH, width * sizeof *c);
      }
      if (!columns || !is_end) continue;
      for (size_t row = part.first_row; row < part.last_row; row += GROUP)
        add(&w->rests[p], columns + row * w->k, y + row * y_stride + p * WIDTH, y_stride,
            smaller(part.last_row - row, GROUP), width);
    }
  }
}

void bertconv_panels_multiply_bytes(
    const bertconv_panels *panels, const uint8_t *x, const uint16_t *columns, struct bertconv_block block, int32_t *y,
    size_t y_stride) {
#if defined(__x86_64__)
  if (panels->level == BERTCONV_PANELS_AVX2) {
    multiply_bytes(
        bertconv_tile_of_bytes_avx2, bertconv_add_rests_avx2, panels, x, columns, block, y, y_stride);
    return;
  }
#endif
  multiply_bytes(bertconv_tile_of_bytes_plain, bertconv_add_rests_plain, panels, x, columns, block, y, y_stride);
}
