// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "nn/modules/module.h"

namespace mirilla::nn {

/// The logits that a network gives when the module at `path` has put out `output`: only what comes after it runs. That is possible where
/// each module around it says what follows from this output alone (Module::rest_after). Of a ResNet: relu, maxpool, layer1..layer4, and a
/// block of them or its last relu (layer3.0, layer3.0.relu); of a Sequential: each of its children.
///
///   path    as Module::resolve gives it
///   output  (N,h,w,C) as that module puts it out
///
/// In the mode the network is in. Throws UsageError for a module inside a block, which a shortcut goes around.
Tensor run_after(Module& model, std::string_view path, const Tensor& output);

/// Throws UsageError where run_after would: for whoever wants to know before long work begins.
void check_can_run_after(Module& model, std::string_view path);

}  // namespace mirilla::nn
