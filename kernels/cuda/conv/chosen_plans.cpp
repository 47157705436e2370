// SPDX-License-Identifier: MIT
#include "kernels/plans/chosen_plans.h"

#include "kernels/cuda/conv/vendor_plans.h"

namespace mirilla {

std::string chosen_plans() { return cuda::conv_plans_text(); }

std::string adopt_plans(std::string_view text) { return adopt_plans(text, cuda::conv_plan_store()); }

std::vector<std::string> take_plan_notes() { return cuda::take_plan_notes(); }

}  // namespace mirilla
