// SPDX-License-Identifier: MIT
#include "nn/train/optimizer.h"

#include "kernels/core/error.h"

namespace mirilla::nn {

void Optimizer::zero_grad() {
  for (auto& group : groups_)
    for (NamedTensor& parameter : group) parameter.tensor.clear_grad();
}

void Optimizer::check_rates(std::string_view name, const Rates& rates) const {
  if (rates.lr.size() != groups_.size())
    throw Error(fmt::format("{}: got {} learning rates for {} parameter groups", name, rates.lr.size(), groups_.size()),
                "a schedule has one rate for each group");
}

void Optimizer::check_rates(std::string_view name, const Tensor& rates) const {
  const auto groups = static_cast<int64_t>(groups_.size());
  if (rates.dtype() != DType::f64 || rates.shape() != Shape{groups + 1})
    throw Error(fmt::format("{}: expected rates as f64 ({}) for {} parameter groups, got {}", name, groups + 1, groups, describe(rates)));
}

}  // namespace mirilla::nn
