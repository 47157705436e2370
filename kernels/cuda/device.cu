// SPDX-License-Identifier: MIT
#include "kernels/cuda/device.h"

#include <memory>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/common.h"

namespace mirilla::MIRILLA_PLATFORM {

namespace {

// One stream: work happens in the order in which it was started.
class CudaDevice final : public Device {
 public:
  CudaDevice() : backend_(stream_) {}

  std::string_view name() const override { return kDeviceName; }
  std::string description() const override { return describe_device(); }
  Backend& backend() override { return backend_; }

  void* allocate(size_t bytes) override { return MIRILLA_PLATFORM::allocate(bytes); }
  void release(void* address, size_t) noexcept override { MIRILLA_PLATFORM::release(address); }
  bool exact_blocks() const override { return !kGpu; }

  bool host_addressable() const override { return !kGpu; }
  void copy_from_host(void* to, const void* from, size_t bytes) override { stream_.copy_from_host(to, from, bytes); }
  void copy_to_host(void* to, const void* from, size_t bytes) override { stream_.copy_to_host(to, from, bytes); }
  void copy(void* to, const void* from, size_t bytes) override { stream_.copy(to, from, bytes); }
  void synchronize() override { stream_.synchronize(); }

 private:
  Stream stream_;
  CudaBackend backend_;
};

}  // namespace

// Made at the first use and never destroyed, as the host's devices are.
Device& device() {
  if (const std::string why = unavailable(); !why.empty())
    throw DeviceError(fmt::format("the device '{}' was asked for and {}", kDeviceName, why), "'cpu' computes on the host");
  static Device& device = *std::make_unique<CudaDevice>().release();
  return device;
}

bool CudaBackend::has(Fused) const { return true; }

void no_such(DType dtype, std::string_view operation) {
  throw DeviceError(fmt::format("the device '{}' has {} for f32, f16 and bf16 and got {}", kDeviceName, operation, name_of(dtype)),
                    dtype == DType::f64 ? "f64 exists on the device 'reference' only" : "cast it first");
}

}  // namespace mirilla::MIRILLA_PLATFORM
