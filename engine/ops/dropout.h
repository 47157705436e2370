// SPDX-License-Identifier: MIT
#pragma once

#include "engine/tensor.h"

namespace mirilla {

/// y = x mask / (1 - p), mask from Philox as DropoutSpec says. Backward: the same with dy; nothing is stored. [torch.nn.functional.dropout]
/// p in [0,1); p = 0 gives x itself. `step`, (1) i64 beside x, is DropoutSpec::step: forward and backward read it when the device runs
/// them, so backward throws if it was written to in between. Does not wait for the device.
Tensor dropout(const Tensor& x, const DropoutSpec& spec, const Tensor& step = {});

}  // namespace mirilla
