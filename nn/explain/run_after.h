// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "nn/modules/module.h"

namespace mirilla::nn {

/// The logits of a network when the output of the module at `path` is `output`: only later modules run. This is possible if
/// each module around it says what follows from this output alone (Module::rest_after). Of a ResNet: relu, maxpool, layer1..layer4, and a
/// block of them or its last relu (layer3.0, layer3.0.relu); of a Sequential: each of its children.
///
///   path    as Module::resolve gives it
///   output  (N,h,w,C) as this module's output
///
/// Runs in the network's current mode. Throws UsageError for a module inside a block, since the shortcut bypasses it.
Tensor run_after(Module& model, std::string_view path, const Tensor& output);

/// Throws UsageError where run_after would: to check before long work begins.
void check_can_run_after(Module& model, std::string_view path);

}  // namespace mirilla::nn
