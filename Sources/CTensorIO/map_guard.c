// A file that is truncated while it is mapped makes the kernel send SIGBUS on the next access. The handler
// here lays zero pages over the lost part of a registered range and marks the range as hit; the reader then
// finds the mark after its access and reports a damaged file. A SIGBUS elsewhere keeps its default meaning.

#define _GNU_SOURCE
#include "CTensorIO.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

// As many as Linux lets a process map, unless configured otherwise (vm.max_map_count). What is not used takes no memory.
enum { SLOTS = 1 << 16 };

static struct {
  _Atomic uintptr_t start;  // 0: free
  _Atomic uintptr_t end;
  _Atomic int hit;
} slots[SLOTS];
static _Atomic int used_slots;  // one past the highest slot ever taken
static int first_free;          // no slot below it is free
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int installed;
static long page_size;

static void on_bus_error(int signal_number, siginfo_t *info, void *context) {
  (void)context;
  uintptr_t address = (uintptr_t)info->si_addr;
  int count = atomic_load(&used_slots);
  for (int i = 0; i < count; i++) {
    uintptr_t start = atomic_load(&slots[i].start), end = atomic_load(&slots[i].end);
    if (!start || address < start || address >= end) continue;
    // The slot changed hands between the two: it is of another range, and the address of none that was in it.
    if (atomic_load(&slots[i].start) != start) continue;
    uintptr_t page = address & ~(uintptr_t)(page_size - 1);
    atomic_store(&slots[i].hit, 1);
    void *zeros = mmap((void *)page, end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (zeros != MAP_FAILED) return;
    break;
  }
  signal(signal_number, SIG_DFL);  // not ours: the access is repeated and ends the process as it would have
}

int bertconv_map_guard_add(const void *start, size_t length) {
  pthread_mutex_lock(&lock);
  if (!installed) {
    page_size = sysconf(_SC_PAGESIZE);
    struct sigaction action = {0};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
    installed = 1;
  }
  int slot = first_free;
  while (slot < SLOTS && atomic_load(&slots[slot].start)) slot++;
  first_free = slot;
  if (slot == SLOTS) {
    slot = -1;
  } else {
    atomic_store(&slots[slot].hit, 0);
    atomic_store(&slots[slot].end, (uintptr_t)start + length);
    atomic_store(&slots[slot].start, (uintptr_t)start);
    if (slot >= atomic_load(&used_slots)) atomic_store(&used_slots, slot + 1);
  }
  pthread_mutex_unlock(&lock);
  return slot;
}

int bertconv_map_guard_was_hit(int slot) { return atomic_load(&slots[slot].hit); }

void bertconv_map_guard_remove(int slot) {
  pthread_mutex_lock(&lock);
  atomic_store(&slots[slot].start, 0);
  if (slot < first_free) first_free = slot;
  pthread_mutex_unlock(&lock);
}
