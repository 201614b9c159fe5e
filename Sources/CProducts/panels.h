// What the files of this target share: the layout of packed weights, and the kernels.
//
// A step of a product takes 32 bits of each row of activations, a word: one float, two bfloat16 or four bytes. Weights [n, k]
// are cut into blocks of some steps and panels of WIDTH outputs, one after the other:
//
//     block 0: | panel 0: step 0: w[0] w[1] ... w[15] | step 1: w[0] w[1] ... w[15] | ... | panel 1: ... |   block 1: ...
//
// where w[i] are the weights of output i that a step takes: one float, one bfloat16 that is widened to a float before it is
// used, two bfloat16 or four bytes. So all panels of a block lie in the order in which a product reads them.

#ifndef BERTCONV_PANELS_H
#define BERTCONV_PANELS_H

#include <stddef.h>
#include <stdint.h>

#include "CProducts.h"

enum { WIDTH = BERTCONV_PANEL_WIDTH, GROUP = BERTCONV_GROUP_ROWS };

// Rows and panels of the largest tile: with AVX-512, and otherwise.
enum { MAX_ROWS = 12, MAX_PANELS = 2, ROWS = 6 };

// Steps of a block. With DEPTH_512, for products of floats with AVX-512, what a tile multiplies stays in the first-level cache:
// 32 KB of two panels and 12 KB of twelve rows. Bytes and pairs of bfloat16 have fewer steps, of which DEPTH cuts fewer, as fast.
enum { DEPTH = 384, DEPTH_512 = 256 };

#define INLINE static inline __attribute__((always_inline))
#define UNROLLED _Pragma("clang loop unroll(full)")

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
  size_t inputs;  // of a step
  size_t size;    // bytes of an output in a step
  size_t steps;   // of all blocks
  size_t depth;   // steps of each block but the last
  void *data;
  struct rests *rests;  // of each panel; NULL where nothing was cut
};

INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

// Steps of the block that begins with step `start`.
INLINE size_t block_depth(const bertconv_panels *w, size_t start) { return smaller(w->steps - start, w->depth); }

// Where a panel of the block that begins with step `start` has its weights.
INLINE char *panel_start(const bertconv_panels *w, size_t start, size_t panel) {
  return (char *)w->data + (start * w->count + panel * block_depth(w, start)) * WIDTH * w->size;
}

enum { LINE = 64 };

// The tiles of a panel ask the memory for what comes next, each for some of its cache lines, so that few are under way at a
// time: for `lines` of them, from `ahead` on, in each four steps of a tile's loop.
//
// c [rows, 16 · panels] = a · b, plus c where `adds`: `rows` of `steps` words, a_stride words apart, by adjacent panels of 32-bit
// words; rows of c are c_stride apart.
typedef void tile_of_words(
    size_t rows, size_t panels, const uint32_t *a, size_t a_stride, const uint32_t *b, size_t steps, const char *ahead, size_t lines,
    void *c, size_t c_stride, int adds);
typedef void widen_halves(const uint16_t *x, float *y, size_t count);
// c [16, 16] += what the rests of a panel give with a group of columns; c has `rows` rows and `width` columns that count.
typedef void add_rests(
    const struct rests *rests, const uint16_t *columns, int32_t *c, size_t c_stride, size_t rows, size_t width);

// The kernels of a level, with the largest tile that the first one computes.
struct kernels {
  tile_of_words *tile;
  size_t rows, panels;
  widen_halves *widen;
  add_rests *add;
};

// [height, k] of bytes, rows `stride` apart, to columns of sixteen 16-bit numbers, zeros below the last row: the inputs from
// `first` on.
void bertconv_columns_plain(
    const uint8_t *x, size_t stride, size_t height, size_t first, size_t k, uint16_t *columns);
// The same of sixteen rows and as many inputs as are a multiple of sixteen, which it returns.
size_t bertconv_columns_avx2(const uint8_t *x, size_t stride, size_t k, uint16_t *columns);

extern tile_of_words bertconv_tile_plain, bertconv_byte_tile_plain;
extern widen_halves bertconv_widen_halves_plain;
extern add_rests bertconv_add_rests_plain;
#if defined(__x86_64__)
extern tile_of_words bertconv_tile_avx2, bertconv_byte_tile_avx2, bertconv_byte_tile_avx2_vnni;
extern widen_halves bertconv_widen_halves_avx2;
extern add_rests bertconv_add_rests_avx2;
extern tile_of_words bertconv_tile_avx512, bertconv_bf16_tile_avx512, bertconv_byte_tile_avx512;
#endif

#endif
