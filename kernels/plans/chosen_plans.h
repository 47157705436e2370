// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/plans/plan_store.h"

namespace mirilla {

/// The plans that this program's convolutions used on the GPU so far, as one text for a checkpoint, so that a run resumed from it gets the
/// same bits. Empty where there are none: no GPU, no library, nothing computed. Never throws.
std::string chosen_plans();

/// The inverse: problems that have no plan yet take theirs from the text. Plans of another GPU, driver or library version are ignored, and
/// everything is ignored where there is no GPU. Never throws; returns a warning where the text does not come from chosen_plans, else "".
std::string adopt_plans(std::string_view text);
/// The same, into a given store; null: none.
std::string adopt_plans(std::string_view text, PlanStore* store);

/// Warnings about the plan file since the last call, one sentence each: it was damaged, is outdated, or cannot be written.
std::vector<std::string> take_plan_notes();

}  // namespace mirilla
