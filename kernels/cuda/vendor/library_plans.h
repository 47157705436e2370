// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/vendor/library.h"
#include "kernels/plans/plan_store.h"

namespace mirilla::cuda::vendor {

/// The plans of one library on the thread's GPU, from plan_store_path(). One object a library, which lives as long as the program. Reads
/// the file at its first use.
PlanStore& plans_of(const std::string& library, LibraryVersion version);

}  // namespace mirilla::cuda::vendor
