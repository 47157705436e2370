// SPDX-License-Identifier: MIT
#include "kernels/cuda/conv/channels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace mirilla::simt {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values) : count_(values.size()), address_(allocate(values.size() * sizeof(T))) {
    stream_.copy_from_host(address_, values.data(), count_ * sizeof(T));
  }
  ~OnDevice() { release(address_); }
  T* data() const { return static_cast<T*>(address_); }
  std::vector<T> values() {
    std::vector<T> all(count_);
    stream_.copy_to_host(all.data(), address_, count_ * sizeof(T));
    return all;
  }

 private:
  Stream stream_;
  size_t count_;
  void* address_;
};

TEST(Channels, AreAddedAsZerosAndTakenAway) {
  Stream stream;
  std::vector<float> three(3 * 1000), four;
  for (size_t i = 0; i < three.size(); ++i) {
    three[i] = static_cast<float>(i + 1);
    four.push_back(three[i]);
    if (i % 3 == 2) four.push_back(0);
  }
  const OnDevice<float> narrow(three);
  OnDevice<float> wide(std::vector<float>(4 * 1000, -1)), back(std::vector<float>(3 * 1000, -1));
  copy_channels(stream, narrow.data(), 3, wide.data(), 4, 1000, DType::f32);
  EXPECT_EQ(wide.values(), four);
  copy_channels(stream, wide.data(), 4, back.data(), 3, 1000, DType::f32);
  EXPECT_EQ(back.values(), three);
  copy_channels(stream, wide.data(), 4, back.data(), 3, 0, DType::f32);
  EXPECT_EQ(back.values(), three) << "no rows";
  copy_channels(stream, narrow.data(), 0, wide.data(), 4, 1000, DType::f32);
  EXPECT_EQ(wide.values(), std::vector<float>(4 * 1000));
}

TEST(Channels, OfHalvesKeepTheirBits) {
  Stream stream;
  const OnDevice<uint16_t> one({0x7E01, 0x8000, 0x0001});
  OnDevice<uint16_t> two(std::vector<uint16_t>(6, 0xFFFF));
  copy_channels(stream, one.data(), 1, two.data(), 2, 3, DType::bf16);
  EXPECT_EQ(two.values(), (std::vector<uint16_t>{0x7E01, 0, 0x8000, 0, 0x0001, 0}));
}

TEST(Channels, HalvesAreWidenedAndNarrowedToNearestEven) {
  Stream stream;
  const std::vector<float> values{0.5f, -3, 1 + 0x1p-11f, 1 + 3 * 0x1p-11f, kInfinity};
  const OnDevice<float> from(values);
  OnDevice<Half> halves(std::vector<Half>(values.size()));
  OnDevice<float> back(std::vector<float>(values.size()));
  narrow_to_halves(stream, from.data(), halves.data(), DType::f16, 5);
  widen_halves(stream, halves.data(), DType::f16, back.data(), 5);
  EXPECT_EQ(back.values(), (std::vector<float>{0.5f, -3, 1, 1 + 0x1p-9f, kInfinity}));
}

TEST(FillUniform, FillsEvenlyAndTheSameEachTime) {
  Stream stream;
  constexpr int64_t kCount = 40000;
  OnDevice<float> a(std::vector<float>(kCount, 9)), b(std::vector<float>(kCount, 9)), other(std::vector<float>(kCount, 9));
  fill_uniform(stream, a.data(), DType::f32, kCount, 1);
  fill_uniform(stream, b.data(), DType::f32, kCount, 1);
  fill_uniform(stream, other.data(), DType::f32, kCount, 2);
  EXPECT_EQ(a.values(), b.values());
  EXPECT_NE(a.values(), other.values());
  std::vector<int> tenths(20);
  double apart = 0;
  const std::vector<float> values = a.values(), others = other.values();
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_GE(values[i], -1);
    ASSERT_LT(values[i], 1);
    ++tenths[static_cast<size_t>((values[i] + 1) * 10)];
    apart += static_cast<double>(values[i]) * others[i];
  }
  for (const int count : tenths) EXPECT_NEAR(count, 2000, 250);         // six standard deviations
  EXPECT_NEAR(apart / kCount, 0, 6.0 / 3 / std::sqrt(double{kCount}));  // two seeds are unrelated
}

std::vector<float> compare(std::vector<float> ours, std::vector<float> theirs) {
  Stream stream;
  const OnDevice<float> a(ours), b(theirs);
  OnDevice<float> result({-1, -1});
  largest_and_apart(stream, a.data(), b.data(), DType::f32, static_cast<int64_t>(ours.size()), result.data());
  return result.values();
}

TEST(LargestAndApart, FindTheOneElementThatMatters) {
  std::vector<float> ours(100000, 0.25f), theirs = ours;
  ours[77777] = theirs[77777] = -8;
  theirs[99999] = 0.5f;
  EXPECT_EQ(compare(ours, theirs), (std::vector<float>{8, 0.25f}));
  EXPECT_EQ(compare(ours, ours), (std::vector<float>{8, 0}));
  EXPECT_EQ(compare({}, {}), (std::vector<float>{0, 0}));
  constexpr float kMost = std::numeric_limits<float>::max();
  EXPECT_EQ(compare({kMost, 1}, {kMost, -1}), (std::vector<float>{kMost, 2}));
}

TEST(LargestAndApart, TellWhoseNumberIsNotFinite) {
  const float nan = std::nanf("");
  EXPECT_EQ(compare({1, 2}, {1, nan}), (std::vector<float>{2, kInfinity}));
  EXPECT_EQ(compare({1, 2}, {-kInfinity, 2}), (std::vector<float>{2, kInfinity}));
  EXPECT_EQ(compare({nan, 2}, {nan, 2}), (std::vector<float>{kInfinity, 0}));
  EXPECT_EQ(compare({1, -kInfinity}, {1, 5}), (std::vector<float>{kInfinity, 0}));
}

}  // namespace
}  // namespace mirilla::simt
