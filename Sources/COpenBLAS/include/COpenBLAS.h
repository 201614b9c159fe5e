// Matrix products by OpenBLAS.
//
// OpenBLAS is loaded when it is first needed (dlopen): it starts its threads at that moment, and a program that only
// lists a file is not to wait for them. Nothing but bertconv_openblas_load may be called before that has returned NULL.

#ifndef BERTCONV_OPENBLAS_H
#define BERTCONV_OPENBLAS_H

// NULL when OpenBLAS is loaded, or was before; otherwise why it cannot be. Thread-safe.
//
// It starts a thread for each processor, or as many as the environment sets, when it is loaded, and ends the process where
// it cannot; where `threads` is not 0, it starts no more than these.
const char *bertconv_openblas_load(int threads);

// Before it is loaded: that it may use no more than a processor of this kind has, in the words of OPENBLAS_CORETYPE, unless the
// environment sets it. The text is kept.
void bertconv_openblas_limit(const char *core);

// A product that all threads take part in: each takes its memory now and keeps it. Where it cannot have the memory, OpenBLAS
// tries again for ever.
void bertconv_openblas_warm_up(void);

// Its name, its version and how it was built.
const char *bertconv_openblas_config(void);

// Threads of products, one number for the process.
void bertconv_openblas_set_threads(int threads);
int bertconv_openblas_threads(void);

// c = scale · a · b + keeping · c, all row-major: a [m, k], b [k, n] or, where `transposed` is not 0, [n, k], c [m, n];
// rows a_stride, b_stride and c_stride elements apart.
void bertconv_openblas_multiply(
    int transposed, int m, int n, int k, float scale, const float *a, int a_stride, const float *b, int b_stride,
    float keeping, float *c, int c_stride);

#endif
