// SPDX-License-Identifier: MIT
#include "nn/files/model_tensors.h"

#include <map>

#include "weights/layout.h"

namespace mirilla::nn {

std::vector<NamedTensor> parameters_and_buffers(const Module& model) {
  std::vector<NamedTensor> all = model.parameters();
  for (NamedTensor& buffer : model.buffers()) all.push_back(std::move(buffer));
  return all;
}

weights::Array to_array(const Tensor& tensor) {
  return dispatch_any(tensor.dtype(), [&]<class T>() {
    const std::vector<T> values = tensor.to_vector<T>();
    return weights::krsc_to_oihw(weights::Array::from(tensor.shape(), std::span<const T>(values)));
  });
}

void assign(Tensor tensor, const weights::Array& array) {
  const weights::Array ours = weights::oihw_to_krsc(array);
  if (ours.dtype() == DType::f64 && tensor.dtype() == DType::f64)
    tensor.copy_from(from_host(ours.values<double>(), ours.shape(), tensor.device()));
  else  // only the reference device has f64, so others get the rounded values
    tensor.copy_from(from_host(weights::to_f32(ours), ours.shape(), tensor.device()));
}

std::vector<weights::Wanted> wanted_by(const Module& model, const Take& take) {
  std::vector<weights::Wanted> wanted;
  for (const NamedTensor& named : parameters_and_buffers(model))
    if (!take || take(named.name)) wanted.push_back({named.name, weights::krsc_to_oihw(named.tensor.shape())});
  return wanted;
}

void check_values(const weights::Report& report, const weights::StateDict& state, const Module& model, std::string_view origin,
                  const ImportOptions& options) {
  const std::vector<NamedTensor> parameters = model.parameters();
  std::vector<weights::Flaw> flaws = weights::flaws_of(report, state, parameters.empty() ? DType::f32 : parameters[0].tensor.dtype());
  if (flaws.empty()) return;
  const weights::FlawedWeights error(origin, std::move(flaws));
  if (!options.allow_nonfinite) throw error;
  if (options.warn) options.warn("warning: " + error.message());
}

namespace {

bool all_finite_on_device(const std::vector<NamedTensor>& tensors) {
  if (tensors.empty()) return true;
  std::vector<ConstView> views;
  for (const NamedTensor& named : tensors) views.push_back(named.tensor);
  Tensor state = zeros({kScalerState}, DType::f32, tensors[0].tensor.device());
  state.backend().run(op::CheckFinite{views, state});
  constexpr size_t kOverflow = 2;
  return state.to_vector<float>()[kOverflow] == 0;
}

}  // namespace

std::vector<weights::Flaw> flaws_of(const Module& model) {
  const std::vector<NamedTensor> tensors = parameters_and_buffers(model);
  const bool finite = all_finite_on_device(tensors);
  std::vector<weights::Flaw> flaws;
  for (const NamedTensor& named : tensors) {
    if (finite && !named.name.ends_with(kRunningVariance)) continue;
    if (auto flaw = weights::flaw_of(named.name, to_array(named.tensor), named.tensor.dtype())) flaws.push_back(std::move(*flaw));
  }
  return flaws;
}

void assign(Module& model, const weights::Report& report, const weights::StateDict& state, const Take& take) {
  std::map<std::string, Tensor> tensors;
  for (NamedTensor& named : parameters_and_buffers(model)) tensors.emplace(std::move(named.name), std::move(named.tensor));
  for (const weights::Matched& matched : report.matched)
    if (!take || take(matched.name)) assign(tensors.at(matched.name), state.at(matched.source));
}

}  // namespace mirilla::nn
