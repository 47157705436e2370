// SPDX-License-Identifier: MIT
#include <cmath>

#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaLoss : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaLoss, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

const double kNaN = std::nan(""), kInfinity = std::numeric_limits<double>::infinity();

Case softmax(const Values& x) {
  return {.name = "softmax " + to_string(x.shape),
          .in = {x},
          .out = {room(x.shape)},
          .run =
              [](Backend& b, auto in, auto out) {
                b.run(op::Softmax{in[0], out[0]});
              },
          .magnitudes = magnitudes_of_results};  // a sum of positive terms, over a sum of positive terms
}

Case cross_entropy(const Values& logits, const Values& targets) {
  // A loss is the logarithm of a sum, between 1 and C, plus a difference of logits: its terms are those two. A gradient's are the
  // probability and 1, over N.
  const auto magnitudes = [logits](const std::vector<std::vector<double>>& want) {
    const double items = static_cast<double>(logits.shape[0]), classes = static_cast<double>(logits.shape[1]);
    std::vector<std::vector<double>> result = magnitudes_of_results(want);
    for (double& x : result[0]) x += std::log(classes);
    for (double& x : result[1]) x += 1 / items;
    return result;
  };
  return {.name = "cross_entropy " + to_string(logits.shape),
          .in = {logits, targets},
          .out = {room({logits.shape[0]}, DType::f32), room(logits.shape, DType::f32)},
          .run =
              [](Backend& b, auto in, auto out) {
                b.run(op::CrossEntropy{in[0], in[1], out[0], out[1]});
              },
          .magnitudes = magnitudes};
}

TEST_P(CudaLoss, TakesTheSoftmaxOfRowsOfAnyLength) {
  for (int64_t classes : {1, 2, 31, 32, 33, 37, 257})
    for (int64_t rows : {1, 3, 9}) expect_equal_to_reference(softmax(uniform({rows, classes}, 1, -10, 10)), GetParam());
  expect_same_in_any_order(softmax(uniform({9, 37}, 1, -10, 10)), GetParam());
}

TEST_P(CudaLoss, TakesTheSoftmaxOfWhatIsLargeOrNotFinite) {
  expect_equal_to_reference(softmax({{3, 3}, {30000, 30000, -30000, -kInfinity, 0, -kInfinity, 1, 2, kInfinity}}), GetParam());
  // The reference's own maximum is at a loss among NaN; the promise is that none is hidden.
  const auto got = run_on(device_under_test(), softmax({{2, 2}, {kNaN, 1, 1, kNaN}}), GetParam());
  for (const double y : got[0]) EXPECT_TRUE(std::isnan(y));
}

TEST_P(CudaLoss, GivesLossesAndGradientsOfAnyNumberOfClasses) {
  for (int64_t classes : {1, 2, 31, 32, 33, 37, 257})
    for (int64_t rows : {1, 3, 9})
      expect_equal_to_reference(cross_entropy(uniform({rows, classes}, 1, -10, 10), integers({rows}, 2, classes)), GetParam());
  expect_same_in_any_order(cross_entropy(uniform({9, 37}, 1, -10, 10), integers({9}, 2, 37)), GetParam());
}

TEST_P(CudaLoss, GivesLossesAloneWhereNobodyWantsTheGradient) {
  Case c = cross_entropy(uniform({9, 37}, 1, -10, 10), integers({9}, 2, 37));
  const auto both = run_on(device_under_test(), c, GetParam());
  c.out.pop_back();
  c.run = [](Backend& b, auto in, auto out) { b.run(op::CrossEntropy{in[0], in[1], out[0], View()}); };
  EXPECT_EQ(run_on(device_under_test(), c, GetParam())[0], both[0]);
}

TEST_P(CudaLoss, TakesLargeLogits) {
  expect_equal_to_reference(cross_entropy({{3, 2}, {30000, 30000, 0, 30000, -kInfinity, 5}}, {{3}, {1, 0, 1}, DType::i64}), GetParam());
}

// The executor guards the memory around the logits, so a read of logits[target] would be caught under the address sanitizer too.
TEST_P(CudaLoss, MarksATargetThatIsNoClassAndLeavesTheOthersAlone) {
  const Values logits = uniform({4, 5}, 1);
  const Values known{{4}, {1, 2, 3, 4}, DType::i64}, wrong{{4}, {1, 5, -1, 4}, DType::i64};
  Values far = wrong;
  far.values[1] = 1e15;
  far.values[2] = -1e15;
  const auto want = run_on(device_under_test(), cross_entropy(logits, known), GetParam());
  for (const Values& targets : {wrong, far}) {
    const auto got = run_on(device_under_test(), cross_entropy(logits, targets), GetParam());
    for (size_t n = 0; n < 4; ++n) {
      const bool marked = n == 1 || n == 2;
      EXPECT_TRUE(marked ? std::isnan(got[0][n]) : got[0][n] == want[0][n]) << n;
      for (size_t c = n * 5; c < n * 5 + 5; ++c) EXPECT_TRUE(marked ? std::isnan(got[1][c]) : got[1][c] == want[1][c]) << c;
    }
  }
}

TEST_P(CudaLoss, OfNothingIsNothing) {
  expect_equal_to_reference(softmax(room({0, 4})), GetParam());
  expect_equal_to_reference(cross_entropy(room({0, 4}), room({0}, DType::i64)), GetParam());
}

}  // namespace
}  // namespace mirilla::test
