// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

/// Threads of the host: sets how many compute, and guarantees that this number does.
///
/// OpenMP may give a region fewer threads than it was asked for: inside another region, beyond OMP_THREAD_LIMIT, with OMP_DYNAMIC, with
/// OMP_MAX_ACTIVE_LEVELS=0. A loop whose iterations OpenMP distributes is still right; work that was divided by a number of threads
/// in advance, as in oneDNN, is not: the parts of missing threads are left out.
namespace mirilla {

/// Sets how many threads host devices compute with; 0 means default_host_threads(). Applies from the next operation on. Throws DeviceError
/// for more than most_host_threads(), and for more than OMP_THREAD_LIMIT allows.
void set_host_threads(int threads);
/// Throws DeviceError where no number was set and OMP_NUM_THREADS asks for more than most_host_threads().
int host_threads();

/// The most that set_host_threads takes: 8 for each of the machine's processors, and 64 on the smallest. Beyond it threads do nothing but
/// wait for one another.
int most_host_threads();

/// Calls work(host_threads()) where each OpenMP region that asks for at most this many threads gets them, and omp_get_max_threads() is this
/// number. It runs on the calling thread, or on a thread of the library where the caller is inside a region or under a limit that allows
/// fewer. Waits for it; an exception is passed on. The caller's OpenMP settings are restored afterwards. Calls that need the library's
/// thread take turns. Throws DeviceError where the system does not allow that many threads.
void on_host_team(const std::function<void(int threads)>& work);

/// How many threads one of our loops with this many iterations should ask OpenMP for: `num_threads(loop_threads(n))`. host_threads() at
/// most, and 1 inside a region, where other threads keep the cores busy. Throws DeviceError where the system does not allow that many
/// threads: OpenMP itself would end the program.
int loop_threads(int64_t iterations);

/// Starts up to `count` threads that run `work`, as many as the system allows. For work that threads fetch piece by piece, so that any
/// number of threads completes it. Throws DeviceError where not even one could be started.
std::vector<std::thread> start_threads(int count, const std::function<void()>& work);

/// "OMP_THREAD_LIMIT leaves 1 of 2 threads" where the limit applies, to be shown to the user; else empty.
std::string host_threads_note();

}  // namespace mirilla
