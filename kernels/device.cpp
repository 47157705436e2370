// SPDX-License-Identifier: MIT
#include "kernels/device.h"

#include <fmt/ranges.h>

#include <array>
#include <cstring>
#include <memory>

#include "kernels/cpu/cpu.h"
#include "kernels/cuda/device.h"
#include "kernels/host_memory.h"
#include "kernels/reference/reference.h"
#include "kernels/widening/widening.h"

namespace mirilla {

namespace {

// A device whose memory is the host's own. Each operation is finished when it returns, so there is never anything to wait for.
class HostDevice final : public Device {
 public:
  HostDevice(std::unique_ptr<Backend> backend, std::string (*details)()) : backend_(std::move(backend)), details_(details) {}

  std::string_view name() const override { return backend_->name(); }
  std::string description() const override { return fmt::format("{}: {}", name(), details_()); }
  Backend& backend() override { return *backend_; }

  void* allocate(size_t bytes) override {
    void* const address = allocate_host(bytes);
    if (address == nullptr)
      throw DeviceError(fmt::format("the device '{}' has no {} bytes left", name(), bytes),
                        "a smaller batch or smaller pictures take less");
    return address;
  }
  void release(void* address, size_t bytes) noexcept override { release_host(address, bytes); }

  bool host_addressable() const override { return true; }
  void copy_from_host(void* to, const void* from, size_t bytes) override { copy(to, from, bytes); }
  void copy_to_host(void* to, const void* from, size_t bytes) override { copy(to, from, bytes); }
  void copy(void* to, const void* from, size_t bytes) override {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  void synchronize() override {}

 private:
  std::unique_ptr<Backend> backend_;
  std::string (*details_)();
};

std::string reference_description() {
  const int threads = host_threads();
  return fmt::format("{} thread{}, plain loops in f32 and f64, for comparison only", threads, threads == 1 ? "" : "s");
}

template <class HostBackend>
std::unique_ptr<Backend> with_halves() {
  return std::make_unique<WideningBackend>(std::make_unique<HostBackend>());
}

// Made at the first use and never destroyed: a tensor in a static object may outlive any order of destruction that could be chosen here.
Device& reference_device() {
  static Device& device = *std::make_unique<HostDevice>(with_halves<ReferenceBackend>(), reference_description).release();
  return device;
}

Device& cpu_device() {
  static Device& device = *std::make_unique<HostDevice>(with_halves<CpuBackend>(), cpu_description).release();
  return device;
}

struct Entry {
  std::string_view name;
  Device& (*open)();
  std::string (*unavailable)();  // empty, or why not
};

std::string always() { return {}; }

// The fastest stands first.
constexpr std::array kDevices{Entry{"cuda", cuda::device, cuda::unavailable}, Entry{"cpu", cpu_device, always},
                              Entry{"simt", simt::device, simt::unavailable}, Entry{"reference", reference_device, always}};

}  // namespace

Device& open_device(std::string_view name) {
  for (const Entry& entry : kDevices)
    if (name == entry.name || (name == "auto" && entry.unavailable().empty())) return entry.open();
  throw DeviceError(fmt::format("there is no device '{}'", name),
                    fmt::format("the devices here are auto, {}", fmt::join(device_names(), ", ")));
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kDevices)
    if (entry.unavailable().empty()) names.emplace_back(entry.name);
  return names;
}

}  // namespace mirilla
