// Matrix products with weights that were packed once, by oneDNN, and loops over rows on the same threads.
//
// oneDNN is loaded when it is first needed (dlopen), so that a program that only lists a file does not pay for it, and
// one on a machine without it still starts: bertconv_onednn_load returns whether it is installed.

#ifndef BERTCONV_ONEDNN_H
#define BERTCONV_ONEDNN_H

#include <stddef.h>
#include <stdint.h>

// What the matrices hold. BF16: bfloat16 by bfloat16, summed in f32. INT8: unsigned by signed 8 bits, summed in 32.
enum bertconv_precision { BERTCONV_F32 = 0, BERTCONV_BF16 = 1, BERTCONV_INT8 = 2 };

// What follows the product and the bias.
enum bertconv_epilogue {
  BERTCONV_NOTHING = 0,
  BERTCONV_GELU = 1,       // x Phi(x), with the error function
  BERTCONV_GELU_TANH = 2,
};

// 0 when oneDNN and the OpenMP library that it runs on are loaded, or were before; otherwise -1. Thread-safe.
int bertconv_onednn_load(void);

// Before it is loaded: that it may use no more than these instructions, in the words of ONEDNN_MAX_CPU_ISA, unless the
// environment sets it. The text is kept.
void bertconv_onednn_limit(const char *instructions);

// The instructions that it uses, in its words; "" where it is not loaded.
const char *bertconv_onednn_isa(void);

// Whether the machine multiplies matrices of this precision faster than it would by widening them to f32.
int bertconv_onednn_has(int precision);

// Whether it multiplies them with AMX. Where the processor has none, the library is not loaded to be asked.
int bertconv_onednn_has_tiles(int precision);

// "2.6.3", or "" where it is not loaded.
const char *bertconv_onednn_version(void);

// Threads of products and loops that the calling thread starts: one inside a loop. They are fewer than requested where
// OpenMP does not give as many, whatever the environment asks of it.
void bertconv_onednn_set_threads(int threads);
int bertconv_onednn_threads(void);

// The threads that the environment sets (OMP_NUM_THREADS), or one for each processor. A number that no machine has is
// possible.
int bertconv_onednn_usual_threads(void);

// Calls `body(data, first, last)` on parts of 0..<count, several at once, each a multiple of `grain` except the last.
void bertconv_parallel(size_t count, size_t grain, void (*body)(void *data, size_t first, size_t last), void *data);

// Calls `body(data, index)` for each index of 0..<count, each on a thread of its own if there are as many: what `body`
// computes runs on that thread alone.
void bertconv_each(size_t count, void (*body)(void *data, size_t index), void *data);

// A matrix [n, k], row-major: floats, bfloat16 or signed bytes, in the layout that the products want. A copy.
typedef struct bertconv_packed bertconv_packed;
bertconv_packed *bertconv_pack(int precision, const void *weights, size_t n, size_t k);
void bertconv_packed_free(bertconv_packed *packed);

// What products have in common: made once, used by one thread at a time.
typedef struct bertconv_context bertconv_context;
bertconv_context *bertconv_context_create(void);
void bertconv_context_free(bertconv_context *context);

// y = epilogue(x · weightsᵀ + bias): x [m, k] of floats, bfloat16 or unsigned bytes, rows `x_stride` elements apart;
// bias [n] of floats, or NULL; y [m, n] of floats, of bfloat16 where `narrow` is not 0, for INT8 of int32 without bias
// and epilogue. 0 when it was done.
int bertconv_multiply(
    bertconv_context *context, const bertconv_packed *weights, const void *x, size_t m, size_t x_stride,
    const float *bias, int epilogue, void *y, size_t y_stride, int narrow);

#endif
