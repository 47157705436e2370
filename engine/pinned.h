// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/core/device.h"

namespace mirilla {

/// Pinned memory of one device, given back with the object.
class PinnedMemory {
 public:
  PinnedMemory(Device& device, size_t bytes) : device_(device), bytes_(bytes), address_(device.allocate_pinned(bytes)) {}
  ~PinnedMemory() { device_.release_pinned(address_, bytes_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  Device& device() const { return device_; }
  size_t bytes() const { return bytes_; }
  std::byte* address() const { return static_cast<std::byte*>(address_); }

 private:
  Device& device_;
  size_t bytes_;
  void* address_;
};

/// Pinned memory in turns: what the host wrote for one step stays as it is until the device has read it, while the host writes the next
/// turns'.
///
///   std::byte* slot = ring.next();       // write here
///   device.copy_from_pinned(to, slot, n);
///   ring.sent();                         // read when the device has come this far
class PinnedRing {
 public:
  PinnedRing(Device& device, size_t bytes, size_t turns = 8);
  /// Waits for what is still being read.
  ~PinnedRing();
  PinnedRing(const PinnedRing&) = delete;
  PinnedRing& operator=(const PinnedRing&) = delete;

  size_t bytes() const { return bytes_; }
  /// `bytes` of memory, aligned to 64 bytes. Waits only where the device is as many turns behind as there are.
  std::byte* next();
  void sent();

 private:
  size_t bytes_;  // of a turn, rounded up to the alignment
  PinnedMemory memory_;
  std::vector<std::unique_ptr<DeviceMark>> marks_;  // of each turn; none where nothing is being read
  size_t turn_ = 0;
};

}  // namespace mirilla
