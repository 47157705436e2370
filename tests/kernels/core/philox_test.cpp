// SPDX-License-Identifier: MIT
#include "kernels/core/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace mirilla {
namespace {

using Block = std::array<uint32_t, 4>;

// The three published vectors: kat_vectors of Random123 1.14, "philox4x32 10".
TEST(Philox, GivesThePublishedAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, IsKnownAtCompileTime) {
  static_assert(philox4x32({0, 0, 0, 0}, {0, 0})[0] == 0x6627e8d5);
  SUCCEED();
}

TEST(RandomKey, LaysItsFieldsOutAsTheHeaderSays) {
  const RandomKey key{.seed = 0x299f31d0a4093822, .purpose = Purpose::kDropout, .step = 7, .item = 9};
  const Block expected = philox4x32({3, 9, 7, 5}, {0xa4093822, 0x299f31d0});
  EXPECT_EQ(key.block(3), expected);
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(key.bits(12 + i), expected[i]);
}

TEST(RandomKey, SharesNoStreamBetweenSeedsPurposesStepsAndItems) {
  std::set<uint32_t> first_words;
  int keys = 0;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32})
    for (const Purpose purpose : {Purpose::kInit, Purpose::kShuffle, Purpose::kDropout})
      for (uint32_t step = 0; step < 3; ++step)
        for (uint32_t item = 0; item < 3; ++item, ++keys)
          first_words.insert(RandomKey{.seed = seed, .purpose = purpose, .step = step, .item = item}.bits(0));
  EXPECT_EQ(static_cast<int>(first_words.size()), keys);
}

TEST(ToUnit, ReachesZeroAndNeverOne) {
  EXPECT_EQ(to_unit(0), 0.0f);
  EXPECT_EQ(to_unit(0xff), 0.0f);
  EXPECT_EQ(to_unit(0xffffffff), 1.0f - 0x1p-24f);
  EXPECT_LT(to_unit(0xffffffff), 1.0f);
  EXPECT_EQ(to_unit(0x80000000), 0.5f);
}

TEST(ToUnit, FillsTheIntervalEvenly) {
  const RandomKey key{.seed = 3};
  constexpr uint32_t kDraws = 160'000, kCells = 16;
  std::array<uint32_t, kCells> counts{};
  for (uint32_t i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(to_unit(key.bits(i)) * kCells)];
  // A cell's count has a standard deviation of 97; allow five of them.
  for (const uint32_t count : counts) EXPECT_NEAR(count, kDraws / kCells, 485);
}

}  // namespace
}  // namespace mirilla
