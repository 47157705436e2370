// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "kernels/plans/plan_store.h"

/// What kernels/plans/chosen_plans.h gives the rest of the house. Defined by the vendor's side, or by the file that stands in for it.
namespace mirilla::cuda {

/// The plans that ran so far; empty where none did.
std::string conv_plans_text();
/// Where plans are looked up; null where there is no GPU or no library.
PlanStore* conv_plan_store();
/// What cuDNN can fuse into a convolution on this GPU, a line each: "f16: sums: 10 plans". It is asked here and now, which takes about a
/// second and starts nothing. Empty where there is no GPU or no library.
std::vector<std::string> conv_fusions();
/// PlanStore::take_notes of every library's store.
std::vector<std::string> take_plan_notes();

}  // namespace mirilla::cuda
