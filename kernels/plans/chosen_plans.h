// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/plans/plan_store.h"

namespace mirilla {

/// The plans with which this program's convolutions ran on the GPU so far, as one text for a checkpoint, so that who goes on from it gets
/// the same bits. Empty where there are none: no GPU, no library, nothing computed. Never throws.
std::string chosen_plans();

/// The way back: problems that have no plan yet take theirs from the text. Plans of another GPU, driver or library's version are left
/// aside, and so is everything where there is no GPU. Never throws; gives a line for people where the text is none of chosen_plans, else
/// "".
std::string adopt_plans(std::string_view text);
/// The same, into a given store; null: none.
std::string adopt_plans(std::string_view text, PlanStore* store);

/// What befell the file of the plans since the last call, a sentence each: it was damaged, outdated, or cannot be written.
std::vector<std::string> take_plan_notes();

}  // namespace mirilla
