// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "kernels/plans/plan_store.h"

/// The functions behind kernels/plans/chosen_plans.h. Defined in vendor/, or in the file that replaces it in builds without CUDA.
namespace mirilla::cuda {

/// The plans used so far; empty where there are none.
std::string conv_plans_text();
/// The store in which plans are looked up; null where there is no GPU or no library.
PlanStore* conv_plan_store();
/// What cuDNN can fuse into a convolution on this GPU, one line each: "f16: sums: 10 plans". cuDNN is asked at each call, which takes about
/// a second and runs nothing on the GPU. Empty where there is no GPU or no library.
std::vector<std::string> conv_fusions();
/// PlanStore::take_notes of every library's store.
std::vector<std::string> take_plan_notes();

}  // namespace mirilla::cuda
