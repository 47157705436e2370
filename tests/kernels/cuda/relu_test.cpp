// SPDX-License-Identifier: MIT
#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaRelu : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaRelu, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

TEST_P(CudaRelu, EqualsTheReferenceAtEverySize) {
  for (int64_t n : awkward_sizes())
    expect_equal_to_reference({.name = "relu " + std::to_string(n),
                               .in = {uniform({n}, 1)},
                               .out = {room({n})},
                               .run =
                                   [](Backend& b, auto in, auto out) {
                                     b.run(op::Relu{in[0], out[0]});
                                   }},
                              GetParam());
}

TEST_P(CudaRelu, GoesBackAtEverySize) {
  for (int64_t n : awkward_sizes())
    expect_equal_to_reference({.name = "relu_backward " + std::to_string(n),
                               .in = {uniform({n}, 1), uniform({n}, 2)},
                               .out = {room({n})},
                               .run =
                                   [](Backend& b, auto in, auto out) {
                                     b.run(op::ReluBackward{in[0], in[1], out[0]});
                                   }},
                              GetParam());
}

TEST_P(CudaRelu, LetsNanPassAndStopsAtTheKink) {
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  const Values x{{5}, {nan, -infinity, infinity, 0.0, -0.0}};
  expect_equal_to_reference({.name = "relu of what is not finite",
                             .in = {x},
                             .out = {room({5})},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Relu{in[0], out[0]});
                                 }},
                            GetParam());
  expect_equal_to_reference({.name = "and back",
                             .in = {uniform({5}, 3), x},
                             .out = {room({5})},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::ReluBackward{in[0], in[1], out[0]});
                                 }},
                            GetParam());
}

TEST_P(CudaRelu, TakesASliceThatNoVectorMayStartAt) {
  expect_equal_to_reference({.name = "a slice",
                             .in = {uniform({1026}, 1), uniform({1026}, 2)},
                             .out = {uniform({1026}, 3), uniform({1026}, 3)},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Relu{tail(in[0]), tail(out[0])});
                                   b.run(op::ReluBackward{tail(in[1]), tail(in[0]), tail(out[1])});
                                 }},
                            GetParam());
}

TEST_P(CudaRelu, OfNothingIsNothing) {
  expect_equal_to_reference({.name = "relu of nothing",
                             .in = {room({0, 4})},
                             .out = {room({0, 4})},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Relu{in[0], out[0]});
                                 }},
                            GetParam());
}

}  // namespace
}  // namespace mirilla::test
