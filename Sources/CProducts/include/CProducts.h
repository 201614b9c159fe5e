// Matrix products y = x · wᵀ with weights that were packed once, for processors without AVX-512: in f32, bf16 and int8.
//
// Each kernel has a plain version for any processor and one for AVX2 with FMA, which is chosen by the level that the caller
// gives. All levels have the same meaning: int8 gives the same sums bit by bit, f32 and bf16 differ by rounding.

#ifndef CPRODUCTS_H
#define CPRODUCTS_H

#include <stddef.h>
#include <stdint.h>

// The type of the packed weights. BF16: weights and activations are bfloat16, products and sums f32. INT8: unsigned by signed
// 8 bits, summed exactly in 32 bits.
enum bertconv_panel_type { BERTCONV_PANELS_F32 = 0, BERTCONV_PANELS_BF16 = 1, BERTCONV_PANELS_INT8 = 2 };

// What the kernels may use: 0 any processor, 1 AVX2 and FMA.
enum bertconv_panel_level { BERTCONV_PANELS_PLAIN = 0, BERTCONV_PANELS_AVX2 = 1 };

// Outputs of a panel, rows of x that are multiplied together, and rows of a group of columns.
enum bertconv_panel_sizes { BERTCONV_PANEL_WIDTH = 16, BERTCONV_TILE_ROWS = 6, BERTCONV_GROUP_ROWS = 16 };

// A weight matrix [n, k] in panels of 16 outputs (rows of the matrix), the last one filled up with zeros. Memory for it, to be
// filled; NULL when there is none.
typedef struct bertconv_panels bertconv_panels;
bertconv_panels *bertconv_panels_create(int type, int level, size_t n, size_t k);
void bertconv_panels_free(bertconv_panels *panels);

// The number of panels.
size_t bertconv_panels_count(const bertconv_panels *panels);

// Fills the panels first..<last from the row-major matrix [n, k] of floats, bfloat16 or signed bytes. Several threads may fill
// panels of their own. 0 when it was done, -1 when there is no memory.
int bertconv_panels_fill(bertconv_panels *panels, const void *weights, size_t first, size_t last);

// Activations of f32 and bf16 products are read in tiles of six rows: the floats that `rows` of `k` take, and the tiles
// first..<last of x [rows, k] with rows `stride` apart, rounded to bfloat16 (nearest, ties to even) where `rounds` is not 0.
size_t bertconv_tiles_size(size_t rows, size_t k);
void bertconv_tiles_fill(
    int level, const float *x, size_t stride, size_t rows, size_t k, int rounds, float *tiles, size_t first,
    size_t last);

// Those of 8-bit products are bytes with rows padded to a multiple of four, bertconv_row_bytes apart; what is in the padding does
// not matter, as long as it can be read. Where bertconv_panels_need_columns is not 0 they are needed a second time, as 16-bit numbers in groups of 16
// rows: the 16-bit numbers that `rows` of `k` take, and the groups first..<last.
size_t bertconv_row_bytes(size_t k);
int bertconv_panels_need_columns(const bertconv_panels *panels);
size_t bertconv_columns_size(size_t rows, size_t k);
void bertconv_columns_fill(
    const bertconv_panels *panels, const uint8_t *x, size_t rows, uint16_t *columns, size_t first, size_t last);

// The block of y [rows, n] of the rows first_row..<last_row and the panels first_panel..<last_panel, rows `y_stride` apart;
// first_row is a multiple of 48. What is outside of the block is not touched.
struct bertconv_block {
  size_t first_row, last_row, first_panel, last_panel;
};
void bertconv_panels_multiply(
    const bertconv_panels *panels, const float *tiles, size_t rows, struct bertconv_block block, float *y,
    size_t y_stride);
// `columns` is NULL where it is not needed.
void bertconv_panels_multiply_bytes(
    const bertconv_panels *panels, const uint8_t *x, const uint16_t *columns, struct bertconv_block block, int32_t *y,
    size_t y_stride);

#endif
