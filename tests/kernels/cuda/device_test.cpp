// SPDX-License-Identifier: MIT
#include "kernels/cuda/device.h"

#include <gmock/gmock.h>

#include "tests/kernels/cuda/support.h"

namespace mirilla::test {
namespace {

using testing::HasSubstr;

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const DeviceError& error) {
    return error.what();
  }
  return {};
}

TEST(CudaDevice, SaysWhatItIs) {
  Device& device = device_under_test();
  EXPECT_THAT(device.description(), HasSubstr(std::string(device.name()) + ": "));
  EXPECT_EQ(device.backend().name(), device.name());
  EXPECT_EQ(simt::unavailable(), "");
  EXPECT_THAT(simt::version_line(), HasSubstr("simt: "));
  EXPECT_THAT(cuda::version_line(), HasSubstr("cuda: "));
}

TEST(CudaDevice, HasEveryFusedOperation) {
  for (Fused operation : {Fused::batch_norm_add_relu, Fused::conv2d_bias_add_relu, Fused::adaptive_concat_pool2d, Fused::relu_mask})
    EXPECT_TRUE(device_under_test().backend().has(operation)) << name_of(operation);
}

TEST(CudaDevice, CopiesThereAndBackAndWithin) {
  Device& device = device_under_test();
  std::vector<uint8_t> sent(1001), back(1001);
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<uint8_t>(i * 37);
  void* const a = device.allocate(sent.size());
  void* const b = device.allocate(sent.size());
  device.copy_from_host(a, sent.data(), sent.size());
  device.copy(b, a, sent.size());
  device.synchronize();
  device.copy_to_host(back.data(), b, back.size());
  device.release(a, sent.size());
  device.release(b, sent.size());
  EXPECT_EQ(back, sent);
}

// The engine's allocator hands out blocks as they were asked for where the device watches what lies beside them.
TEST(CudaDevice, IsExactAboutItsMemoryWhereItWatches) {
  Device& device = device_under_test();
  EXPECT_EQ(device.exact_blocks(), device.name() == "simt");
  EXPECT_EQ(device.host_addressable(), device.name() == "simt");
}

TEST(CudaDevice, RefusesDoublesBySayingWhereTheyExist) {
  Device& device = device_under_test();
  const DeviceTensor x(device, {{3}, {1, 2, 3}, DType::f64}, DType::f64), y(device, room({3}), DType::f64);
  const std::string message = error_of([&] { device.backend().relu(x.const_view(), y.view()); });
  EXPECT_THAT(message, HasSubstr(std::string(device.name()) + "' has relu for f32, f16 and bf16 and got f64"));
  EXPECT_THAT(message, HasSubstr("on the device 'reference' only"));
  const DeviceTensor bytes(device, integers({3}, 1, 9), DType::f64);
  EXPECT_THAT(error_of([&] { device.backend().relu(bytes.const_view(), y.view()); }), HasSubstr("got i64\n  hint: cast it first"));
}

TEST(CudaDevice, IsRefusedWithASentenceWhereThereIsNone) {
  const std::string why = cuda::unavailable();
  if (why.empty()) return;  // there is one
  EXPECT_THAT(error_of([] { open_device("cuda"); }), HasSubstr("the device 'cuda' was asked for and " + why));
}

}  // namespace
}  // namespace mirilla::test
