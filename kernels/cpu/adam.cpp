// SPDX-License-Identifier: MIT
#include <atomic>
#include <cmath>
#include <vector>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

namespace {

cpu::AdamChunk whole(const AdamTensor& t, const float* gradient, const AdamSpec& spec, float unscale) {
  const auto step = static_cast<double>(*t.step.data<int64_t>());
  const double learning_rate = t.rate ? *t.rate.data<double>() : t.learning_rate;
  return {.parameter = t.parameter.data<float>(),
          .gradient = gradient,
          .m = t.m.data<float>(),
          .v = t.v.data<float>(),
          .count = t.parameter.numel(),
          .keep = static_cast<float>(1 - learning_rate * t.weight_decay),
          .beta1 = static_cast<float>(spec.beta1),
          .beta2 = static_cast<float>(spec.beta2),
          .rest1 = static_cast<float>(1 - spec.beta1),
          .rest2 = static_cast<float>(1 - spec.beta2),
          .rate = static_cast<float>(learning_rate / (1 - std::pow(spec.beta1, step))),
          .inv_correction = static_cast<float>(1 / (1 - std::pow(spec.beta2, step))),
          .eps = static_cast<float>(spec.eps),
          .unscale = unscale};
}

}  // namespace

// Bytes: read 4 n, write 3 n. All tensors in one loop, cut into pieces of one size, so that a network of many small tensors and a few
// large ones keeps every thread busy to the end.
template <>
void CpuBackend::execute(const op::Adam& call) {
  const float* const state = cpu::floats(call.scaler_state);
  if (state && state[2] != 0) return;
  AdamSpec spec = call.spec;
  if (call.spec.momentum) spec.beta1 = *call.spec.momentum.data<double>();
  std::vector<cpu::AdamChunk> pieces;
  std::vector<std::vector<float>> widened;  // gradients in halves, which no operation of this device makes
  const auto gradient_of = [&](const AdamTensor& tensor) -> const float* {
    if (!is_half(tensor.gradient.dtype)) return tensor.gradient.data<float>();
    std::vector<float>& wide = widened.emplace_back(static_cast<size_t>(tensor.gradient.numel()));
    execute(op::Cast{tensor.gradient, View{.address = wide.data(), .shape = tensor.gradient.shape, .dtype = DType::f32, .present = true}});
    return wide.data();
  };
  for (const AdamTensor& tensor : call.tensors) {
    cpu::want_f32("adam", {tensor.parameter, tensor.m, tensor.v});
    if (!is_half(tensor.gradient.dtype)) cpu::want_f32("adam", {tensor.gradient});
    ++*tensor.step.data<int64_t>();
    const cpu::AdamChunk all = whole(tensor, gradient_of(tensor), spec, state ? state[1] : 1);
    for (int64_t i = 0; i < all.count; i += cpu::kGrain) {
      cpu::AdamChunk piece = all;
      piece.parameter += i;
      piece.gradient += i;
      piece.m += i;
      piece.v += i;
      piece.count = std::min(cpu::kGrain, all.count - i);
      pieces.push_back(piece);
    }
  }
  const auto kernel = cpu::loops().adam;
  cpu::parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t i) { kernel(pieces[static_cast<size_t>(i)]); });
  for (const AdamTensor& tensor : call.tensors)
    if (tensor.copy) execute(op::Cast{tensor.parameter, tensor.copy});
}

template <>
void CpuBackend::execute(const op::CheckFinite& call) {
  std::atomic<bool> finite = true;
  for (const ConstView& gradient : call.gradients) {
    const float* const g = cpu::floats(gradient);
    cpu::parallel_shares(gradient.numel(), cpu::kGrain, [&](int64_t begin, int64_t end) {
      // x * 0 is 0 for a finite x and NaN for any other; summing these products needs no branch.
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = begin; i < end; ++i) sum += g[i] * 0.0f;
      if (sum != 0) finite = false;
    });
  }
  cpu::floats(call.state)[2] = finite ? 0.0f : 1.0f;
}

template <>
void CpuBackend::execute(const op::UpdateScale& call) {
  step_scaler(cpu::floats(call.state), call.spec);
}

}  // namespace mirilla
