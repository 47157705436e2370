// SPDX-License-Identifier: MIT
#include "engine/gradient_check.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/tape.h"
#include "kernels/core/error.h"
#include "kernels/core/philox.h"

namespace mirilla {

namespace {

using Operator = std::function<Tensor(std::span<const Tensor>)>;

std::vector<double> drawn(int64_t count, uint32_t seed) {
  const RandomKey key{.seed = seed, .purpose = Purpose::kTest};
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = 2 * to_unit(key.bits(static_cast<uint32_t>(i))) - 1;
  return values;
}

std::vector<Tensor> copies_of(std::span<const Tensor> inputs) {
  std::vector<Tensor> copies;
  for (const Tensor& input : inputs) {
    if (input.dtype() != DType::f64)
      throw Error(fmt::format("check_gradient: expected inputs in f64, got {}", describe(input)),
                  "make them with from_host(std::vector<double>(...), shape, open_device(\"reference\"))");
    copies.push_back(input.detach().clone());
  }
  return copies;
}

// sum(s f(inputs)) with one element moved.
double objective(const Operator& f, std::vector<Tensor> inputs, size_t input, int64_t element, double offset,
                 const std::vector<double>& s) {
  std::vector<double> values = inputs[input].to_doubles();
  values[static_cast<size_t>(element)] += offset;
  inputs[input] = from_host(values, inputs[input].shape(), inputs[input].device());
  const tape::NoGrad no_grad;
  const std::vector<double> y = f(inputs).to_doubles();
  double total = 0;
  for (size_t i = 0; i < y.size(); ++i) total += y[i] * s[i];
  return total;
}

}  // namespace

GradientCheck check_gradient(const Operator& f, std::span<const Tensor> inputs, const GradientCheckOptions& options) {
  const std::vector<Tensor> plain = copies_of(inputs);
  std::vector<Tensor> leaves = copies_of(inputs);
  for (Tensor& leaf : leaves) leaf.set_requires_grad();
  const Tensor y = f(leaves);
  const std::vector<double> s = drawn(y.numel(), options.seed);
  tape::backward(y, {.seed = from_host(s, y.shape(), y.device())});

  GradientCheck worst;
  for (size_t i = 0; i < leaves.size(); ++i) {
    const Tensor gradient = leaves[i].grad();
    if (!gradient) return {.input = i, .error = INFINITY, .good = false, .text = fmt::format("no gradient came back to input {}", i)};
    const std::vector<double> recorded = gradient.to_doubles();
    const auto count = static_cast<int64_t>(recorded.size());
    const int64_t looked_at = std::min(count, options.elements);
    for (int64_t k = 0; k < looked_at; ++k) {
      const int64_t element = k * count / looked_at + (count > looked_at ? k % (count / looked_at) : 0);
      const double numeric =
          (objective(f, plain, i, element, options.step, s) - objective(f, plain, i, element, -options.step, s)) / (2 * options.step);
      const double mine = recorded[static_cast<size_t>(element)];
      const double error = std::fabs(mine - numeric) / std::max(1.0, std::fabs(mine));
      if (error <= worst.error) continue;  // false of a NaN, which is the worst
      worst = {.input = i, .element = element, .recorded = mine, .numeric = numeric, .error = error};
      if (std::isnan(error)) break;
    }
    if (std::isnan(worst.error)) break;
  }
  worst.good = worst.error <= options.tolerance;
  worst.text = fmt::format("input {}, element {}: backward says {} and central differences say {}", worst.input, worst.element,
                           worst.recorded, worst.numeric);
  return worst;
}

}  // namespace mirilla
