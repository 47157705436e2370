// SPDX-License-Identifier: MIT
#include "kernels/host/startable.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <vector>

namespace mirilla {

namespace {

// What OMP_STACKSIZE or GOMP_STACKSIZE says: "512", in KiB, or with a unit, "2M"; 0 where neither is set.
size_t stack_bytes_of(const char* text) {
  if (text == nullptr) return 0;
  char* unit = nullptr;
  errno = 0;
  const unsigned long long number = std::strtoull(text, &unit, 10);
  if (unit == text || errno != 0) return 0;
  while (*unit == ' ') ++unit;
  int shift = 10;
  switch (*unit) {
    case 'b':
    case 'B': shift = 0; break;
    case 'm':
    case 'M': shift = 20; break;
    case 'g':
    case 'G': shift = 30; break;
    default: break;
  }
  return number > (~size_t{0} >> shift) ? 0 : static_cast<size_t>(number) << shift;
}

size_t stack_bytes() {
  for (const char* const name : {"OMP_STACKSIZE", "OMP_STACKSIZE_ALL", "GOMP_STACKSIZE"})
    if (const size_t bytes = stack_bytes_of(std::getenv(name)); bytes > 0) return bytes;
  return 0;
}

// The unused part of this thread's stack. A program's thread-local variables lie there too and may leave nothing.
size_t stack_left() {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return 0;
  void* lowest = nullptr;
  size_t bytes = 0;
  pthread_attr_getstack(&attributes, &lowest, &bytes);
  pthread_attr_destroy(&attributes);
  return static_cast<size_t>(reinterpret_cast<char*>(&attributes) - static_cast<char*>(lowest));
}

// A thread that waits until all have started.
struct Waiting {
  pthread_t thread{};
  std::atomic<pid_t> id{0};
  bool roomy = false;
  std::atomic<bool>* go = nullptr;

  static void* run(void* self) {
    constexpr size_t kStackOfAKernel = size_t{32} << 10;
    auto& waiting = *static_cast<Waiting*>(self);
    waiting.id = gettid();
    waiting.roomy = stack_left() >= kStackOfAKernel;
    waiting.go->wait(false);
    return nullptr;
  }
};

// The system counts a thread for a moment longer than pthread_join waits for it.
void wait_until_gone(pid_t thread) {
  constexpr int kTries = 1000;
  for (int i = 0; i < kTries && tgkill(getpid(), thread, 0) == 0; ++i) sched_yield();
}

}  // namespace

int startable_threads(int wanted) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return 0;
  if (const size_t bytes = stack_bytes(); bytes > 0) pthread_attr_setstacksize(&attributes, bytes);  // too small a size is refused
  std::atomic<bool> go = false;
  std::vector<Waiting> threads(static_cast<size_t>(wanted));
  size_t came = 0;
  for (Waiting& waiting : threads) {
    waiting.go = &go;
    if (pthread_create(&waiting.thread, &attributes, Waiting::run, &waiting) != 0) break;
    ++came;
  }
  pthread_attr_destroy(&attributes);
  go = true;
  go.notify_all();
  int roomy = 0;
  for (size_t i = 0; i < came; ++i) {
    pthread_join(threads[i].thread, nullptr);
    wait_until_gone(threads[i].id);
    roomy += threads[i].roomy ? 1 : 0;
  }
  return roomy;
}

}  // namespace mirilla
