// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/conv_probe.h"

#include <algorithm>

#include "kernels/core/error.h"

namespace mirilla::cuda::vendor {

namespace {

ConvProblem plain(DType dtype) {
  return {
      .dtype = dtype, .result = dtype, .n = 64, .h = 32, .w = 32, .c = 64, .k = 64, .r = 3, .s = 3, .p = 32, .q = 32, .spec = {1, 1, 1}};
}

Fusion asked(const ConvChip& chip, std::string name, const ConvProblem& problem) {
  Fusion fusion{std::move(name), problem, 0, {}};
  try {
    ConvGraph graph(problem, chip);
    const std::vector<ConvCandidate> all = graph.candidates();
    fusion.plans = static_cast<size_t>(std::count_if(all.begin(), all.end(), [](const ConvCandidate& c) { return c.full_precision; }));
    if (fusion.plans == 0) fusion.why = all.empty() ? graph.why() : "none keeps to f32 sums";
  } catch (const DeviceError& refused) {
    fusion.why = refused.message();
  }
  return fusion;
}

}  // namespace

std::vector<Fusion> probe_fusions(const ConvChip& chip, DType dtype) {
  std::vector<Fusion> all;
  for (const DType bias : {dtype, DType::f32})
    for (const bool residual : {false, true}) {
      ConvProblem problem = plain(dtype);
      problem.bias = problem.relu = true;
      problem.bias_dtype = bias;
      problem.residual = residual;
      all.push_back(asked(chip, fmt::format("bias {}{}, relu", name_of(bias), residual ? " + residual" : ""), problem));
    }
  for (const bool scale_shift_relu : {false, true})
    for (const bool sums : {false, true}) {
      if (!scale_shift_relu && !sums) continue;
      ConvProblem problem = plain(dtype);
      problem.scale_shift_relu = scale_shift_relu;
      problem.sums = sums;
      all.push_back(asked(
          chip, fmt::format("{}{}", scale_shift_relu ? "scale, shift, relu before" : "sums", sums && scale_shift_relu ? ", sums" : ""),
          problem));
    }
  return all;
}

}  // namespace mirilla::cuda::vendor
