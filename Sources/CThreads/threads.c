// See CThreads.h.
//
// A loop is opened, run and closed. Its shares are one 64-bit word each, the next part and the last in halves, so that a
// thread takes a part, its own or another's, by one exchange. A worker counts itself as inside before it looks whether the
// loop is open, and the thread that started the loop closes it before it waits until none is inside: so no worker sees what a
// loop has left behind.

#define _GNU_SOURCE
#include "CThreads.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <sched.h>
#endif

enum { CACHE_LINE = 64 };

// How often a thread looks for the next loop before it sleeps: the loops of a forward pass follow each other at once, and to
// be woken takes longer than most of them.
enum { LOOKS = 4000 };

struct share {
  // The first part that is left in the lower half, and the end of the share in the upper one.
  _Alignas(CACHE_LINE) _Atomic uint64_t parts;
};

struct bertconv_pool {
  int threads;  // wanted
  int started;  // with the calling one
  struct share *shares;
  pthread_t *handles;
  // Of the loop.
  size_t count, grain;
  void (*body)(void *, int, size_t, size_t);
  void *data;
  // Odd while a loop is open; 32 bits, since threads sleep on it.
  _Alignas(CACHE_LINE) _Atomic uint32_t state;
  _Alignas(CACHE_LINE) _Atomic uint32_t inside;
  _Alignas(CACHE_LINE) _Atomic uint32_t sleeping;
  atomic_bool ends;
};

struct worker {
  bertconv_pool *pool;
  int number;
};

static _Thread_local int is_in_body;

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Sleeps while *word is `value`, or until it is woken, or for no reason.
static void sleep_while(_Atomic uint32_t *word, uint32_t value) {
#ifdef __linux__
  syscall(SYS_futex, (uint32_t *)word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
  (void)word;
  (void)value;
  sched_yield();
#endif
}

static void wake_all(_Atomic uint32_t *word) {
#ifdef __linux__
  syscall(SYS_futex, (uint32_t *)word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#else
  (void)word;
#endif
}

// The next part of a share, or -1.
static int64_t take(struct share *share) {
  uint64_t parts = atomic_load_explicit(&share->parts, memory_order_relaxed);
  while ((uint32_t)parts < parts >> 32)
    if (atomic_compare_exchange_weak_explicit(
            &share->parts, &parts, parts + 1, memory_order_relaxed, memory_order_relaxed))
      return (uint32_t)parts;
  return -1;
}

static void work(bertconv_pool *pool, int thread) {
  is_in_body = 1;
  for (int i = 0; i < pool->started; i++) {
    struct share *share = &pool->shares[(thread + i) % pool->started];
    for (int64_t part; (part = take(share)) >= 0;) {
      size_t first = (size_t)part * pool->grain;
      size_t last = pool->count - first < pool->grain ? pool->count : first + pool->grain;
      pool->body(pool->data, thread, first, last);
    }
  }
  is_in_body = 0;
}

static void *run_worker(void *argument) {
  struct worker worker = *(struct worker *)argument;
  free(argument);
  bertconv_pool *pool = worker.pool;
  uint32_t seen = 0;
  for (;;) {
    uint32_t state;
    for (int looks = 0; (state = atomic_load(&pool->state)) == seen || state % 2 == 0; looks++) {
      if (atomic_load(&pool->ends)) return NULL;
      if (looks < LOOKS) {
        relax();
        continue;
      }
      atomic_fetch_add(&pool->sleeping, 1);
      sleep_while(&pool->state, state);
      atomic_fetch_sub(&pool->sleeping, 1);
      looks = 0;
    }
    seen = state;
    atomic_fetch_add(&pool->inside, 1);
    if (atomic_load(&pool->state) == seen) work(pool, worker.number);
    atomic_fetch_sub(&pool->inside, 1);
  }
}

bertconv_pool *bertconv_pool_create(int threads) {
  void *memory = NULL;
  if (posix_memalign(&memory, CACHE_LINE, sizeof(bertconv_pool))) return NULL;
  bertconv_pool *pool = memory;
  *pool = (bertconv_pool){.threads = threads < 1 ? 1 : threads, .started = 1};
  size_t count = (size_t)pool->threads;
  pool->handles = calloc(count, sizeof *pool->handles);
  if (posix_memalign(&memory, CACHE_LINE, count * sizeof *pool->shares)) memory = NULL;
  pool->shares = memory;
  if (!pool->handles || !pool->shares) {
    bertconv_pool_free(pool);
    return NULL;
  }
  return pool;
}

void bertconv_pool_free(bertconv_pool *pool) {
  if (!pool) return;
  atomic_store(&pool->ends, 1);
  atomic_fetch_add(&pool->state, 2);
  wake_all(&pool->state);
  for (int i = 1; i < pool->started; i++) pthread_join(pool->handles[i], NULL);
  free(pool->handles);
  free(pool->shares);
  free(pool);
}

static void start(bertconv_pool *pool) {
  while (pool->started < pool->threads) {
    struct worker *worker = malloc(sizeof *worker);
    if (!worker) break;
    *worker = (struct worker){pool, pool->started};
    if (pthread_create(&pool->handles[pool->started], NULL, run_worker, worker)) {
      free(worker);
      break;
    }
    pool->started++;
  }
  pool->threads = pool->started;
}

int bertconv_pool_threads(const bertconv_pool *pool) { return is_in_body ? 1 : pool->threads; }

void bertconv_pool_run(
    bertconv_pool *pool, size_t count, size_t grain, void (*body)(void *, int, size_t, size_t), void *data) {
  if (count == 0) return;
  size_t parts = (count + grain - 1) / grain;
  if (is_in_body || pool->threads == 1 || parts == 1 || parts > UINT32_MAX) {
    // The parts are as long as elsewhere: some bodies have memory for no more.
    for (size_t first = 0; first < count; first += grain)
      body(data, 0, first, count - first < grain ? count : first + grain);
    return;
  }
  if (pool->started < pool->threads) start(pool);
  pool->count = count;
  pool->grain = grain;
  pool->body = body;
  pool->data = data;
  uint64_t threads = (uint64_t)pool->started;
  for (uint64_t i = 0; i < threads; i++) {
    uint64_t first = parts * i / threads, end = parts * (i + 1) / threads;
    atomic_store_explicit(&pool->shares[i].parts, end << 32 | first, memory_order_relaxed);
  }
  atomic_fetch_add(&pool->state, 1);
  if (atomic_load(&pool->sleeping) > 0) wake_all(&pool->state);
  work(pool, 0);
  atomic_fetch_add(&pool->state, 1);
  for (int looks = 0; atomic_load(&pool->inside) > 0; looks++) {
    if (looks < LOOKS) {
      relax();
    } else {
#ifdef __linux__
      syscall(SYS_sched_yield);
#else
      sched_yield();
#endif
    }
  }
}
