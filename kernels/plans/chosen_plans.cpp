// SPDX-License-Identifier: MIT
#include "kernels/plans/chosen_plans.h"

#include "kernels/core/error.h"

namespace mirilla {

std::string adopt_plans(std::string_view text, PlanStore* store) {
  if (!store || text.empty()) return {};
  try {
    store->adopt(text);
    return {};
  } catch (const Error& error) {
    return fmt::format("the GPU's plans are chosen anew: {}", error.message());
  }
}

}  // namespace mirilla
