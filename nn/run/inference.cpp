// SPDX-License-Identifier: MIT
#include "nn/run/inference.h"

#include "engine/amp/autocast.h"
#include "engine/tape.h"

namespace mirilla::nn {

Inference::Inference(Module& model, amp::Precision precision, const ReplayOptions& replay)
    : model_(model), mode_(model), precision_(precision), replayer_(model, replay) {}

Tensor Inference::operator()(const Tensor& input) {
  const tape::NoGrad no_grad;
  const amp::Autocast autocast(amp::dtype_of(precision_));
  return replayer_({.key = {static_cast<uint64_t>(precision_)},
                    .of_these_values = true,
                    .inputs = {input},
                    .run = [&](const std::vector<Tensor>& inputs) { return model_(inputs[0]); }});
}

}  // namespace mirilla::nn
