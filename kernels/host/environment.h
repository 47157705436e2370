// SPDX-License-Identifier: MIT
#pragma once

namespace mirilla {

/// What the environment told OpenMP as the program began. A program may set other values for its own regions later; these hold for ours.
struct OpenmpEnvironment {
  int threads = 0;       // OMP_NUM_THREADS, of a list the first; 0 where nobody said or it is no such number
  int thread_limit = 1;  // OMP_THREAD_LIMIT; INT_MAX where there is none
};
const OpenmpEnvironment& openmp_environment();

/// How many threads compute where nobody said: OMP_NUM_THREADS, else one a core, as far as affinity, a container's quota and
/// OMP_THREAD_LIMIT allow. Throws DeviceError where OMP_NUM_THREADS is more than most_host_threads().
int default_host_threads();

}  // namespace mirilla
