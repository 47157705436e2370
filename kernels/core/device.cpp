// SPDX-License-Identifier: MIT
#include "kernels/core/device.h"

#include <memory>

namespace mirilla {

namespace {

// A mark of a device that has finished each call when it returns.
class Reached final : public DeviceMark {
 public:
  bool reached() const override { return true; }
  void wait() const override {}
};

}  // namespace

std::unique_ptr<DeviceReplay> Device::record(const std::function<void()>&) {
  throw DeviceError(fmt::format("the device '{}' has no replay", name()), "'cuda' and 'simt' have it; elsewhere each step runs eagerly");
}

void* Device::allocate_pinned(size_t bytes) { return allocate(bytes); }
void Device::release_pinned(void* address, size_t bytes) noexcept { release(address, bytes); }
void Device::copy_from_pinned(void* to, const void* pinned, size_t bytes) { copy_from_host(to, pinned, bytes); }
void Device::copy_to_pinned(void* pinned, const void* from, size_t bytes) { copy_to_host(pinned, from, bytes); }

std::unique_ptr<DeviceMark> Device::mark() { return std::make_unique<Reached>(); }
std::unique_ptr<DeviceMark> Device::send_ahead(void* to, const void* pinned, size_t bytes, const DeviceMark*) {
  copy_from_host(to, pinned, bytes);
  return mark();
}
void Device::follow(const DeviceMark& mark) { mark.wait(); }
void Device::settle(void*, size_t) noexcept {}

void Device::push_range(std::string_view) {}
void Device::pop_range() {}

}  // namespace mirilla
