// SPDX-License-Identifier: MIT
#pragma once

namespace mirilla {

/// The OpenMP settings of the environment when the program began. The caller may change its own regions later; ours keep these values.
struct OpenmpEnvironment {
  int threads = 0;       // OMP_NUM_THREADS, the first of a list; 0 where it is unset or not a valid number
  int thread_limit = 1;  // OMP_THREAD_LIMIT; INT_MAX where there is none
};
const OpenmpEnvironment& openmp_environment();

/// The number of threads that compute if the program sets none: OMP_NUM_THREADS, else one per core, limited by affinity, a container's
/// quota and OMP_THREAD_LIMIT. Throws DeviceError where OMP_NUM_THREADS is more than most_host_threads().
int default_host_threads();

}  // namespace mirilla
