// SPDX-License-Identifier: MIT
#include "nn/train/schedule.h"

#include <gtest/gtest.h>

#include "kernels/core/error.h"

namespace mirilla::nn {
namespace {

constexpr double kTight = 1e-12;  // relative: only the rounding of double

void expect_relative(double came, double wanted) { EXPECT_NEAR(came, wanted, std::abs(wanted) * kTight); }

TEST(Cosine, GoesFromTheFirstValueToTheSecondThroughTheirMean) {
  expect_relative(cosine_between(2, 5, 0), 2);
  expect_relative(cosine_between(2, 5, 0.5), 3.5);
  expect_relative(cosine_between(2, 5, 1), 5);
  expect_relative(cosine_between(0, 1, 1.0 / 3), 0.25);
}

TEST(FineTune, HasTheTwoPhasesOfTheCourse) {
  const std::vector<Phase> phases = fine_tune_phases(3, 10, 1e-3);
  ASSERT_EQ(phases.size(), 2u);
  EXPECT_TRUE(phases[0].frozen);
  EXPECT_EQ(phases[0].epochs, 1);
  EXPECT_EQ(phases[0].cycle.pct_start, 0.99);
  EXPECT_EQ(phases[0].cycle.div, 25);
  EXPECT_FALSE(phases[1].frozen);
  EXPECT_EQ(phases[1].epochs, 10);
  EXPECT_EQ(phases[1].cycle.pct_start, 0.3);
  EXPECT_EQ(phases[1].cycle.div, 5);
  const double frozen[] = {1e-4, 1e-4, 1e-3}, unfrozen[] = {5e-6, 5e-5, 5e-4};
  for (size_t g = 0; g < 3; ++g) {
    expect_relative(phases[0].cycle.lr_max[g], frozen[g]);
    expect_relative(phases[1].cycle.lr_max[g], unfrozen[g]);
  }
}

TEST(FineTune, WithoutFrozenEpochsHasOnePhase) {
  const std::vector<Phase> phases = fine_tune_phases(3, 4, 1e-3, 0);
  ASSERT_EQ(phases.size(), 1u);
  EXPECT_FALSE(phases[0].frozen);
}

TEST(OneCycle, GivesTheHeadTheRatesOfTheCourse) {
  const OneCycle cycle = fine_tune_phases(3, 10, 1e-3)[1].cycle;
  expect_relative(cycle.at(0).lr[2], 1e-4);
  expect_relative(cycle.at(0.15).lr[2], 3e-4);
  expect_relative(cycle.at(0.3).lr[2], 5e-4);
  expect_relative(cycle.at(0.65).lr[2], 2.500025e-4);
  EXPECT_NEAR(cycle.at(1).lr[2], 5e-9, 1e-18);  // the rounding error of 5e-4 minus itself
}

TEST(OneCycle, MovesMomentumAgainstTheRates) {
  const OneCycle cycle = fine_tune_phases(3, 10, 1e-3)[1].cycle;
  expect_relative(cycle.at(0).momentum, 0.95);
  expect_relative(cycle.at(0.15).momentum, 0.90);
  expect_relative(cycle.at(0.3).momentum, 0.85);
  expect_relative(cycle.at(0.65).momentum, 0.90);
  expect_relative(cycle.at(1).momentum, 0.95);
}

TEST(OneCycle, OfTheFrozenPhaseFallsOnlyFrom101IterationsOn) {
  const OneCycle cycle = fine_tune_phases(3, 10, 1e-3)[0].cycle;
  expect_relative(cycle.at(0).lr[2], 1e-3 / 25);
  expect_relative(cycle.at(position_of(0, 99, 1, 100)).lr[2], 1e-3);
  EXPECT_LT(cycle.at(position_of(0, 100, 1, 101)).lr[2], 0.9998e-3);
}

TEST(OneCycle, ThatOnlyRisesEndsAtItsPeak) {
  const OneCycle cycle{.lr_max = {1e-2}, .pct_start = 1};
  expect_relative(cycle.at(1).lr[0], 1e-2);
}

TEST(Position, CountsEpochsAndIterations) {
  EXPECT_EQ(position_of(0, 0, 10, 18), 0);
  expect_relative(position_of(3, 9, 10, 18), 0.35);
  expect_relative(position_of(9, 17, 10, 18), 179.0 / 180);
}

TEST(FromScratch, TrainsAllGroupsAtOneRate) {
  const std::vector<Phase> phases = from_scratch_phases(3, 5, 2e-3);
  ASSERT_EQ(phases.size(), 1u);
  EXPECT_FALSE(phases[0].frozen);
  EXPECT_EQ(phases[0].cycle.lr_max, std::vector<double>(3, 2e-3));
  EXPECT_EQ(phases[0].cycle.pct_start, 0.25);
  EXPECT_EQ(phases[0].cycle.div, 25);
}

TEST(Phases, RefuseNumbersThatMakeNoSense) {
  EXPECT_THROW(fine_tune_phases(3, 0, 1e-3), UsageError);
  EXPECT_THROW(fine_tune_phases(3, 1, 0), UsageError);
  EXPECT_THROW(fine_tune_phases(3, 1, std::numeric_limits<double>::infinity()), UsageError);
  EXPECT_THROW(fine_tune_phases(3, 1, 1e-3, -1), UsageError);
  EXPECT_THROW(from_scratch_phases(3, 1, -1), UsageError);
}

}  // namespace
}  // namespace mirilla::nn
