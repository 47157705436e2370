// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/core/backend.h"
#include "kernels/devices.h"
#include "tests/kernels/buffer.h"

namespace mirilla {
namespace {

template <class To, class From>
std::vector<To> cast(Device& device, const std::vector<From>& values) {
  const Shape shape{static_cast<int64_t>(values.size())};
  Buffer<From> x(device, shape, values);
  Buffer<To> y(device, shape);
  device.backend().run(op::Cast{x, y});
  return y.values();
}

class EveryCast : public ::testing::TestWithParam<std::string> {
 protected:
  Device& device_ = open_device(GetParam());
};

template <class H>
void expect_all_halves_through_float(Device& device) {
  std::vector<H> halves;
  for (uint32_t bits = 0; bits < 65536; ++bits) halves.push_back(H::from_bits(static_cast<uint16_t>(bits)));
  const std::vector<float> floats = cast<float>(device, halves);
  const std::vector<H> back = cast<H>(device, floats);
  for (size_t i = 0; i < halves.size(); ++i) {
    const float expected = static_cast<float>(halves[i]);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(floats[i])) << i;
      ASSERT_TRUE(std::isnan(static_cast<float>(back[i]))) << i;
    } else {
      ASSERT_EQ(floats[i], expected) << i;
      ASSERT_EQ(back[i].bits, halves[i].bits) << i;
    }
  }
}

TEST_P(EveryCast, TakesAll65536HalvesToFloatAndBack) {
  expect_all_halves_through_float<Half>(device_);
  expect_all_halves_through_float<BFloat16>(device_);
}

TEST_P(EveryCast, RoundsToNearestEven) {
  const std::vector<float> values{2049, 2051, 65519.996f, 65520, 0x1p-25f, 0x1.8p-24f, -2049};
  const std::vector<Half> halves = cast<Half>(device_, values);
  const std::vector<float> expected{2048, 2052, 65504, std::numeric_limits<float>::infinity(), 0, 0x1p-23f, -2048};
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(static_cast<float>(halves[i]), expected[i]) << values[i];
  const std::vector<BFloat16> brains = cast<BFloat16>(device_, std::vector<float>{257, 259, 258});
  EXPECT_EQ(static_cast<float>(brains[0]), 256);
  EXPECT_EQ(static_cast<float>(brains[1]), 260);
  EXPECT_EQ(static_cast<float>(brains[2]), 258);
}

TEST_P(EveryCast, TakesBytesAndLabelsToFloat) {
  EXPECT_EQ(cast<float>(device_, std::vector<uint8_t>{0, 1, 255}), (std::vector<float>{0, 1, 255}));
  EXPECT_EQ(cast<float>(device_, std::vector<int64_t>{-3, 0, 1 << 20}), (std::vector<float>{-3, 0, 1 << 20}));
  EXPECT_EQ(cast<int64_t>(device_, std::vector<uint8_t>{0, 200}), (std::vector<int64_t>{0, 200}));
}

TEST_P(EveryCast, CutsFloatsTowardsZero) {
  EXPECT_EQ(cast<int64_t>(device_, std::vector<float>{-2.9f, 2.9f, 0.5f}), (std::vector<int64_t>{-2, 2, 0}));
  EXPECT_EQ(cast<uint8_t>(device_, std::vector<float>{0.9f, 254.9f}), (std::vector<uint8_t>{0, 254}));
}

INSTANTIATE_TEST_SUITE_P(Here, EveryCast, ::testing::ValuesIn(device_names()), [](const auto& which) { return which.param; });

TEST(ReferenceCast, RoundsDoublesOnceAndNotTwice) {
  // Just above the midpoint of 2048 and 2050, by less than a float can represent: through a float it would become a tie and round to even.
  const double above = 2049 + 0x1p-40, below = 2051 - 0x1p-40;
  const std::vector<Half> halves = cast<Half>(open_device("reference"), std::vector<double>{above, below, -above, 2049.0});
  EXPECT_EQ(static_cast<float>(halves[0]), 2050);
  EXPECT_EQ(static_cast<float>(halves[1]), 2050);
  EXPECT_EQ(static_cast<float>(halves[2]), -2050);
  EXPECT_EQ(static_cast<float>(halves[3]), 2048);
  const std::vector<BFloat16> brains = cast<BFloat16>(open_device("reference"), std::vector<double>{257 + 0x1p-40, 1e300, -0.0, 1e-300});
  EXPECT_EQ(static_cast<float>(brains[0]), 258);
  EXPECT_TRUE(std::isinf(static_cast<float>(brains[1])));
  EXPECT_EQ(brains[2].bits, 0x8000);
  EXPECT_EQ(brains[3].bits, 0);
}

TEST(ReferenceCast, StopsAtTheEndsOfTheIntegers) {
  constexpr double kHuge = 1e30;
  Device& device = open_device("reference");
  EXPECT_EQ(cast<int64_t>(device, std::vector<double>{kHuge, -kHuge, std::nan("")}),
            (std::vector<int64_t>{std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min(), 0}));
  EXPECT_EQ(cast<uint8_t>(device, std::vector<double>{300, -1, 255.9}), (std::vector<uint8_t>{255, 0, 255}));
}

}  // namespace
}  // namespace mirilla
