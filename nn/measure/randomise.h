// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nn/modules/module.h"

/// Networks with partly random weights, for the sanity check of explanations.
///                                                                                 [Adebayo et al. 2018, "Sanity checks for saliency maps"]
namespace mirilla::nn {

/// The network's children with parameters, from the logits down: head, layer4, layer3, layer2, layer1, bn1, conv1.
std::vector<std::string> parts_from_the_top(const Module& model);

/// A copy whose first `count` parts of parts_from_the_top have the initial values drawn from `seed` (nn::initialise; batch norms have
/// nothing), and the others the model's: cascading randomisation. In evaluation mode. Throws UsageError for a network that cannot be made
/// anew (Module::made_anew).
std::unique_ptr<Module> with_random_top(const Module& model, int64_t count, uint64_t seed);

}  // namespace mirilla::nn
