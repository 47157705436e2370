// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/core/device.h"

namespace mirilla {

/// Pinned memory of one device, freed with the object.
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

/// A ring of pinned memory: the values that the host wrote for one step stay unchanged until the device has read them, while the host
/// writes the next ones.
///
///   std::byte* slot = ring.next();       // write here
///   device.copy_from_pinned(to, slot, n);
///   ring.sent();                         // may be reused when the device has read it
class PinnedRing {
 public:
  PinnedRing(Device& device, size_t bytes, size_t turns = 8);
  /// Waits until the device has read everything.
  ~PinnedRing();
  PinnedRing(const PinnedRing&) = delete;
  PinnedRing& operator=(const PinnedRing&) = delete;

  size_t bytes() const { return bytes_; }
  /// `bytes` of memory, aligned to 64 bytes. Waits only if the device still reads the oldest turn.
  std::byte* next();
  void sent();

 private:
  size_t bytes_;  // of a turn, rounded up to the alignment
  PinnedMemory memory_;
  std::vector<std::unique_ptr<DeviceMark>> marks_;  // one per turn; null where nothing is being read
  size_t turn_ = 0;
};

}  // namespace mirilla
