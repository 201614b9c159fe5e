// Matrix products y = x · wᵀ with weights that were packed once, in f32, bf16 and int8.
//
// Each kernel has a plain version for any processor and others for what processors have, chosen by the level that the caller
// gives. All levels have the same meaning: int8 gives the same sums bit by bit, f32 and bf16 differ by rounding.

#ifndef CPRODUCTS_H
#define CPRODUCTS_H

#include <stddef.h>
#include <stdint.h>

// The type of the packed weights. BF16: weights and activations are bfloat16, products and sums f32. INT8: unsigned by signed
// 8 bits, summed exactly in 32 bits.
enum bertconv_panel_type { BERTCONV_PANELS_F32 = 0, BERTCONV_PANELS_BF16 = 1, BERTCONV_PANELS_INT8 = 2 };

// What the kernels use of the processor. AVX2_VNNI: vpdpbusd on 256 bits, for int8 alone. AVX512: multiplications of floats on
// 512 bits, for f32 and, widened, bf16. AVX512_DOT: vdpbf16ps and vpdpbusd on 512 bits, for bf16 and int8.
enum bertconv_panel_level {
  BERTCONV_PANELS_PLAIN = 0,
  BERTCONV_PANELS_AVX2 = 1,
  BERTCONV_PANELS_AVX2_VNNI = 2,
  BERTCONV_PANELS_AVX512 = 3,
  BERTCONV_PANELS_AVX512_DOT = 4,
};

// Whether there are kernels of this level for the type, and this processor can run them.
int bertconv_panels_has(int type, int level);

// The fastest level that this processor has for the type, where it may use no more than `limit`; AVX512 as the limit stands for
// all that such processors have.
int bertconv_panels_best(int type, int limit);

// Outputs of a panel, and rows of a group of columns.
enum bertconv_panel_sizes { BERTCONV_PANEL_WIDTH = 16, BERTCONV_GROUP_ROWS = 16 };

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

// What the rows of activations are made of. ROUNDED: floats, each with the bits of a bfloat16.
enum bertconv_panel_input {
  BERTCONV_INPUT_FLOATS = 0,
  BERTCONV_INPUT_ROUNDED = 1,
  BERTCONV_INPUT_BF16 = 2,
  BERTCONV_INPUT_BYTES = 3,
};
int bertconv_panels_input(const bertconv_panels *panels);

// The bytes of a row that are read, a multiple of four: what is behind the last bfloat16 then has to be 0, behind bytes it does
// not matter. And those from one row to the next, such that the starts of rows are spread over the sets of a cache.
size_t bertconv_panels_input_bytes(const bertconv_panels *panels);
size_t bertconv_panels_row_bytes(const bertconv_panels *panels);

// Whether rows that are so many bytes apart fall into few sets of a cache, and are better copied.
int bertconv_rows_collide(size_t bytes);

// Where bertconv_panels_need_columns is not 0, bytes are needed a second time, as 16-bit numbers in groups of 16 rows: the
// 16-bit numbers that `rows` of `k` take, and the groups first..<last of x, whose rows are row_bytes apart.
int bertconv_panels_need_columns(const bertconv_panels *panels);
size_t bertconv_columns_size(size_t rows, size_t k);
void bertconv_columns_fill(
    const bertconv_panels *panels, const uint8_t *x, size_t rows, uint16_t *columns, size_t first, size_t last);

// The block of the result [rows, n] of the rows first_row..<last_row and the panels first_panel..<last_panel, at y, its rows
// `y_stride` elements apart: floats, 32-bit numbers with INT8. Columns beyond n are not touched. The rows of x are x_bytes apart,
// a multiple of four. `columns` is NULL where it is not needed; where it is, first_row is a multiple of 16.
struct bertconv_block {
  size_t first_row, last_row, first_panel, last_panel;
};
void bertconv_panels_multiply(
    const bertconv_panels *panels, const void *x, size_t x_bytes, const uint16_t *columns, struct bertconv_block block,
    void *y, size_t y_stride);

#endif
