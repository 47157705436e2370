// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "kernels/device.h"

namespace mirilla {

/// What a device's allocator has given out, in bytes as rounded up to blocks.
struct MemoryStatistics {
  size_t current = 0;               // in use by storages
  size_t peak = 0;                  // the largest `current` so far
  size_t cached = 0;                // free blocks kept for reuse
  uint64_t total = 0;               // ever given out
  uint64_t allocations = 0;         // how often, reuse included
  uint64_t device_allocations = 0;  // how often the device itself was asked
};

/// Keeps freed blocks and gives them out again, since a training step asks for the same sizes over and over and a device's own allocation
/// is slow (on the host each fresh page faults). Thread-safe. One a device.
///
/// A request takes the smallest free block that fits and is at most twice as large, else fresh memory; where the device has none left, the
/// free blocks are returned to it and it is asked once more.
class Allocator {
 public:
  static Allocator& of(Device& device);

  explicit Allocator(Device& device) : device_(device) {}
  ~Allocator() { trim(); }
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  struct Block {
    void* address = nullptr;
    size_t bytes = 0;
  };
  /// Nothing for 0 bytes. Throws DeviceError.
  Block allocate(size_t bytes);
  void release(Block block) noexcept;
  /// Returns the free blocks to the device.
  void trim() noexcept;

  MemoryStatistics statistics() const;

  /// Fills every block it gives out with 0xFF bytes, which is NaN in each float type: what a kernel forgets to write shows. For tests.
  void set_poison(bool on) { poison_ = on; }

 private:
  friend class MemoryScope;

  Block take_cached(size_t bytes);
  void count(size_t bytes);

  Device& device_;
  mutable std::mutex mutex_;
  std::multimap<size_t, void*> free_;
  MemoryStatistics statistics_;
  std::vector<size_t*> scope_peaks_;
  bool poison_ = false;
};

/// The peak of a device's memory while this object lives. Scopes nest; each sees what happens in those inside it.
class MemoryScope {
 public:
  explicit MemoryScope(Device& device);
  ~MemoryScope();
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

  /// The most that was in use at one time since the scope began, what was there before included.
  size_t peak() const;
  /// What the scope itself added at its peak.
  size_t peak_above_start() const { return peak() - start_; }

 private:
  Allocator& allocator_;
  size_t start_ = 0;
  size_t peak_ = 0;
};

}  // namespace mirilla
