// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"

namespace mirilla {

namespace {

template <class T>
void adam_step(const AdamTensor& tensor, const T* gradient, const AdamSpec& spec, double unscale) {
  const double learning_rate = tensor.rate ? *tensor.rate.data<double>() : tensor.learning_rate;
  T* const parameter = tensor.parameter.data<T>();
  T* const first = tensor.m.data<T>();
  T* const second = tensor.v.data<T>();
  const auto t = static_cast<double>(++*tensor.step.data<int64_t>());
  const double debias1 = 1 - std::pow(spec.beta1, t), debias2 = 1 - std::pow(spec.beta2, t);
  for (int64_t i = 0; i < tensor.parameter.numel(); ++i) {
    const double g = gradient[i] * unscale;
    const double m = spec.beta1 * first[i] + (1 - spec.beta1) * g;
    double v = spec.beta2 * second[i] + (1 - spec.beta2) * g * g;
    if (std::isinf(static_cast<T>(v))) v = static_cast<double>(static_cast<T>(v));  // use the stored (rounded) value
    const double decayed = parameter[i] * (1 - learning_rate * tensor.weight_decay);
    parameter[i] = static_cast<T>(decayed - learning_rate / debias1 * m / (std::sqrt(v / debias2) + spec.eps));
    first[i] = static_cast<T>(m);
    second[i] = static_cast<T>(v);
  }
}

}  // namespace

template <>
void ReferenceBackend::execute(const op::CheckFinite& call) {
  bool finite = true;
  for (const ConstView& gradient : call.gradients)
    compute(gradient.dtype, "check_finite", [&]<class T>() {
      for (int64_t i = 0; i < gradient.numel(); ++i) finite = finite && std::isfinite(gradient.data<T>()[i]);
    });
  call.state.data<float>()[2] = finite ? 0.0f : 1.0f;
}

template <>
void ReferenceBackend::execute(const op::Adam& call) {
  const float* const state = call.scaler_state ? call.scaler_state.data<float>() : nullptr;
  if (state && state[2] != 0) return;
  AdamSpec spec = call.spec;
  if (call.spec.momentum) spec.beta1 = *call.spec.momentum.data<double>();
  for (const AdamTensor& tensor : call.tensors) {
    compute(tensor.parameter.dtype, "adam", [&]<class T>() {
      std::vector<T> wide(is_half(tensor.gradient.dtype) ? static_cast<size_t>(tensor.gradient.numel()) : 0);
      const View widened{.address = wide.data(), .shape = tensor.gradient.shape, .dtype = kDTypeOf<T>, .present = true};
      if (is_half(tensor.gradient.dtype)) execute(op::Cast{tensor.gradient, widened});
      adam_step<T>(tensor, is_half(tensor.gradient.dtype) ? wide.data() : tensor.gradient.data<T>(), spec, state ? state[1] : 1);
    });
    if (tensor.copy) execute(op::Cast{tensor.parameter, tensor.copy});
  }
}

template <>
void ReferenceBackend::execute(const op::UpdateScale& call) {
  step_scaler(call.state.data<float>(), call.spec);
}

}  // namespace mirilla
