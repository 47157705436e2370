// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/conv_problem.h"

namespace mirilla::cuda::vendor {

std::string to_string(const ConvProblem& p) {
  constexpr std::string_view kKinds[] = {"forward", "backward_data", "backward_weight"};
  std::string text =
      fmt::format("{} {}{} ({},{},{},{}) * ({},{},{},{}) stride {} padding {} dilation {}", kKinds[static_cast<size_t>(p.kind)],
                  name_of(p.dtype), p.result == p.dtype ? "" : fmt::format(" to {}", name_of(p.result)), p.n, p.h, p.w, p.c, p.k, p.r, p.s,
                  p.c, p.spec.stride, p.spec.padding, p.spec.dilation);
  if (p.scale_shift_relu) text += " of scale, shift, relu";
  if (p.bias) text += fmt::format(" + bias {}", name_of(p.bias_dtype));
  if (p.residual) text += " + residual";
  if (p.relu) text += ", relu";
  if (p.sums) text += ", sums";
  return text;
}

size_t HashOfProblem::operator()(const ConvProblem& p) const noexcept {
  const int64_t flags = (p.scale_shift_relu << 4) | (p.bias << 3) | (p.residual << 2) | (p.relu << 1) | static_cast<int>(p.sums);
  const int64_t kinds = static_cast<int64_t>(p.kind) * 8 + static_cast<int64_t>(p.dtype);
  uint64_t hash = 0;
  for (const int64_t part : {kinds, flags, p.n, p.h, p.w, p.c, p.k, p.r, int64_t{p.spec.stride}})
    hash = (hash ^ static_cast<uint64_t>(part)) * 0x9E3779B97F4A7C15u;  // the golden ratio's digits
  return static_cast<size_t>(hash ^ (hash >> 32));
}

int64_t elements_written(const ConvProblem& p) {
  switch (p.kind) {
    case ConvKind::forward: return p.n * p.p * p.q * p.k;
    case ConvKind::backward_data: return p.n * p.h * p.w * p.c;
    default: return p.k * p.r * p.s * p.c;
  }
}

std::string declined(const ConvProblem& p) {
  if (!is_half(p.dtype) && p.dtype != DType::f32) return fmt::format("{} is not computed there", name_of(p.dtype));
  const int64_t wanted = is_half(p.dtype) ? 8 : 4;  // 16 bytes
  const bool first_layer = is_half(p.dtype) && p.c == 4 && p.kind != ConvKind::backward_data && !p.scale_shift_relu;
  if (p.c % wanted != 0 && !first_layer) return fmt::format("{} channels are no multiple of {}", p.c, wanted);
  if (p.k % wanted != 0) return fmt::format("{} filters are no multiple of {}", p.k, wanted);
  if (p.n * p.h * p.w * p.c == 0 || p.k * p.r * p.s == 0 || p.p * p.q == 0) return "nothing is in a tensor";
  return {};
}

}  // namespace mirilla::cuda::vendor
