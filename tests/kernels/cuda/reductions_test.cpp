// SPDX-License-Identifier: MIT
#include <cmath>

#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaReductions : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaReductions, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

const double kNaN = std::nan(""), kInfinity = std::numeric_limits<double>::infinity();

// y in the type of x, and in f32. Op is Sum or SumRows.
template <class Op>
Case summing(const Shape& x, const Shape& y, DType type) {
  Case c{.name = "sum of " + to_string(x) + " to " + to_string(y),
         .in = {uniform(x, 1)},
         .out = {room(y), room(y, DType::f32)},
         .run = [](Backend& b, auto in, auto out) {
           b.run(Op{in[0], out[0]});
           b.run(Op{in[0], out[1]});
         }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, type);
  return c;
}

TEST_P(CudaReductions, SumsAtEverySize) {
  for (int64_t n : awkward_sizes()) expect_equal_to_reference(summing<op::Sum>({n}, {}, GetParam()), GetParam());
  expect_equal_to_reference(summing<op::Sum>({8192}, {}, GetParam()), GetParam());  // the most that one block takes of halves
}

TEST_P(CudaReductions, SumsWhatManyBlocksShare) {
  const Case c = summing<op::Sum>({3, 70001}, {}, GetParam());
  expect_equal_to_reference(c, GetParam());
  expect_same_in_any_order(c, GetParam());
}

TEST_P(CudaReductions, SumsASliceThatStartsAnywhere) {
  for (const int64_t n : {10, 9001}) {  // by one block, and in two stages
    Case c = summing<op::Sum>({n}, {}, GetParam());
    c.run = [](Backend& b, auto in, auto out) {
      b.run(op::Sum{tail(in[0]), out[0]});
      b.run(op::Sum{tail(in[0]), out[1]});
    };
    c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, GetParam());
    expect_equal_to_reference(c, GetParam());
  }
}

TEST_P(CudaReductions, SumsRowsOfAnyLengthAndNumber) {
  for (int64_t channels : {1, 2, 3, 8, 31, 32, 33, 64, 257, 512})
    for (int64_t rows : {1, 2, 31, 33, 300})
      expect_equal_to_reference(summing<op::SumRows>({rows, channels}, {channels}, GetParam()), GetParam());
}

TEST_P(CudaReductions, SumsManyRowsInTwoStages) {
  for (const Shape& x : {Shape{4, 40, 41, 16}, Shape{20001, 3}, Shape{40003, 1}, Shape{2500, 72}, Shape{60000, 32}, Shape{7000, 33}}) {
    const Case c = summing<op::SumRows>(x, {x[-1]}, GetParam());
    expect_equal_to_reference(c, GetParam());
    if (x[-1] == 72) expect_same_in_any_order(c, GetParam());
  }
}

TEST_P(CudaReductions, SumsRowsOfASliceThatStartsAnywhere) {
  Case c = summing<op::SumRows>({300, 33}, {33}, GetParam());
  c.run = [](Backend& b, auto in, auto out) {
    b.run(op::SumRows{without_first_row(in[0]), out[0]});
    b.run(op::SumRows{without_first_row(in[0]), out[1]});
  };
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, GetParam());
  expect_equal_to_reference(c, GetParam());
}

TEST_P(CudaReductions, SumsWhatIsNotFinite) {
  const Values x{{3, 3}, {kNaN, kInfinity, kInfinity, 1, 2, -kInfinity, 1, 2, 3}};
  expect_equal_to_reference({.name = "not finite",
                             .in = {x},
                             .out = {room({3}), room({})},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::SumRows{in[0], out[0]});
                                   b.run(op::Sum{in[0], out[1]});
                                 }},
                            GetParam());
}

TEST_P(CudaReductions, OfNothingAreZero) {
  expect_equal_to_reference({.name = "nothing",
                             .in = {room({0, 5}), room({4, 0})},
                             .out = {room({}), room({5}), room({0}), room({0}, DType::i64)},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Sum{in[0], out[0]});
                                   b.run(op::SumRows{in[0], out[1]});
                                   b.run(op::SumRows{in[1], out[2]});
                                   b.run(op::Argmax{in[0], out[3]});
                                 }},
                            GetParam());
}

TEST_P(CudaReductions, FindTheLargestOfAnyNumberOfClasses) {
  for (int64_t classes : {1, 2, 5, 31, 32, 33, 37, 257})
    for (int64_t rows : {1, 7, 9}) {
      Values x = uniform({rows, classes}, 1);
      for (double& value : x.values) value = std::round(value * 4);  // many equals
      const Case c{
          .name = "argmax " + to_string(x.shape), .in = {x}, .out = {room({rows}, DType::i64)}, .run = [](Backend& b, auto in, auto out) {
            b.run(op::Argmax{in[0], out[0]});
          }};
      expect_equal_to_reference(c, GetParam());
      if (classes == 37) expect_same_in_any_order(c, GetParam());
    }
}

TEST_P(CudaReductions, TakeTheFirstNaNForTheLargest) {
  Values x = uniform({6, 70}, 1);
  const auto at = [&](size_t row, size_t column) -> double& { return x.values[row * 70 + column]; };
  at(0, 69) = kNaN;
  at(1, 40) = kNaN;
  at(1, 8) = kNaN;  // the same lane
  at(2, 41) = kNaN;
  at(2, 10) = kNaN;  // another lane
  at(3, 5) = kNaN;
  at(3, 0) = kInfinity;
  for (size_t i = 0; i < 70; ++i) at(4, i) = -kInfinity;
  for (size_t i = 0; i < 70; ++i) at(5, i) = kNaN;
  expect_equal_to_reference({.name = "argmax among NaN",
                             .in = {x},
                             .out = {room({6}, DType::i64)},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Argmax{in[0], out[0]});
                                 }},
                            GetParam());
}

}  // namespace
}  // namespace mirilla::test
