// SPDX-License-Identifier: MIT
#include "kernels/cuda/parts/divider.h"

#include <gtest/gtest.h>

namespace mirilla::simt {
namespace {

// Around each multiple where a quotient steps, up to the largest supported number.
TEST(Divider, DividesAsTheProcessorDoes) {
  constexpr unsigned kEnd = 1u << 31;
  for (const int by : {1, 2, 3, 5, 7, 8, 9, 31, 32, 33, 49, 64, 100, 147, 512, 4608, 65535, 65537, 1000003, (1 << 30) - 1, 1 << 30}) {
    const Divider divider(by);
    const auto d = static_cast<unsigned>(by);
    for (const unsigned multiple : {0u, d, 2 * d, 7 * d, kEnd / 2 / d * d, (kEnd - 1) / d * d})
      for (const unsigned n : {multiple - 1, multiple, multiple + 1, kEnd - 1}) {
        if (n >= kEnd) continue;
        const auto [quotient, remainder] = divider.divide(n);
        EXPECT_EQ(quotient, n / d) << n << " / " << d;
        EXPECT_EQ(remainder, n % d) << n << " / " << d;
      }
  }
}

TEST(Divider, OfNothingIsByOne) { EXPECT_EQ(Divider(0).divide(41).quotient, 41u); }

}  // namespace
}  // namespace mirilla::simt
