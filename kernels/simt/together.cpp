// SPDX-License-Identifier: MIT
#include "kernels/simt/together.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <string_view>

#include "kernels/core/error.h"
#include "kernels/host/threads.h"
#include "kernels/simt/executor.h"

namespace mirilla::simt {

namespace {

thread_local Together* t_here = nullptr;

unsigned value_of(const unsigned* flag) { return std::atomic_ref<unsigned>(*const_cast<unsigned*>(flag)).load(); }

// Threads that live as long as the program: each keeps the stacks of its block, which are slow to make.
class Crew {
 public:
  // Starts the threads that are missing, so that `count` pieces of work can run at the same time.
  void run(int count, const std::function<void(int)>& work) {
    std::unique_lock lock(mutex_);
    while (free_ < static_cast<int>(queue_.size()) + count) {
      start_threads(1, [this] { serve(); }).front().detach();
      ++free_;
    }
    int left = count;
    for (int i = 0; i < count; ++i)
      queue_.push_back([&, i] {
        work(i);
        const std::lock_guard done(mutex_);
        ++free_;
        if (--left == 0) ended_.notify_all();
      });
    begun_.notify_all();
    ended_.wait(lock, [&] { return left == 0; });
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      begun_.wait(lock, [&] { return !queue_.empty(); });
      const std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      --free_;
      lock.unlock();
      work();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable begun_, ended_;
  std::deque<std::function<void()>> queue_;
  int free_ = 0;  // threads that will take the next piece of work
};

Crew& crew() {
  static Crew& all = *std::make_unique<Crew>().release();  // never destroyed: its threads use it
  return all;
}

}  // namespace

Together* Together::here() { return t_here; }

void Together::run(int blocks, const std::function<void(int, Together&)>& block) {
  Together all(blocks);
  crew().run(blocks, [&](int i) {
    t_here = &all;
    block(i, all);
    t_here = nullptr;
    all.leave();
  });
}

void Together::raise(unsigned* flag) {
  const std::lock_guard lock(mutex_);
  std::atomic_ref<unsigned>(*flag).store(1);
  changed_.notify_all();
}

bool Together::stuck() const {
  return static_cast<int>(waiting_.size()) == running_ &&
         std::none_of(waiting_.begin(), waiting_.end(), [](const unsigned* flag) { return value_of(flag) != 0; });
}

void Together::wait(const unsigned* flag) {
  std::unique_lock lock(mutex_);
  waiting_.push_back(flag);
  if (stuck()) changed_.notify_all();
  changed_.wait(lock, [&] { return value_of(flag) != 0 || failed_ || stuck(); });
  const bool raised = value_of(flag) != 0;
  endless_ = endless_ || (!raised && !failed_);
  failed_ = failed_ || !raised;  // the others that wait give up too
  const bool endless = endless_;
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), flag));
  changed_.notify_all();
  lock.unlock();
  if (raised) return;
  if (endless) simt::fail("waits forever for a flag: no block is left that could raise it");
  simt::fail("gave up waiting: another block of the grid failed");
}

void Together::fail() {
  const std::lock_guard lock(mutex_);
  failed_ = true;
  changed_.notify_all();
}

void Together::leave() {
  const std::lock_guard lock(mutex_);
  --running_;
  changed_.notify_all();
}

namespace {
Together& together(std::string_view what) {
  if (!t_here) fail(fmt::format("{} in a grid whose blocks do not run together", what), "launch it with LaunchShape::together");
  return *t_here;
}
}  // namespace

void raise_flag(unsigned* flag) { together("raise_flag").raise(flag); }
void wait_for_flag(const unsigned* flag) { together("wait_for_flag").wait(flag); }
void lower_flag(unsigned* flag) { std::atomic_ref<unsigned>(*flag).store(0); }

}  // namespace mirilla::simt
