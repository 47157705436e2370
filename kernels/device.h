// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/error.h"

namespace mirilla {

class Backend;

/// What a device is, apart from what it computes: a name, memory, and an order in which work happens.
///
/// Work that is started on a device happens in the order in which it was started. The host devices finish each call before they return; a
/// GPU may still be at it, so only copy_to_host and synchronize wait.
class Device {
 public:
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// "cuda", "cpu", "simt", "reference"
  virtual std::string_view name() const = 0;
  /// One line for people: "cpu: 2 threads, AVX-512, oneDNN 3.2.0".
  virtual std::string description() const = 0;
  /// The operations this device can do.
  virtual Backend& backend() = 0;

  /// Memory aligned to 64 bytes, uninitialised. Throws DeviceError where there is not enough, naming what was asked for. The engine's
  /// caching allocator stands in front of it.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* address, size_t bytes) noexcept = 0;

  /// Whether the host may read and write this memory directly (after synchronize()).
  virtual bool host_addressable() const = 0;
  /// Whether each allocation should be asked of the device as it is, without rounding and reuse: true where the device checks that nobody
  /// writes beside it.
  virtual bool exact_blocks() const { return false; }
  /// Returns when `from` may be reused.
  virtual void copy_from_host(void* to, const void* from, size_t bytes) = 0;
  /// Waits for the device, then copies.
  virtual void copy_to_host(void* to, const void* from, size_t bytes) = 0;
  /// Between two places of this device. Does not wait.
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  /// Waits until everything started on this device is done.
  virtual void synchronize() = 0;

 protected:
  Device() = default;
};

/// The device called `name`: "cuda", "cpu", "simt" (the CUDA kernels on the host's executor: true and slow), "reference", or "auto" for the
/// fastest one here. One object a name, which lives as long as the program. Throws DeviceError for a name that is unknown or a device that
/// is not there; never falls back to another.
Device& open_device(std::string_view name);

/// The names open_device accepts here, "auto" not counted.
std::vector<std::string> device_names();

/// How many threads host devices compute with; 0 means one a core. Applies from the next operation on.
void set_host_threads(int threads);
int host_threads();

}  // namespace mirilla
