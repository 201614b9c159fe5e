// What the system offers and Swift cannot call.
#if defined(__linux__)
#define _GNU_SOURCE
#endif

#include "CTensorIO.h"

#include <unistd.h>

#if defined(__linux__)
#include <fcntl.h>
#include <sched.h>
#endif

const char *bertconv_compiler(void) { return __VERSION__; }

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
  // What fails here is found again, and told, by fsync.
  (void)sync_file_range(descriptor, offset, length, SYNC_FILE_RANGE_WRITE);
#else
  (void)descriptor, (void)offset, (void)length;
#endif
}
