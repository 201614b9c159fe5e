// What the files of this target share: the layout of packed weights and of activations.
//
// Weights of f32 and bf16, [n, k] cut into blocks of DEPTH inputs and panels of WIDTH outputs, one after the other:
//
//     block 0: | panel 0: input 0: w[0..15][0] | input 1: w[0..15][1] | ... | panel 1: ... |   block 1: ...
//
// so that all panels of a block lie in the order in which a product reads them. Weights of int8 are the same with four inputs
// of each output next to each other: w[0][0..3] w[1][0..3] ... w[15][0..3] | w[0][4..7] ...
//
// Activations of f32 and bf16, [rows, k] cut into blocks of DEPTH inputs and tiles of ROWS rows:
//
//     block 0: | tile 0: x[0][0..383] | x[1][0..383] | ... x[5][0..383] | tile 1: ... |   block 1: ...

#ifndef BERTCONV_PANELS_H
#define BERTCONV_PANELS_H

#include <stddef.h>
#include <stdint.h>

#include "CProducts.h"

// A panel of a block (24 KB) and a tile (9 KB) stay in the first-level cache, or pass through it in order.
enum {
  WIDTH = BERTCONV_PANEL_WIDTH,
  ROWS = BERTCONV_TILE_ROWS,
  DEPTH = 384,
  DEPTH_OF_BYTES = 1024,
  GROUP = BERTCONV_GROUP_ROWS,
};

#define INLINE static inline __attribute__((always_inline))

// What the sum of two products of bytes must not exceed where it is made in 16 bits: 255 * LIMIT <= 32767.
enum { LIMIT = 128 };

// A part of a weight that was taken out of its panel: vpmaddubsw adds two products in 16 bits, and with two neighboring weights
// of one sign whose sum is larger than LIMIT these may be too few. Such a pair is cut to that sum, and what was cut off is added
// to the result on its own.
struct rest {
  uint32_t input;
  int32_t weight;
};

// The rests of a panel, those of output i from start[i] to start[i + 1], an even number of them (the last may be 0).
struct rests {
  uint32_t start[WIDTH + 1];
  struct rest *list;
};

struct bertconv_panels {
  int type, level;
  size_t n, k, count;
  void *data;
  struct rests *rests;  // of each panel; NULL where nothing was cut
};

INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// Inputs of a block, and where its panel starts.
INLINE const float *panel_of_floats(const bertconv_panels *w, size_t block, size_t panel, size_t depth) {
  return (const float *)w->data + block * DEPTH * w->count * WIDTH + panel * depth * WIDTH;
}
INLINE const uint16_t *panel_of_halves(const bertconv_panels *w, size_t block, size_t panel, size_t depth) {
  return (const uint16_t *)w->data + block * DEPTH * w->count * WIDTH + panel * depth * WIDTH;
}
INLINE const int8_t *panel_of_bytes(const bertconv_panels *w, size_t block, size_t panel, size_t depth) {
  return (const int8_t *)w->data + block * DEPTH_OF_BYTES * w->count * WIDTH + panel * depth * WIDTH;
}

INLINE size_t tile_offset(size_t rows, size_t block, size_t tile) {
  return (block * ((rows + ROWS - 1) / ROWS) + tile) * ROWS * DEPTH;
}

// The tiles of a panel ask the memory for the next panel, each for some of its cache lines, so that few are under way at a time:
// `lines` (0, 1, 2 or 4) for each four steps of a tile's loop, from `ahead` on. The panel has as many lines as the loop has steps.
enum { LINE = 64 };

INLINE int lines_of_tiles(size_t tiles) { return tiles >= 4 ? 1 : tiles >= 2 ? 2 : 4; }

INLINE size_t offset_ahead(size_t steps, size_t tile, int lines) { return tile * (steps / 4) * (size_t)lines * LINE; }

// c [rows, 16] = a · b, plus c where `adds`: a tile of at most six rows and `depth` inputs by a panel; rows of c are c_stride
// apart.
typedef void tile_of_floats(
    size_t rows, const float *a, const float *b, size_t depth, const char *ahead, int lines, float *c,
    size_t c_stride, int adds);
// The same of bytes: rows of a are a_stride apart, `quads` is a quarter of the depth.
typedef void tile_of_bytes(
    size_t rows, const uint8_t *a, size_t a_stride, const int8_t *b, size_t quads, const char *ahead, int lines,
    int32_t *c, size_t c_stride, int adds);
typedef void widen_halves(const uint16_t *x, float *y, size_t count);
// c [16, 16] += what the rests of a panel give with a group of columns; c has `rows` rows and `width` columns that count.
typedef void add_rests(
    const struct rests *rests, const uint16_t *columns, int32_t *c, size_t c_stride, size_t rows, size_t width);

// [height, k] of bytes, rows `stride` apart, to columns of sixteen 16-bit numbers, zeros below the last row: the inputs from
// `first` on.
void bertconv_columns_plain(
    const uint8_t *x, size_t stride, size_t height, size_t first, size_t k, uint16_t *columns);
// The same of sixteen rows and as many inputs as are a multiple of sixteen, which it returns.
size_t bertconv_columns_avx2(const uint8_t *x, size_t stride, size_t k, uint16_t *columns);

extern tile_of_floats bertconv_tile_plain;
extern tile_of_bytes bertconv_tile_of_bytes_plain;
extern widen_halves bertconv_widen_halves_plain;
extern add_rests bertconv_add_rests_plain;
#if defined(__x86_64__)
extern tile_of_floats bertconv_tile_avx2;
extern tile_of_bytes bertconv_tile_of_bytes_avx2;
extern widen_halves bertconv_widen_halves_avx2;
extern add_rests bertconv_add_rests_avx2;
#endif

#endif
