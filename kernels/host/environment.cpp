// SPDX-License-Identifier: MIT
#include "kernels/host/environment.h"

#include <fmt/format.h>
#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/host/threads.h"

namespace mirilla {

namespace {

// "4" or, for nested regions, "4,2"; blanks may stand around the numbers. OpenMP ignores any other text.
bool is_thread_list(std::string_view text) {
  bool digits = false, ended = false;  // of the number being read
  bool positive = false;
  for (const char c : text) {
    if (c == ',') {
      if (!positive) return false;
      digits = ended = positive = false;
    } else if (std::isspace(static_cast<unsigned char>(c))) {
      ended = digits;
    } else if (!std::isdigit(static_cast<unsigned char>(c)) || ended) {
      return false;
    } else {
      digits = true;
      positive = positive || c != '0';
    }
  }
  return positive;
}

OpenmpEnvironment read_environment() {
  const char* asked = std::getenv("OMP_NUM_THREADS");
  if (asked == nullptr) asked = std::getenv("OMP_NUM_THREADS_ALL");
  return {.threads = asked != nullptr && is_thread_list(asked) ? omp_get_max_threads() : 0, .thread_limit = omp_get_thread_limit()};
}

// Read before main, outside of every region, and before a program can set anything.
[[maybe_unused]] const OpenmpEnvironment& read_early = openmp_environment();

// Linux names the threads that share a core by a list such as "0,64"; two threads of a core have the same list. On a machine without such
// lists every thread counts as a core.
std::string core_of(int thread) {
  std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", thread));
  std::string siblings;
  return std::getline(file, siblings) ? siblings : std::to_string(thread);
}

// Where OMP_PLACES or OMP_PROC_BIND bind threads, the first one was bound to its own place before main: its mask does not show the
// others' places; all places together do.
std::vector<int> bound_processors() {
  std::vector<int> all;
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> some(static_cast<size_t>(std::max(0, omp_get_place_num_procs(place))));
    if (!some.empty()) omp_get_place_proc_ids(place, some.data());
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

// Processors that this thread may run on; empty where the system does not say.
std::vector<int> allowed_processors() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::vector<int> all;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return all;
  for (int thread = 0; thread < CPU_SETSIZE; ++thread)
    if (CPU_ISSET(thread, &allowed)) all.push_back(thread);
  return all;
}

// The number of cores that this process may run on. A second thread on a core adds nothing to matrix products, which fill its units
// already.
int available_cores() {
  std::vector<int> processors = bound_processors();
  if (processors.empty()) processors = allowed_processors();
  if (processors.empty()) return std::max(1, omp_get_num_procs());
  std::set<std::string> cores;
  for (const int thread : processors) cores.insert(core_of(thread));
  return static_cast<int>(cores.size());
}

// A container may get less time than its cores have: "200000 100000" is two cores, "max 100000" is no limit. 0 where there is no quota.
int cores_by_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  if (!(file >> quota >> period) || period <= 0) return 0;
  return std::max(1, static_cast<int>(quota / period + 0.5));
}

int one_a_core() {
  const int cores = available_cores(), quota = cores_by_quota();
  return std::min({quota > 0 ? std::min(cores, quota) : cores, most_host_threads(), openmp_environment().thread_limit});
}

}  // namespace

const OpenmpEnvironment& openmp_environment() {
  static const OpenmpEnvironment environment = read_environment();
  return environment;
}

int most_host_threads() {
  constexpr int kEach = 8, kAtLeast = 64;
  static const int most = std::max(kAtLeast, kEach * static_cast<int>(std::min(sysconf(_SC_NPROCESSORS_CONF), 1L << 16)));
  return most;
}

int default_host_threads() {
  const OpenmpEnvironment& environment = openmp_environment();
  if (environment.threads > most_host_threads())
    throw DeviceError(
        fmt::format("OMP_NUM_THREADS requests {} threads, but this machine allows at most {}", environment.threads, most_host_threads()),
        "unset it: one thread per core is the fastest");
  if (environment.threads > 0) return std::min(environment.threads, environment.thread_limit);
  static const int by_default = one_a_core();
  return by_default;
}

std::string host_threads_note() {
  const OpenmpEnvironment& environment = openmp_environment();
  const int wanted = environment.threads > 0 ? environment.threads : available_cores();
  if (wanted <= environment.thread_limit) return {};
  return fmt::format("OMP_THREAD_LIMIT leaves {} of {} threads", environment.thread_limit, wanted);
}

}  // namespace mirilla
