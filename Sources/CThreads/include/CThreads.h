// Loops over chunks on several threads: matrix products, and what lies between them.

#ifndef CTHREADS_H
#define CTHREADS_H

#include <stddef.h>

// Threads that wait for loops: the calling one and `threads - 1` others, which are started by the first loop that has use
// for them, fewer where the system gives fewer. Used by one thread at a time. NULL when there is no memory.
typedef struct bertconv_pool bertconv_pool;
bertconv_pool *bertconv_pool_create(int threads);
void bertconv_pool_free(bertconv_pool *pool);

// Calls `body(data, first, last)` on parts of 0..<count of `grain` each but the last one, on several threads at once, and
// returns when all are done. Each thread has a share of adjacent parts, and takes from those of others when it is done: one
// whose processor has other work keeps none waiting for more than the part that it is at. In a body, a loop runs on its thread.
// `thread` is a number below that of the threads, which no other part that runs at the same time has.
void bertconv_pool_run(
    bertconv_pool *pool, size_t count, size_t grain,
    void (*body)(void *data, int thread, size_t first, size_t last), void *data);

// The most threads that a loop runs on which the calling thread starts: 1 in a body.
int bertconv_pool_threads(const bertconv_pool *pool);

#endif
