// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

/// Threads of the host: how many compute, and that as many do as were promised.
///
/// OpenMP may give a region fewer threads than it was asked for: inside another region, beyond OMP_THREAD_LIMIT, with OMP_DYNAMIC, with
/// OMP_MAX_ACTIVE_LEVELS=0. A loop whose iterations OpenMP deals out is right all the same; work that was cut by a number of threads
/// before, as oneDNN's, is not: the parts of threads that never came are left out.
namespace mirilla {

/// How many threads host devices compute with; 0 means one a core. Applies from the next operation on. Throws DeviceError for more than
/// most_host_threads(), and for more than OMP_THREAD_LIMIT allows.
void set_host_threads(int threads);
/// Throws DeviceError where nobody set a number and OMP_NUM_THREADS asks for more than most_host_threads().
int host_threads();

/// The most that set_host_threads takes: 8 for each of the machine's processors, and 64 on the smallest. Beyond it threads do nothing but
/// wait for one another.
int most_host_threads();

/// Calls work(host_threads()) where each OpenMP region that asks for at most so many threads gets as many, and omp_get_max_threads() is
/// that number: here, or on a thread of the library's own where the caller is inside a region or under a limit that allows fewer. Waits for
/// it; an exception comes through. What the caller's OpenMP was set to is put back after. Calls that need the library's own thread take
/// turns. Throws DeviceError where the system does not let so many threads run.
void on_host_team(const std::function<void(int threads)>& work);

/// How many threads a loop of ours with so many iterations should ask OpenMP for: `num_threads(loop_threads(n))`. host_threads() at most,
/// and 1 inside a region, where others keep the cores busy. Throws DeviceError where the system does not let so many threads run: OpenMP
/// itself would end the program.
int loop_threads(int64_t iterations);

/// Starts up to `count` threads that run `work`, as many as the system allows: for work that is shared out as it is asked for, so that any
/// number does it. Throws DeviceError where not even one could be started.
std::vector<std::thread> start_threads(int count, const std::function<void()>& work);

/// "OMP_THREAD_LIMIT leaves 1 of 2 threads", where it does, for people who wonder; else empty.
std::string host_threads_note();

}  // namespace mirilla
