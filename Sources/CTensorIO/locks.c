// Annotations for the thread sanitizer about locks that wait where it does not look. Nothing in other builds.
#include "CTensorIO.h"

#if defined(__SANITIZE_THREAD__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WATCHED 1
#endif
#endif

#ifdef WATCHED
// Of the sanitizer's runtime (sanitizer/tsan_interface.h): whoever acquires an address comes after all that released it.
void __tsan_acquire(void *address);
void __tsan_release(void *address);

// Locks that share an address, beyond the first thousand, only hide what one of them does not order.
static char addresses[1024];

int32_t bertconv_lock_number(void) {
  static int32_t last = 0;
  return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}
void bertconv_lock_taken(int32_t number) { __tsan_acquire(&addresses[(uint32_t)number % sizeof addresses]); }
void bertconv_lock_released(int32_t number) { __tsan_release(&addresses[(uint32_t)number % sizeof addresses]); }
#else
int32_t bertconv_lock_number(void) { return 0; }
void bertconv_lock_taken(int32_t number) { (void)number; }
void bertconv_lock_released(int32_t number) { (void)number; }
#endif
