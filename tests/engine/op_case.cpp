// SPDX-License-Identifier: MIT
#include "tests/engine/op_case.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/tape.h"
#include "kernels/core/philox.h"
#include "kernels/devices.h"

namespace mirilla {

namespace {

double as_f32(double x) { return static_cast<double>(static_cast<float>(x)); }

// All values differ and are evenly spaced, in an order that looks random.
std::vector<double> draw_without_ties(int64_t count, uint32_t item) {
  std::vector<double> order = draw(count, 0, 1, item);
  std::vector<size_t> rank(order.size());
  std::iota(rank.begin(), rank.end(), size_t{0});
  std::stable_sort(rank.begin(), rank.end(), [&](size_t a, size_t b) { return order[a] < order[b]; });
  std::vector<double> values(order.size());
  for (size_t i = 0; i < rank.size(); ++i) values[rank[i]] = as_f32(4 * (static_cast<double>(i) + 0.5) / static_cast<double>(count) - 2);
  return values;
}

}  // namespace

std::vector<double> draw(int64_t count, double low, double high, uint32_t item) {
  const RandomKey key{.seed = 2024, .purpose = Purpose::kTest, .item = item};
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = as_f32(low + (high - low) * to_unit(key.bits(static_cast<uint32_t>(i))));
  return values;
}

Values draw_inputs(const OpCase& op, const std::vector<Shape>& shapes) {
  Values values;
  for (const Shape& shape : shapes) {
    const auto item = static_cast<uint32_t>(values.size());
    values.push_back(op.draw == Draw::without_ties ? draw_without_ties(shape.numel(), item) : draw(shape.numel(), -2, 2, item));
    if (op.draw != Draw::off_zero) continue;
    for (double& value : values.back())
      if (std::fabs(value) < 0.01) value = value < 0 ? -0.25 : 0.25;
  }
  return values;
}

Tensor tensor_of(const std::vector<double>& values, const Shape& shape, DType dtype, Device& device) {
  if (dtype == DType::f64) return from_host(values, shape, device);
  return from_host(std::vector<float>(values.begin(), values.end()), shape, device);
}

std::vector<Tensor> tensors_of(const Values& values, const std::vector<Shape>& shapes, DType dtype, Device& device) {
  std::vector<Tensor> tensors;
  for (size_t i = 0; i < values.size(); ++i) tensors.push_back(tensor_of(values[i], shapes[i], dtype, device));
  return tensors;
}

Tensor constant_like(const Tensor& like, const Shape& shape, double low, double high, uint32_t item) {
  return tensor_of(draw(shape.numel(), low, high, 1000 + item), shape, like.dtype(), like.device());
}

Outcome execute(const OpCase& op, const std::vector<Shape>& shapes, const Values& values, const std::vector<double>& seed, DType dtype,
                Device& device, const std::optional<std::vector<bool>>& wanted) {
  std::vector<Tensor> in = tensors_of(values, shapes, dtype, device);
  for (size_t i = 0; i < in.size(); ++i)
    if (!wanted || (*wanted)[i]) in[i].set_requires_grad();
  const Tensor y = op.run(in);
  Outcome outcome{y.to_doubles(), {}};
  if (seed.empty() && y.numel() != 0) return outcome;
  tape::backward(y, {.seed = tensor_of(seed, y.shape(), dtype, device)});
  for (const Tensor& input : in) {
    const Tensor gradient = input.grad();
    outcome.gradients.push_back(gradient ? std::optional(gradient.to_doubles()) : std::nullopt);
  }
  return outcome;
}

Poison::Poison() {
  for (const std::string& name : device_names()) Allocator::of(open_device(name)).set_poison(true);
}

Poison::~Poison() {
  for (const std::string& name : device_names()) Allocator::of(open_device(name)).set_poison(false);
}

}  // namespace mirilla
