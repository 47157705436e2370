// SPDX-License-Identifier: MIT
#include "kernels/cuda/platform/allowed_bytes.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <utility>
#include <vector>

namespace mirilla::cuda {
namespace {

TEST(AllowedBytes, AreRequestedOnEachGpuOnceForTheMostThatItNeeded) {
  AllowedBytes allowed;
  std::vector<std::pair<int, size_t>> requests;
  for (const auto& [gpu, bytes] : std::vector<std::pair<int, size_t>>{{0, 0}, {0, 65536}, {0, 65536}, {1, 65536}, {1, 1024}, {0, 98304}})
    allowed.want(gpu, bytes, [&, gpu = gpu, bytes = bytes] { requests.emplace_back(gpu, bytes); });
  EXPECT_EQ(requests, (std::vector<std::pair<int, size_t>>{{0, 65536}, {1, 65536}, {0, 98304}}));
}

TEST(AllowedBytes, AreRequestedAgainAfterARefusal) {
  AllowedBytes allowed;
  EXPECT_THROW(allowed.want(0, 65536, [] { throw std::runtime_error("refused"); }), std::runtime_error);
  int requests = 0;
  for (int i = 0; i < 2; ++i) allowed.want(0, 65536, [&] { ++requests; });
  EXPECT_EQ(requests, 1);
}

TEST(AllowedBytes, OfAGpuPastThoseThatAreRememberedAreAlwaysRequested) {
  AllowedBytes allowed;
  int requests = 0;
  for (int i = 0; i < 2; ++i) allowed.want(100, 65536, [&] { ++requests; });
  EXPECT_EQ(requests, 2);
}

}  // namespace
}  // namespace mirilla::cuda
