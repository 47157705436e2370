// SPDX-License-Identifier: MIT
#include "kernels/devices.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <utility>

#include "kernels/cpu/cpu.h"
#include "kernels/cuda/conv/vendor_plans.h"
#include "kernels/cuda/device.h"
#include "kernels/host/memory.h"
#include "kernels/host/threads.h"
#include "kernels/plans/chosen_plans.h"
#include "kernels/reference/reference.h"
#include "kernels/widening/widening.h"

namespace mirilla {

namespace {

void* host_memory(const Device& device, size_t bytes) {
  void* const address = allocate_host(bytes);
  if (address == nullptr) throw OutOfMemory(device.name(), {.wanted = bytes});
  return address;
}

// A device whose memory is the host's own. Each operation is finished when it returns, so there is nothing to wait for.
class HostDevice final : public Device {
 public:
  HostDevice(std::unique_ptr<Backend> backend, std::string (*details)()) : backend_(std::move(backend)), details_(details) {}

  std::string_view name() const override { return backend_->name(); }
  std::string description() const override { return fmt::format("{}: {}", name(), details_()); }
  Backend& backend() override { return *backend_; }

  void* allocate(size_t bytes) override { return host_memory(*this, bytes); }
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

// Made at the first use and never destroyed: a tensor in a static object may be destroyed later than any static object here.
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
  Device& (*open)(int index);
  std::string (*unavailable)(int index);  // empty, or the reason
};

std::string always(int) { return {}; }

// For a kind of device that exists once.
template <Device& (*device)()>
Device& only(int index) {
  if (index == 0) return device();
  throw DeviceError(fmt::format("there is no device '{}:{}'", device().name(), index),
                    fmt::format("use '{}'; only GPUs have numbers: cuda:0, cuda:1", device().name()));
}

// "cuda:1" -> "cuda", 1; "cuda" -> "cuda", 0. -1 where the text after the colon is not an index.
std::pair<std::string_view, int> split_index(std::string_view name) {
  const size_t colon = name.find(':');
  if (colon == std::string_view::npos) return {name, 0};
  const std::string_view digits = name.substr(colon + 1);
  int index = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  const bool whole = error == std::errc() && end == digits.data() + digits.size() && digits.front() != '-';
  return {name.substr(0, colon), whole ? index : -1};
}

// The fastest comes first.
constexpr std::array kDevices{Entry{"cuda", cuda::device, cuda::unavailable}, Entry{"cpu", only<cpu_device>, always},
                              Entry{"simt", simt::device, simt::unavailable}, Entry{"reference", only<reference_device>, always}};

}  // namespace

Device& open_device(std::string_view name) {
  const auto [kind, index] = split_index(name);
  for (const Entry& entry : kDevices)
    if ((kind == entry.name && index >= 0) || (name == "auto" && entry.unavailable(0).empty())) return entry.open(std::max(index, 0));
  throw DeviceError(fmt::format("there is no device '{}'", name), fmt::format("available are auto, {}", fmt::join(device_names(), ", ")));
}

std::vector<std::string> device_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kDevices)
    if (entry.unavailable(0).empty()) names.emplace_back(entry.name);
  return names;
}

// The functions of kernels/plans/chosen_plans.h, for the GPU's libraries.
std::string chosen_plans() { return cuda::conv_plans_text(); }

std::string adopt_plans(std::string_view text) { return adopt_plans(text, cuda::conv_plan_store()); }

std::vector<std::string> take_plan_notes() { return cuda::take_plan_notes(); }

}  // namespace mirilla
