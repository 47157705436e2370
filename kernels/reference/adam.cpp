// SPDX-License-Identifier: MIT
#include <cmath>

#include "kernels/reference/reference.h"

namespace mirilla {

namespace {

template <class T>
void adam_step(const AdamTensor& tensor, const AdamSpec& spec) {
  T* const parameter = tensor.parameter.data<T>();
  const T* const gradient = tensor.gradient.data<T>();
  T* const first = tensor.m.data<T>();
  T* const second = tensor.v.data<T>();
  const double t = static_cast<double>(tensor.step);
  const double debias1 = 1 - std::pow(spec.beta1, t), debias2 = 1 - std::pow(spec.beta2, t);
  for (int64_t i = 0; i < tensor.parameter.numel(); ++i) {
    const double g = gradient[i];
    const double m = spec.beta1 * first[i] + (1 - spec.beta1) * g;
    const double v = spec.beta2 * second[i] + (1 - spec.beta2) * g * g;
    const double decayed = parameter[i] * (1 - tensor.learning_rate * tensor.weight_decay);
    parameter[i] = static_cast<T>(decayed - tensor.learning_rate / debias1 * m / (std::sqrt(v / debias2) + spec.eps));
    first[i] = static_cast<T>(m);
    second[i] = static_cast<T>(v);
  }
}

}  // namespace

void ReferenceBackend::adam(std::span<const AdamTensor> tensors, const AdamSpec& spec) {
  for (const AdamTensor& tensor : tensors) compute(tensor.parameter.dtype, "adam", [&]<class T>() { adam_step<T>(tensor, spec); });
}

}  // namespace mirilla
