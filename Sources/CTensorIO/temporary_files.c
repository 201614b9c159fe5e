// Names of files that must not outlive the process when a signal ends it. Only async-signal-safe calls in the
// handler; the names are copied into fixed slots.

#define _GNU_SOURCE
#include "CTensorIO.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 16, LENGTH = 4096 };

static struct {
  _Atomic int used;
  char name[LENGTH];
} slots[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int installed;

static void on_end(int signal_number) {
  for (int i = 0; i < SLOTS; i++)
    if (atomic_load(&slots[i].used)) unlink(slots[i].name);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void bertconv_temporary_add(const char *path) {
  if (strlen(path) >= LENGTH) return;
  pthread_mutex_lock(&lock);
  if (!installed) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
      struct sigaction old;
      // A signal that the caller ignores or handles stays as it is.
      if (sigaction(signals[i], NULL, &old) || old.sa_handler != SIG_DFL) continue;
      struct sigaction action = {0};
      action.sa_handler = on_end;
      sigemptyset(&action.sa_mask);
      sigaction(signals[i], &action, NULL);
    }
    installed = 1;
  }
  for (int i = 0; i < SLOTS; i++) {
    if (atomic_load(&slots[i].used)) continue;
    strcpy(slots[i].name, path);
    atomic_store(&slots[i].used, 1);
    break;
  }
  pthread_mutex_unlock(&lock);
}

void bertconv_temporary_remove(const char *path) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < SLOTS; i++)
    if (atomic_load(&slots[i].used) && !strcmp(slots[i].name, path)) atomic_store(&slots[i].used, 0);
  pthread_mutex_unlock(&lock);
}
