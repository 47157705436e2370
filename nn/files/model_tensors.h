// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "nn/files/model_file.h"
#include "nn/modules/module.h"
#include "weights/match.h"
#include "weights/state_dict.h"

/// Conversion between a model's tensors and the arrays of weights files, for nn/files/model_file.
namespace mirilla::nn {

std::vector<NamedTensor> parameters_and_buffers(const Module& model);

/// A tensor's values in PyTorch's layout. Waits for the device.
weights::Array to_array(const Tensor& tensor);
/// The inverse: overwrites the tensor, rounding to its dtype.
void assign(Tensor tensor, const weights::Array& array);

/// What the model needs from a file: names and PyTorch's shapes of the tensors that `take` accepts.
using Take = std::function<bool(std::string_view name)>;
std::vector<weights::Wanted> wanted_by(const Module& model, const Take& take = {});

/// Checks the values that the report matched, rounded to the model's dtype. Throws FlawedWeights if they have flaws, unless the
/// options allow them; then calls `warn`.
void check_values(const weights::Report& report, const weights::StateDict& state, const Module& model, std::string_view origin,
                  const ImportOptions& options);

/// The flaws of a model's current values (weights/flaws.h), in the order of its parameters and buffers. Waits for the device;
/// copies the tensors to the host only if one is not finite.
std::vector<weights::Flaw> flaws_of(const Module& model);

/// Overwrites the matched tensors that `take` accepts.
void assign(Module& model, const weights::Report& report, const weights::StateDict& state, const Take& take = {});

}  // namespace mirilla::nn
