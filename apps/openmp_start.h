// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

/// OpenMP's runtime reads its variables before main begins, only then, and says so in lines of its own where it cannot read one. The
/// program is there earlier:
///
/// - Where neither OMP_WAIT_POLICY nor GOMP_SPINCOUNT is set it starts itself anew with OMP_WAIT_POLICY=passive. Threads that wait then
///   sleep, and do not keep others' cores busy, nor those of threads that they wait for: on a machine that does other work too, a training
///   takes a fraction of the time.
/// - What OpenMP would not follow is taken out of the environment, to be told in a sentence.
namespace mirilla::apps {

/// What was taken out: "OMP_NUM_THREADS=many".
std::vector<std::string> unfollowed_variables();

}  // namespace mirilla::apps
