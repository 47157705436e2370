// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/conv_problem.h"

#include <gtest/gtest.h>

#include <set>

namespace mirilla::cuda::vendor {
namespace {

// The addresses are never read from.
void* at(uintptr_t address) { return reinterpret_cast<void*>(address); }
View view(const Shape& shape, DType dtype, uintptr_t address) { return {at(address), shape, dtype, true}; }

constexpr Conv2dSpec kSpec{2, 1, 1};

struct Tensors {
  DType dtype = DType::f16;
  int64_t channels = 16, filters = 32;
  View x() const { return view({2, 9, 7, channels}, dtype, 0x1000); }
  View w(DType of) const { return view({filters, 3, 3, channels}, of, 0x2000); }
  View y() const { return view({2, 5, 4, filters}, dtype, 0x3000); }
  op::Conv2dBiasAddRelu forward() const {
    return {.x = x(), .w = w(dtype), .bias = {}, .residual = {}, .relu = false, .spec = kSpec, .y = y()};
  }
};

TEST(ConvCall, OfAForwardPassIsItsProblemAndItsAddresses) {
  op::Conv2dBiasAddRelu wanted = Tensors{}.forward();
  wanted.bias = view({32}, DType::f32, 0x4000);
  wanted.residual = view({2, 5, 4, 32}, DType::f16, 0x5000);
  wanted.relu = true;
  const auto call = forward_call(wanted);
  ASSERT_TRUE(call);
  EXPECT_EQ(to_string(call->problem), "forward f16 (2,9,7,16) * (32,3,3,16) stride 2 padding 1 dilation 1 + bias f32 + residual, relu");
  EXPECT_EQ(call->problem.p, 5);
  EXPECT_EQ(call->problem.q, 4);
  EXPECT_FALSE(call->first_layer);
  const ConvBuffers& b = call->buffers;
  EXPECT_EQ(b.x, at(0x1000));
  EXPECT_EQ(b.w, at(0x2000));
  EXPECT_EQ(b.y, at(0x3000));
  EXPECT_EQ(b.bias, at(0x4000));
  EXPECT_EQ(b.residual, at(0x5000));
}

TEST(ConvCall, OfTheWayBackHasGradientsInThePlacesOfTensors) {
  const Tensors t;
  const auto data = backward_data_call(t.y(), t.w(DType::f16), kSpec, t.x());
  ASSERT_TRUE(data);
  EXPECT_EQ(to_string(data->problem), "backward_data f16 (2,9,7,16) * (32,3,3,16) stride 2 padding 1 dilation 1");
  const auto weight = backward_weight_call(t.x(), t.y(), kSpec, t.w(DType::f32));
  ASSERT_TRUE(weight);
  EXPECT_EQ(to_string(weight->problem), "backward_weight f16 to f32 (2,9,7,16) * (32,3,3,16) stride 2 padding 1 dilation 1");
  for (ConvBuffers b : {data->buffers, weight->buffers}) {
    EXPECT_EQ(b.x, at(0x1000));
    EXPECT_EQ(b.w, at(0x2000));
    EXPECT_EQ(b.y, at(0x3000));
  }
  ConvBuffers b = weight->buffers;
  EXPECT_EQ(b.written(ConvKind::backward_weight), at(0x2000));
  EXPECT_EQ(b.written(ConvKind::backward_data), at(0x1000));
  EXPECT_EQ(b.written(ConvKind::forward), at(0x3000));
  EXPECT_EQ(elements_written(data->problem), 2 * 9 * 7 * 16);
  EXPECT_EQ(elements_written(weight->problem), 32 * 3 * 3 * 16);
}

TEST(ConvCall, OfPicturesIsThatOfFourChannelsAndHasNoDataGradient) {
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const Tensors t{.dtype = dtype, .channels = 3};
    const auto forward = forward_call(t.forward()), weight = backward_weight_call(t.x(), t.y(), kSpec, t.w(DType::f32));
    ASSERT_TRUE(forward && weight);
    EXPECT_TRUE(forward->first_layer && weight->first_layer);
    EXPECT_EQ(forward->problem.c, 4);
    EXPECT_EQ(weight->problem.c, 4);
    EXPECT_FALSE(backward_data_call(t.y(), t.w(dtype), kSpec, t.x()));
  }
  const Tensors four{.channels = 4}, plain{.dtype = DType::f32, .channels = 3};
  EXPECT_FALSE(forward_call(four.forward())->first_layer) << "nothing to pad";
  EXPECT_FALSE(forward_call(plain.forward())) << "f32 is our own kernel's";
}

TEST(ConvCall, TakesPicturesAndWeightsThatComePadded) {
  const Tensors t{.channels = 3}, four{.channels = 4};
  op::Conv2dBiasAddRelu wanted = t.forward();
  wanted.x = four.x();
  auto call = forward_call(wanted);
  ASSERT_TRUE(call);
  EXPECT_TRUE(call->first_layer && call->padded_x && !call->padded_w);
  EXPECT_EQ(call->problem, forward_call(t.forward())->problem) << "the plan is the same";
  wanted.padded_w = view({32, 3, 3, 4}, DType::f16, 0x6000);
  call = forward_call(wanted);
  ASSERT_TRUE(call);
  EXPECT_TRUE(call->padded_w);
  EXPECT_EQ(call->buffers.x, at(0x1000));
  EXPECT_EQ(call->buffers.w, at(0x6000));
  const auto weight = backward_weight_call(four.x(), t.y(), kSpec, t.w(DType::f32));
  ASSERT_TRUE(weight);
  EXPECT_TRUE(weight->first_layer && weight->padded_x);
  EXPECT_EQ(weight->problem.c, 4);
  wanted.x.address = at(0x1008);
  EXPECT_FALSE(forward_call(wanted)) << "nothing is copied that would be aligned";
  const Tensors plain{.dtype = DType::f32, .channels = 3}, plain_four{.dtype = DType::f32, .channels = 4};
  op::Conv2dBiasAddRelu in_f32 = plain.forward();
  in_f32.x = plain_four.x();
  EXPECT_FALSE(forward_call(in_f32)) << "f32 is our own kernel's";
  EXPECT_FALSE(backward_weight_call(plain_four.x(), plain.y(), kSpec, plain.w(DType::f32)));
}

TEST(ConvCall, IsOurOwnKernelsWhereAnAddressSuitsNoVector) {
  const auto moved = [](ConstView op::Conv2dBiasAddRelu::*which, int64_t channels) {
    op::Conv2dBiasAddRelu wanted = Tensors{.channels = channels}.forward();
    wanted.bias = view({32}, DType::f32, 0x4000);
    wanted.residual = view({2, 5, 4, 32}, DType::f16, 0x5000);
    ConstView& tensor = wanted.*which;
    tensor.address = static_cast<const char*>(tensor.address) + 8;
    return forward_call(wanted).has_value();
  };
  for (const auto which :
       {&op::Conv2dBiasAddRelu::x, &op::Conv2dBiasAddRelu::w, &op::Conv2dBiasAddRelu::bias, &op::Conv2dBiasAddRelu::residual})
    EXPECT_FALSE(moved(which, 16));
  EXPECT_TRUE(moved(&op::Conv2dBiasAddRelu::x, 3)) << "the copy is aligned";
  EXPECT_FALSE(moved(&op::Conv2dBiasAddRelu::bias, 3));
  op::Conv2dBiasAddRelu wanted = Tensors{}.forward();
  wanted.y.address = at(0x3008);
  EXPECT_FALSE(forward_call(wanted));
}

TEST(ConvCall, IsOurOwnKernelsForOddChannelsAndNothingAtAll) {
  EXPECT_FALSE(forward_call(Tensors{.channels = 12}.forward()));
  EXPECT_FALSE(forward_call(Tensors{.filters = 20}.forward()));
  EXPECT_TRUE(forward_call(Tensors{.dtype = DType::f32, .channels = 12, .filters = 20}.forward()));
  op::Conv2dBiasAddRelu wanted = Tensors{}.forward();
  wanted.x.shape = {0, 9, 7, 16};
  EXPECT_FALSE(forward_call(wanted));
}

TEST(ConvProblem, HashesApart) {
  std::set<size_t> hashes;
  int problems = 0;
  for (const ConvKind kind : {ConvKind::forward, ConvKind::backward_data, ConvKind::backward_weight})
    for (const int64_t n : {1, 64, 128, 256})
      for (const int64_t c : {64, 128, 256, 512})
        for (const bool relu : {false, true}) {
          hashes.insert(HashOfProblem{}({.kind = kind, .n = n, .h = 32, .w = 32, .c = c, .k = c, .r = 3, .s = 3, .relu = relu}));
          ++problems;
        }
  EXPECT_EQ(hashes.size(), static_cast<size_t>(problems));
}

}  // namespace
}  // namespace mirilla::cuda::vendor
