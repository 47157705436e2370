// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "nn/files/model_file.h"
#include "nn/modules/module.h"
#include "weights/match.h"
#include "weights/state_dict.h"

/// Between a model's tensors and the arrays of weights files: for nn/files/model_file.
namespace mirilla::nn {

std::vector<NamedTensor> parameters_and_buffers(const Module& model);

/// A tensor's values in PyTorch's layout. Waits for the device.
weights::Array to_array(const Tensor& tensor);
/// The way back: overwrites the tensor, rounding to its dtype.
void assign(Tensor tensor, const weights::Array& array);

/// What the model wants of a file: names and PyTorch's shapes, of those that `take` accepts.
using Take = std::function<bool(std::string_view name)>;
std::vector<weights::Wanted> wanted_by(const Module& model, const Take& take = {});

/// Looks at the values that the report matched, as the model's dtype holds them. Throws FlawedWeights where they have flaws, unless the
/// options allow them; then `warn` is told.
void check_values(const weights::Report& report, const weights::StateDict& state, const Module& model, std::string_view origin,
                  const ImportOptions& options);

/// What is wrong with a model's values as they are now (weights/flaws.h), in the order of its parameters and buffers. Waits for the device;
/// reads the tensors to the host only where one is not finite.
std::vector<weights::Flaw> flaws_of(const Module& model);

/// Overwrites what the report matched, of those that `take` accepts.
void assign(Module& model, const weights::Report& report, const weights::StateDict& state, const Take& take = {});

}  // namespace mirilla::nn
