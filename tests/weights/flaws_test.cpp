// SPDX-License-Identifier: MIT
#include "weights/flaws.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/core/half.h"

namespace mirilla::weights {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

template <class T>
Array array_of(std::vector<T> values) {
  return Array::from({static_cast<int64_t>(values.size())}, std::span<const T>(values));
}

TEST(Flaws, AreCountedByKind) {
  const auto flaw = flaw_of("conv1.weight", array_of<float>({1, kNaN, -kInfinity, 2, kNaN, kInfinity, kInfinity}));
  ASSERT_TRUE(flaw);
  EXPECT_EQ(flaw->name, "conv1.weight");
  EXPECT_EQ(flaw->values, 7);
  EXPECT_EQ(flaw->nan, 2);
  EXPECT_EQ(flaw->infinite, 3);
  EXPECT_EQ(flaw->too_large + flaw->negative, 0);
}

TEST(Flaws, AreFoundAtEachPlaceOfATensor) {
  for (size_t at = 0; at < 67; ++at)
    for (const float bad : {kNaN, -kNaN, kInfinity, -kInfinity}) {
      std::vector<float> values(67, 0.5f);
      values[at] = bad;
      EXPECT_TRUE(flaw_of("weight", array_of(values))) << at;
    }
}

TEST(Flaws, AreNoneInWhatANetworkMayHold) {
  const float tiny = std::numeric_limits<float>::denorm_min(), largest = std::numeric_limits<float>::max();
  EXPECT_FALSE(flaw_of("bn1.weight", array_of<float>({0.0f, -0.0f, tiny, -tiny, largest, -largest})));
  EXPECT_FALSE(flaw_of("bn1.running_var", array_of<float>({0.0f, -0.0f, tiny, largest})));
  EXPECT_FALSE(flaw_of("bn1.num_batches_tracked", array_of<int64_t>({-5})));
  EXPECT_FALSE(flaw_of("weight", array_of<float>({})));
}

TEST(Flaws, AVarianceIsNeverNegativeAndAnythingElseMayBe) {
  for (const char* name : {"bn1.running_var", "0.1.running_var", "module.layer1.0.bn2.running_var"}) {
    const auto flaw = flaw_of(name, array_of<float>({1, -1e-7f, 0.5f, -3}));  // with PyTorch's eps the first would still be above 0
    ASSERT_TRUE(flaw) << name;
    EXPECT_EQ(flaw->negative, 2) << name;
  }
  EXPECT_FALSE(flaw_of("bn1.running_mean", array_of<float>({-1})));
  EXPECT_EQ(flaw_of("running_var", array_of<double>({-1, kNaN}))->negative, 1);
}

TEST(Flaws, AreLookedForAsTheModelWillHoldThem) {
  const Array large = array_of<double>({1e300, -1e39, 3e38, 1e-300});
  const auto flaw = flaw_of("weight", large);
  ASSERT_TRUE(flaw);
  EXPECT_EQ(flaw->too_large, 2);
  EXPECT_EQ(flaw->infinite, 0);
  EXPECT_FALSE(flaw_of("weight", large, DType::f64)) << "a model in double holds them";
  EXPECT_TRUE(flaw_of("weight", array_of<double>({kNaN}), DType::f64));
}

TEST(Flaws, AreFoundInEveryDtype) {
  EXPECT_EQ(flaw_of("weight", array_of<Half>({Half(1), Half(kNaN), Half(65504)}))->nan, 1);
  EXPECT_EQ(flaw_of("weight", array_of<Half>({Half(1e5f)}))->infinite, 1) << "65504 is the largest";
  EXPECT_EQ(flaw_of("weight", array_of<BFloat16>({BFloat16(-kInfinity), BFloat16(kNaN)}))->infinite, 1);
  EXPECT_EQ(flaw_of("running_var", array_of<BFloat16>({BFloat16(-1)}))->negative, 1);
  EXPECT_FALSE(flaw_of("weight", array_of<Half>({Half(65504)})));
  EXPECT_FALSE(flaw_of("weight", array_of<uint8_t>({255})));
}

TEST(Flaws, AreReportedUnderTheFilesNamesTheFirstOfThemAndHowMany) {
  StateDict state;
  Report report;
  for (int i = 0; i < 5; ++i) {
    state.add(fmt::format("module.t{}", i), array_of<float>(i == 0 ? std::vector<float>{1} : std::vector<float>{kNaN, kInfinity, 1}));
    report.matched.push_back({fmt::format("t{}", i), fmt::format("module.t{}", i)});
  }
  const std::vector<Flaw> flaws = flaws_of(report, state);
  ASSERT_EQ(flaws.size(), 4u);
  EXPECT_EQ(describe(flaws),
            "module.t1 (1 of 3 values is NaN, 1 is infinite), module.t2 (1 of 3 values is NaN, 1 is infinite), "
            "module.t3 (1 of 3 values is NaN, 1 is infinite), and 1 more tensor");
  const FlawedWeights error("weights.pth", flaws);
  EXPECT_TRUE(error.message().starts_with("'weights.pth' contains weights that no network can compute with: module.t1 (1 of 3"));
  EXPECT_EQ(error.message().find("--"), std::string::npos) << "options are the program's";
  report.matched.erase(report.matched.begin() + 1, report.matched.end());
  EXPECT_TRUE(flaws_of(report, state).empty()) << "what the model does not take does not count";
}

}  // namespace
}  // namespace mirilla::weights
