// SPDX-License-Identifier: MIT
#include "nn/model_tensors.h"

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
  else  // f64 lives on the reference device alone, so others take the rounded values
    tensor.copy_from(from_host(weights::to_f32(ours), ours.shape(), tensor.device()));
}

std::vector<weights::Wanted> wanted_by(const Module& model, const Take& take) {
  std::vector<weights::Wanted> wanted;
  for (const NamedTensor& named : parameters_and_buffers(model))
    if (!take || take(named.name)) wanted.push_back({named.name, weights::krsc_to_oihw(named.tensor.shape())});
  return wanted;
}

void assign(Module& model, const weights::Report& report, const weights::StateDict& state, const Take& take) {
  std::map<std::string, Tensor> tensors;
  for (NamedTensor& named : parameters_and_buffers(model)) tensors.emplace(std::move(named.name), std::move(named.tensor));
  for (const weights::Matched& matched : report.matched)
    if (!take || take(matched.name)) assign(tensors.at(matched.name), state.at(matched.source));
}

}  // namespace mirilla::nn
