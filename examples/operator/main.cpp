// SPDX-License-Identifier: MIT
// operator: an operator of our own with its gradient, checked by the library's tool, and a module that uses it.
#include <mirilla/mirilla.h>

#include <iostream>

using namespace mirilla;

/// y = a b, elementwise; same shape and dtype. Backward: da = dy b, db = dy a. On every device: the table has the products.
Tensor product(const Tensor& a, const Tensor& b) {
  Tensor y = empty_like(a);
  a.backend().run(op::Multiply{a, b, y});
  return tape::record("product", {a, b}, y, [a = tape::save(a), b = tape::save(b)](const Tensor& dy) {
    Tensor da = empty_like(dy), db = empty_like(dy);
    dy.backend().run(op::Multiply{dy, b.get(), da});
    dy.backend().run(op::Multiply{dy, a.get(), db});
    return tape::Gradients{da, db};
  });
}

/// y = x relu(conv(x)): a convolution that says how much of each value passes.
class Gate final : public nn::Module {
 public:
  Gate(int channels, nn::Placement at)
      : conv_(add("conv", std::make_unique<nn::Conv2d>(nn::Conv2d::Spec{.in = channels, .out = channels, .conv = {.padding = 1}}, at))),
        relu_(add("relu", std::make_unique<nn::ReLU>())) {
    nn::initialise(*this, 1);
  }
  std::string_view kind() const override { return "Gate"; }

 protected:
  Tensor forward(const Tensor& x) override { return product(x, relu_(conv_(x))); }

 private:
  nn::Conv2d& conv_;
  nn::ReLU& relu_;
};

// Values from -1 to 1, none of them near 0 or twice, in double on the device that holds the truth.
Tensor numbers(const Shape& shape) {
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = (static_cast<double>(i * 7 % values.size()) + 0.3) / static_cast<double>(values.size()) * 2 - 1;
  return from_host(values, shape, open_device("reference"));
}

int main() try {
  const std::vector<Tensor> pair{numbers({3, 5}), numbers({3, 5})};
  const GradientCheck alone = check_gradient([](std::span<const Tensor> in) { return product(in[0], in[1]); }, pair);
  std::cout << fmt::format("product: {}, error {:.1e}\n", alone.good ? "good" : alone.text, alone.error);

  Gate gate(2, {.device = open_device("reference"), .dtype = DType::f64});
  const std::vector<Tensor> picture{numbers({1, 4, 4, 2})};
  const GradientCheck inside = check_gradient([&](std::span<const Tensor> in) { return gate(in[0]); }, picture);
  std::cout << fmt::format("gate: {}, error {:.1e}\n", inside.good ? "good" : inside.text, inside.error);
  return alone.good && inside.good ? 0 : 1;
} catch (const Error& error) {
  std::cerr << "operator: " << error.what() << '\n';
  return 1;
}
