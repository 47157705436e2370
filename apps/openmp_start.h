// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

/// OpenMP's runtime reads its variables only once, before main begins, and prints its own messages about invalid ones. This code
/// runs before it:
///
/// - Where neither OMP_WAIT_POLICY nor GOMP_SPINCOUNT is set the program restarts itself with OMP_WAIT_POLICY=passive and a
///   GOMP_SPINCOUNT of 20 microseconds. Waiting threads then soon sleep and do not keep cores busy that other programs, or the threads they
///   wait for, need: on a machine that does other work too, training takes a fraction of the time. Without these microseconds a thread
///   sleeps between any two loops, and training on a quiet machine takes 7 % longer.
/// - Variables that OpenMP would ignore are removed from the environment and reported in a sentence.
namespace mirilla::apps {

/// The removed variables: "OMP_NUM_THREADS=many".
std::vector<std::string> unfollowed_variables();

}  // namespace mirilla::apps
