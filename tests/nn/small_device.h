// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "kernels/devices.h"

namespace mirilla::nn {

/// The cpu as a separate device, with limited memory and a profiler.
class SmallDevice final : public Device {
 public:
  std::string_view name() const override { return "small"; }
  std::string description() const override { return "small: the cpu"; }
  Backend& backend() override { return cpu_.backend(); }

  void* allocate(size_t bytes) override {
    if (used_ + bytes > capacity) throw OutOfMemory(name(), {.wanted = bytes, .held = used_, .free = capacity - used_, .total = capacity});
    used_ += bytes;
    return cpu_.allocate(bytes);
  }
  void release(void* address, size_t bytes) noexcept override {
    used_ -= bytes;
    cpu_.release(address, bytes);
  }
  bool host_addressable() const override { return true; }
  void copy_from_host(void* to, const void* from, size_t bytes) override { cpu_.copy_from_host(to, from, bytes); }
  void copy_to_host(void* to, const void* from, size_t bytes) override { cpu_.copy_to_host(to, from, bytes); }
  void copy(void* to, const void* from, size_t bytes) override { cpu_.copy(to, from, bytes); }
  void synchronize() override {}

  bool wants_ranges() const override { return profiled; }
  void push_range(std::string_view range) override {
    ranges.push_back(std::string(open_, ' ') + std::string(range));
    ++open_;
  }
  void pop_range() override { --open_; }

  /// Ranges that were pushed and not popped.
  size_t open() const { return open_; }

  size_t capacity = size_t{1} << 40;
  bool profiled = false;
  std::vector<std::string> ranges;  // in order, indented by one space per open range

 private:
  Device& cpu_ = open_device("cpu");
  size_t used_ = 0;
  size_t open_ = 0;
};

}  // namespace mirilla::nn
