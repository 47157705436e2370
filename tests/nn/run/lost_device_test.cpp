// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "nn/inspect/trace.h"
#include "nn/modules/layers.h"
#include "tests/nn/wrapped_device.h"

// After a device failed, its first error arrives: no destructor on the way throws another one, which would end the program.
namespace mirilla::nn {
namespace {

constexpr const char* kError = "the GPU has fallen off the bus";

WrappedDevice& device() { return *std::make_unique<WrappedDevice>("cpu").release(); }

// Loses the device in the middle of a pass.
class Loses final : public Module {
 public:
  explicit Loses(WrappedDevice& device) : device_(device) {}
  std::string_view kind() const override { return "Loses"; }

 private:
  Tensor forward(const Tensor&) override {
    device_.lost = kError;
    throw DeviceError(kError);
  }
  WrappedDevice& device_;
};

TEST(LostDevice, LetsItsTensorsGo) {
  WrappedDevice& lost = device();
  {
    const Tensor x = full({3}, 1, DType::f32, lost);
    lost.lost = kError;
    EXPECT_THROW(x.backend(), DeviceError);
  }
  lost.lost = {};
}

TEST(LostDevice, InTheMiddleOfATraceIsTheErrorThatArrives) {
  WrappedDevice& lost = device();
  {
    Sequential model;
    model.append(std::make_unique<BatchNorm2d>(3, Placement{lost}));
    model.append(std::make_unique<Loses>(lost));
    const Tensor x = full({2, 4, 4, 3}, 1, DType::f32, lost);
    try {
      trace(model, x, {.training = true});
      ADD_FAILURE() << "no error";
    } catch (const DeviceError& error) {
      EXPECT_EQ(error.message(), kError);
    }
  }
  lost.lost = {};
}

}  // namespace
}  // namespace mirilla::nn
