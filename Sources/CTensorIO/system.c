// What the system offers and Swift cannot call.
#if defined(__linux__)
#define _GNU_SOURCE
#endif

#include "CTensorIO.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__linux__)
#include <fcntl.h>
#include <sched.h>
#endif

const char *bertconv_compiler(void) { return __VERSION__; }

int bertconv_contains(const void *text, size_t text_length, const void *part, size_t part_length) {
  if (part_length == 0) return 1;
  return text_length >= part_length && memmem(text, text_length, part, part_length) != NULL;
}

int bertconv_processor_count(void) {
#if defined(__linux__)
  // The affinity of the process: a container or taskset may leave it fewer than there are.
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

void bertconv_start_writing(int descriptor, int64_t offset, int64_t length) {
#if defined(__linux__)
  // fsync finds and reports again what fails here.
  (void)sync_file_range(descriptor, offset, length, SYNC_FILE_RANGE_WRITE);
#else
  (void)descriptor, (void)offset, (void)length;
#endif
}

// MARK: Limits

int bertconv_can_map(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return 0;
  munmap(memory, bytes);
  return 1;
}

// The lowest of the limits of the process; UINT64_MAX where there is none.
static uint64_t memory_limit(void) {
  uint64_t lowest = UINT64_MAX;
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) lowest = limit.rlim_cur;
  if (getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < lowest)
    lowest = limit.rlim_cur;
  return lowest;
}

int bertconv_memory_is_limited(void) { return memory_limit() != UINT64_MAX; }

uint64_t bertconv_memory_size(void) {
  long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  uint64_t size = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX, limit = memory_limit();
  return limit < size ? limit : size;
}

struct waiting {
  pthread_mutex_t lock;
  pthread_cond_t change;
  int may_end;
};

static void *wait_for_end(void *pointer) {
  struct waiting *waiting = pointer;
  pthread_mutex_lock(&waiting->lock);
  while (!waiting->may_end) pthread_cond_wait(&waiting->change, &waiting->lock);
  pthread_mutex_unlock(&waiting->lock);
  return NULL;
}

int bertconv_startable_threads(int wanted) {
  if (wanted < 2) return wanted;
  pthread_t *threads = calloc((size_t)wanted, sizeof *threads);
  if (!threads) return 1;
  struct waiting waiting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  int count = 0;
  while (count < wanted - 1 && pthread_create(&threads[count], NULL, wait_for_end, &waiting) == 0) count++;
  pthread_mutex_lock(&waiting.lock);
  waiting.may_end = 1;
  pthread_cond_broadcast(&waiting.change);
  pthread_mutex_unlock(&waiting.lock);
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  free(threads);
  return count + 1;
}

// MARK: Arguments

static int argument_count;
static char **argument_values;

#if defined(__GLIBC__)
// The C library gives them to what runs before main.
__attribute__((constructor)) static void keep_arguments(int count, char **values) {
  argument_count = count;
  argument_values = values;
}
#endif

int bertconv_argument_count(void) { return argument_count; }

const char *bertconv_argument(int index) {
  return index >= 0 && index < argument_count ? argument_values[index] : NULL;
}
