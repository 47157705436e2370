// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

namespace {

cpu::AdamChunk whole(const AdamTensor& t, const AdamSpec& spec) {
  const auto step = static_cast<double>(t.step);
  return {.parameter = t.parameter.data<float>(),
          .gradient = t.gradient.data<float>(),
          .m = t.m.data<float>(),
          .v = t.v.data<float>(),
          .count = t.parameter.numel(),
          .keep = static_cast<float>(1 - t.learning_rate * t.weight_decay),
          .beta1 = static_cast<float>(spec.beta1),
          .beta2 = static_cast<float>(spec.beta2),
          .rest1 = static_cast<float>(1 - spec.beta1),
          .rest2 = static_cast<float>(1 - spec.beta2),
          .rate = static_cast<float>(t.learning_rate / (1 - std::pow(spec.beta1, step))),
          .inv_correction = static_cast<float>(1 / (1 - std::pow(spec.beta2, step))),
          .eps = static_cast<float>(spec.eps)};
}

}  // namespace

// Bytes: read 4 n, write 3 n. All tensors at once: they are cut into pieces of one size, so that a network of many small tensors and a few
// large ones keeps every thread busy to the end.
void CpuBackend::adam(std::span<const AdamTensor> tensors, const AdamSpec& spec) {
  std::vector<cpu::AdamChunk> pieces;
  for (const AdamTensor& tensor : tensors) {
    cpu::want_f32("adam", {tensor.parameter, tensor.gradient, tensor.m, tensor.v});
    const cpu::AdamChunk all = whole(tensor, spec);
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
}

}  // namespace mirilla
