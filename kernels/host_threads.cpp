// SPDX-License-Identifier: MIT
#include <omp.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

#include "kernels/device.h"

namespace mirilla {

namespace {

// Linux names the threads that share a core by a list such as "0,64"; two of a core have the same list. A machine that does not tell counts
// every thread as a core.
std::string core_of(int thread) {
  std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", thread));
  std::string siblings;
  return std::getline(file, siblings) ? siblings : std::to_string(thread);
}

// Cores that this process may run on. A second thread on a core adds nothing to matrix products, which fill its units already.
int available_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return std::max(1, omp_get_num_procs());
  std::set<std::string> cores;
  for (int thread = 0; thread < CPU_SETSIZE; ++thread)
    if (CPU_ISSET(thread, &allowed)) cores.insert(core_of(thread));
  return std::max(1, static_cast<int>(cores.size()));
}

// A container may be given less time than its cores have: "200000 100000" is two cores' worth, "max 100000" no limit. 0 where nobody says.
int cores_by_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  if (!(file >> quota >> period) || period <= 0) return 0;
  return std::max(1, static_cast<int>(quota / period + 0.5));
}

// OMP_NUM_THREADS, where somebody set it, is how programs of this kind are told.
int default_threads() {
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return omp_get_max_threads();
  const int cores = available_cores(), quota = cores_by_quota();
  return quota > 0 ? std::min(cores, quota) : cores;
}

// OpenMP keeps its own count for each thread of the program; this one holds for all of them, so each parallel loop asks for it. 0 until
// set.
std::atomic<int> chosen{0};

}  // namespace

void set_host_threads(int threads) {
  if (threads < 0)
    throw DeviceError(fmt::format("host devices compute with 1 thread or more, and {} were asked for", threads), "0 means one a core");
  chosen = threads;
}

int host_threads() {
  static const int by_default = default_threads();
  const int threads = chosen;
  return threads > 0 ? threads : by_default;
}

}  // namespace mirilla
