// SPDX-License-Identifier: MIT
// Pictures of three channels with a fourth of zeros: what may be done with them, and what may not.
#include <gtest/gtest.h>

#include "engine/amp/autocast.h"
#include "engine/ops/add.h"
#include "engine/ops/concat.h"
#include "engine/ops/conv2d.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "tests/engine/op_case.h"

namespace mirilla::padded_pictures {
namespace {

constexpr Conv2dSpec kSpec{.stride = 2, .padding = 3};

class Padded : public ::testing::TestWithParam<std::string> {
 protected:
  Tensor numbers(const Shape& shape, uint32_t item, DType dtype = DType::f16) {
    return tensor_of(draw(shape.numel(), -2, 2, item), shape, DType::f32, device_).to(dtype);
  }
  Tensor padded(const Tensor& pictures) {
    Tensor all = empty({pictures.size(0), pictures.size(1), pictures.size(2), 4}, pictures.dtype(), device_);
    device_.backend().run(
        op::Concat{pictures, zeros({pictures.size(0), pictures.size(1), pictures.size(2), 1}, pictures.dtype(), device_), all});
    all.set_used_channels(3);
    return all;
  }
  bool takes_them() { return device_.backend().has<op::PaddedPictures>(); }

  Device& device_ = open_device(GetParam());
  const Tensor three_ = numbers({2, 13, 12, 3}, 1);
};

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const ShapeError& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST_P(Padded, GiveTheConvolutionOfThreeChannelsItsBits) {
  if (!takes_them()) {
    const amp::Autocast scope(DType::f16);
    EXPECT_THROW(conv2d(padded(three_), numbers({8, 7, 7, 3}, 2, DType::f32), {}, kSpec), DeviceError);
    return;
  }
  const Tensor four = padded(three_), bias = numbers({8}, 3, DType::f32), seed = numbers({2, 7, 6, 8}, 4);
  std::vector<std::vector<double>> found[2];
  for (const bool is_padded : {false, true}) {
    const amp::Autocast scope(DType::f16);
    Tensor w = numbers({8, 7, 7, 3}, 2, DType::f32).set_requires_grad();
    const Tensor& x = is_padded ? four : three_;
    const Tensor y = conv2d(x, w, bias, kSpec), fused = conv2d_bias_add_relu(x, w, bias, {}, true, kSpec);
    for (const Tensor& result : {y, fused}) {
      tape::backward(result, {.seed = seed});
      found[is_padded].push_back(result.to_doubles());
      found[is_padded].push_back(w.grad().to_doubles());
      EXPECT_EQ(w.grad().shape(), w.shape());
      w.clear_grad();
    }
    EXPECT_EQ(static_cast<bool>(w.half_copies().f16.padded), is_padded);
  }
  EXPECT_EQ(found[0], found[1]);
}

TEST_P(Padded, AreNotFourChannelsThatMeanSomething) {
  const amp::Autocast scope(DType::f16);
  const Tensor w3 = numbers({8, 7, 7, 3}, 2, DType::f32), w4 = numbers({8, 7, 7, 4}, 2, DType::f32);
  const Tensor rgba = numbers({2, 13, 12, 4}, 1), two = [&] {
    Tensor x = numbers({2, 13, 12, 4}, 1);
    x.set_used_channels(2);
    return x;
  }();
  EXPECT_NE(message_of([&] { conv2d(rgba, w3, {}, kSpec); }).find("has 4 channels and"), std::string::npos);
  EXPECT_NE(message_of([&] { conv2d(padded(three_), w4, {}, kSpec); }).find("has 3 channels beside the padding"), std::string::npos);
  EXPECT_NE(message_of([&] {
              conv2d(two, numbers({8, 7, 7, 2}, 2, DType::f32), {}, kSpec);
            }).find("only pictures of 3"),
            std::string::npos);
  EXPECT_NE(message_of([&] { conv2d(padded(three_).set_requires_grad(), w3, {}, kSpec); }).find("no gradient"), std::string::npos);
}

TEST_P(Padded, AreSoUntilSomebodyWritesThere) {
  Tensor four = padded(three_);
  EXPECT_EQ(three_.used_channels(), 3);
  EXPECT_EQ(four.used_channels(), 3);
  EXPECT_EQ(four.detach().used_channels(), 3);
  EXPECT_EQ(four.slice(1, 2).used_channels(), 3);
  EXPECT_EQ(four.clone().used_channels(), 3);
  EXPECT_EQ(four.to(DType::f32).used_channels(), 3);
  EXPECT_EQ(add(four, four).used_channels(), 4) << "nobody knows of a result";
  EXPECT_EQ(four.view({2, 13, 3, 16}).used_channels(), 16);
  Tensor other = numbers({2, 13, 12, 4}, 5);
  other.copy_from(four);
  EXPECT_EQ(other.used_channels(), 3);
  const Tensor seen = four.detach();
  four.slice(0, 1).fill(1);
  EXPECT_EQ(four.used_channels(), 4);
  EXPECT_EQ(seen.used_channels(), 4) << "the same memory";
  other.copy_from(numbers({2, 13, 12, 4}, 6));
  EXPECT_EQ(other.used_channels(), 4);
  EXPECT_THROW(other.set_used_channels(5), ShapeError);
}

TEST_P(Padded, HalfCopiesAreWrittenWheneverTheCopyIs) {
  Tensor w = numbers({8, 3, 3, 3}, 1, DType::f32);
  EXPECT_FALSE(amp::padded_half_copy(w, DType::f16)) << "there is no copy yet";
  const auto want = [&] { return padded(w.to(DType::f16)).to_doubles(); };
  const Tensor copy = amp::half_copy(w, DType::f16), four = amp::padded_half_copy(w, DType::f16);
  EXPECT_EQ(four.to_doubles(), want());
  EXPECT_TRUE(amp::padded_half_copy(w, DType::f16).is_same_view(four));
  w.fill(0.25);
  EXPECT_FALSE(amp::padded_half_copy(w, DType::f16)) << "nor a current one";
  amp::half_copy(w, DType::f16);
  EXPECT_EQ(amp::padded_half_copy(w, DType::f16).to_doubles(), want());
  EXPECT_TRUE(amp::padded_half_copy(w, DType::f16).is_same_view(four)) << "a recorded step reads it there";
  w.fill(0.5);  // as an optimizer writes both
  w.half_copies().f16.tensor.fill(0.5);
  amp::mark_half_copy_current(w, DType::f16);
  EXPECT_EQ(amp::padded_half_copy(w, DType::f16).to_doubles(), want());
  EXPECT_FALSE(amp::padded_half_copy(numbers({8, 3, 3, 4}, 1, DType::f32), DType::f16));
  EXPECT_FALSE(amp::padded_half_copy(w, DType::f32));
}

INSTANTIATE_TEST_SUITE_P(Here, Padded, ::testing::ValuesIn(device_names()), [](const auto& i) { return i.param; });

}  // namespace
}  // namespace mirilla::padded_pictures
