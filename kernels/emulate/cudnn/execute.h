// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/emulate/cudnn/graph.h"

namespace mirilla::emulate::cudnn {

/// Gives what a plan computes to the handle's stream. Throws Refusal for operands that do not fit the plan.
void execute(Runtime& runtime, const cudnnContext& handle, const Contents& plan, const Contents& pack);

}  // namespace mirilla::emulate::cudnn
