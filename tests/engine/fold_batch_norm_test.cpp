// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "engine/ops/batch_norm.h"
#include "kernels/devices.h"
#include "tests/engine/op_case.h"

namespace mirilla {
namespace {

using Bits = std::vector<uint32_t>;

Bits bits_of(const Tensor& x) {
  Bits bits;
  for (const float value : x.to_vector<float>()) bits.push_back(std::isnan(value) ? 0x7FC00000u : std::bit_cast<uint32_t>(value));
  return bits;
}

// A convolution (K,R,S,C) and the norm behind it, with `value` in the tensor `into`: w, its bias, weight, bias, mean, variance.
struct Block {
  Block(const Shape& shape, Device& device, int into = -1, float value = 0) {
    const Shape channels{shape[0]};
    for (int i = 0; i < 6; ++i) {
      std::vector<double> drawn = draw((i == 0 ? shape : channels).numel(), i == 5 ? 0.5 : -2, 2, static_cast<uint32_t>(i));
      std::vector<float> values(drawn.begin(), drawn.end());
      if (i == into) values[values.size() / 2] = value;
      tensors.push_back(from_host(values, i == 0 ? shape : channels, device));
    }
  }
  FoldedBatchNorm folded(bool with_bias = true) {
    return fold_batch_norm(tensors[0], with_bias ? tensors[1] : Tensor(), {tensors[2], tensors[3], tensors[4], tensors[5]});
  }
  std::vector<Tensor> tensors;
};

class FoldedNorm : public testing::TestWithParam<std::string> {
 protected:
  Device& device_ = open_device(GetParam());
};
INSTANTIATE_TEST_SUITE_P(Here, FoldedNorm, testing::ValuesIn(device_names()), [](const auto& which) { return which.param; });

TEST_P(FoldedNorm, HasTheSameBitsOnEachDevice) {
  for (const Shape& shape : {Shape{1, 1, 1, 1}, Shape{33, 3, 3, 7}, Shape{64, 1, 1, 300}, Shape{5, 7, 7, 3}, Shape{0, 3, 3, 2}})
    for (const bool with_bias : {true, false}) {
      const FoldedBatchNorm got = Block(shape, device_).folded(with_bias), want = Block(shape, open_device("cpu")).folded(with_bias);
      EXPECT_EQ(bits_of(got.w), bits_of(want.w)) << to_string(shape);
      EXPECT_EQ(bits_of(got.bias), bits_of(want.bias)) << to_string(shape);
      EXPECT_EQ(&got.w.device(), &device_);
    }
}

// A NaN, an infinity, a zero of either sign, a subnormal, the largest; of the variance also a negative one and minus eps.
TEST_P(FoldedNorm, PassesSpecialValuesAsTheHostDoes) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kLargest = std::numeric_limits<float>::max();
  for (const float value : {std::nanf(""), kInfinity, -kInfinity, -0.0f, 0.0f, 0x1p-149f, kLargest, -kLargest, -0.25f, -1e-5f})
    for (int into = 0; into < 6; ++into) {
      const FoldedBatchNorm got = Block({6, 3, 3, 5}, device_, into, value).folded(),
                            want = Block({6, 3, 3, 5}, open_device("cpu"), into, value).folded();
      EXPECT_EQ(bits_of(got.w), bits_of(want.w)) << value << " in tensor " << into;
      EXPECT_EQ(bits_of(got.bias), bits_of(want.bias)) << value << " in tensor " << into;
    }
}

TEST_P(FoldedNorm, RefusesATensorOfAnotherExtent) {
  for (const int which : {1, 2, 3, 4, 5}) {
    Block block({6, 3, 3, 5}, device_);
    block.tensors[static_cast<size_t>(which)] = zeros({5}, DType::f32, device_);
    EXPECT_THROW(block.folded(), ShapeError) << which;
  }
}

}  // namespace
}  // namespace mirilla
