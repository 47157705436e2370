// SPDX-License-Identifier: MIT
#include "kernels/host/threads.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <utility>

#include "kernels/core/device.h"
#include "kernels/core/error.h"
#include "kernels/host/environment.h"
#include "kernels/host/startable.h"

namespace mirilla {

namespace {

// OpenMP keeps its own count for each thread of the program; this one holds for all of them, and each parallel loop reads it. 0 until
// set.
std::atomic<int> chosen{0};

// Team sizes that this thread has already checked, so that each is checked once.
thread_local int startable = 1;  // that the system allows
thread_local int proved = 1;     // that OpenMP provided

[[noreturn]] void throw_too_few(int threads, int can_run) {
  throw DeviceError(fmt::format("{} threads are to compute here and the system lets {} of them run", threads, can_run),
                    "`ulimit -u`, `ulimit -v`, a container's limit of processes or OMP_STACKSIZE may be the reason; use fewer "
                    "threads");
}

// OpenMP's runtime ends the program where a thread cannot be started, so this is tried first.
void require_startable(int threads) {
  if (threads <= startable) return;
  if (const int can_run = 1 + startable_threads(threads - 1); can_run < threads) throw_too_few(threads, can_run);
  startable = threads;
}

// Sets OpenMP's settings of the running task to what a team of this size needs, and restores them at the end.
class TeamSettings {
 public:
  explicit TeamSettings(int threads) : threads_(omp_get_max_threads()), dynamic_(omp_get_dynamic()), levels_(omp_get_max_active_levels()) {
    if (threads != threads_) omp_set_num_threads(threads);
    if (dynamic_ != 0) omp_set_dynamic(0);
    if (levels_ < 1) omp_set_max_active_levels(1);
  }
  ~TeamSettings() {
    if (levels_ < 1) omp_set_max_active_levels(levels_);
    if (dynamic_ != 0) omp_set_dynamic(dynamic_);
    omp_set_num_threads(threads_);
  }
  TeamSettings(const TeamSettings&) = delete;
  TeamSettings& operator=(const TeamSettings&) = delete;

 private:
  int threads_, dynamic_, levels_;
};

// Under TeamSettings a region outside of others gets the size it asks for, up to the limit; one region proves this.
void prove_team(int threads) {
  if (threads <= proved) return;
  require_startable(threads);
  int came = 0;
#pragma omp parallel num_threads(threads)
  {
#pragma omp master
    came = omp_get_num_threads();
  }
  if (came < threads)
    throw DeviceError(fmt::format("OpenMP gives a region {} threads of the {} that are to compute here", came, threads),
                      "use that many threads, or find the limit: OMP_DISPLAY_ENV=true shows OpenMP's settings");
  proved = threads;
}

void run_here(int threads, const std::function<void(int)>& work) {
  const TeamSettings settings(threads);
  prove_team(threads);
  work(threads);
}

// A thread of the library, outside of every region, limited by the environment alone. It is started when it is first needed and stays.
class OwnThread {
 public:
  void run(const std::function<void()>& work) {
    const std::lock_guard one_at_a_time(callers_);
    std::unique_lock lock(mutex_);
    if (!running_) {
      start_threads(1, [this] { serve(); }).front().detach();
      running_ = true;
    }
    work_ = &work;
    changed_.notify_all();
    changed_.wait(lock, [&] { return work_ == nullptr; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  [[noreturn]] void serve() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return work_ != nullptr; });
      lock.unlock();
      std::exception_ptr error;
      try {
        (*work_)();
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      error_ = std::move(error);
      work_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex callers_, mutex_;
  std::condition_variable changed_;
  const std::function<void()>* work_ = nullptr;
  std::exception_ptr error_;
  bool running_ = false;
};

// Never destroyed: the thread waits in it when the program ends.
OwnThread& own_thread() {
  static OwnThread& thread = *std::make_unique<OwnThread>().release();
  return thread;
}

// A team of one needs no region. Inside a region a nested one may get fewer threads, and oneDNN opens no nested region.
bool gives_teams_of(int threads) { return threads == 1 || (omp_get_level() == 0 && omp_get_thread_limit() >= threads); }

}  // namespace

void set_host_threads(int threads) {
  if (threads < 0 || threads > most_host_threads())
    throw DeviceError(
        fmt::format("host devices compute with 1 to {} threads on this machine, and {} were asked for", most_host_threads(), threads),
        "0 means one per core");
  if (const int limit = openmp_environment().thread_limit; threads > limit)
    throw DeviceError(fmt::format("OMP_THREAD_LIMIT allows {} thread{} and {} were asked for", limit, limit == 1 ? "" : "s", threads),
                      "0 means as many as are allowed, at most one per core");
  chosen = threads;
}

int host_threads() {
  const int threads = chosen;
  return threads > 0 ? threads : default_host_threads();
}

void on_host_team(const std::function<void(int)>& work) {
  const int threads = host_threads();
  if (gives_teams_of(threads)) return run_here(threads, work);
  own_thread().run([&] { run_here(threads, work); });
}

int loop_threads(int64_t iterations) {
  const auto threads = static_cast<int>(std::min<int64_t>(host_threads(), iterations));
  if (threads < 2 || omp_in_parallel() != 0) return 1;
  require_startable(threads);
  return threads;
}

std::vector<std::thread> start_threads(int count, const std::function<void()>& work) {
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(std::max(count, 0)));
  try {
    while (static_cast<int>(threads.size()) < count) threads.emplace_back(work);
  } catch (const std::system_error&) {
    if (threads.empty())
      throw DeviceError("the system lets this program start no further thread",
                        "`ulimit -u`, `ulimit -v` or a container's limit of processes may be the reason");
  }
  return threads;
}

}  // namespace mirilla
