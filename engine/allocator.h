// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "kernels/core/device.h"

namespace mirilla {

/// What a device's allocator has given out, in bytes as rounded up to blocks.
struct MemoryStatistics {
  size_t current = 0;               // in use by storages
  size_t peak = 0;                  // the largest `current` so far
  size_t cached = 0;                // free blocks that are kept
  uint64_t total = 0;               // ever given out
  uint64_t allocations = 0;         // how often, reuse included
  uint64_t device_allocations = 0;  // how often the device itself was asked
};

/// Keeps freed blocks and gives them out again, since a training step asks for the same sizes over and over and a device's own allocation
/// is slow (on the host each fresh page faults; a GPU waits at each that it gives back). Thread-safe. One a device.
///
/// A request takes the smallest free block that fits and is at most twice as large, else fresh memory; where the device has none left, the
/// free blocks are returned to it and it is asked once more.
///
/// A block may be given out again while the device still works with what was in it: the next user's work comes later on the device's main
/// stream. Nothing but Device::send_ahead writes from elsewhere; Device::settle orders that before the next user.
class Allocator {
 public:
  static Allocator& of(Device& device);

  explicit Allocator(Device& device) : device_(device) { rooms_[0]; }
  ~Allocator() { trim(); }
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  struct Block {
    void* address = nullptr;
    size_t bytes = 0;
    uint64_t pool = 0;      // whose it is; 0 is everybody's
    bool recorded = false;  // given out while the device recorded
  };

  /// Memory of its own: what is given out under a PoolScope comes back to this pool and goes to nobody else, so that the addresses in a
  /// DeviceReplay stay what they were. Ends after the replays that use it; its memory is then everybody's, and what still is in use becomes
  /// so when it is freed.
  class Pool {
   public:
    explicit Pool(Allocator& allocator);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    /// Of this pool alone. They count in the allocator's as well.
    MemoryStatistics statistics() const;

   private:
    friend class PoolScope;
    Allocator& allocator_;
    uint64_t id_;
  };

  /// Nothing for 0 bytes. Throws DeviceError.
  Block allocate(size_t bytes);
  void release(Block block) noexcept;
  /// Returns the free blocks to the device, but those of pools. Nothing happens while the device records, when giving memory back would
  /// break the recording.
  void trim() noexcept;

  MemoryStatistics statistics() const;

  /// Fills every block it gives out with 0xFF bytes, which is NaN in each float type: what a kernel forgets to write shows. For tests.
  void set_poison(bool on) { poison_ = on; }

 private:
  friend class MemoryScope;
  friend class PoolScope;

  // Free blocks by size, those that nobody may have before the pool ends, and what was given out.
  struct Room {
    std::multimap<size_t, void*> free;
    std::vector<Block> parked;
    MemoryStatistics statistics;
  };

  Block take_cached(uint64_t pool, size_t bytes);
  Block take_fresh(uint64_t pool, size_t bytes);
  void count(const Block& block);
  void uncount(const Block& block);
  void keep(const Block& block);
  bool park(const Block& block);
  void drop_free_blocks() noexcept;
  template <class F>
  void for_statistics_of(uint64_t pool, F change);

  Device& device_;
  mutable std::mutex mutex_;
  std::map<uint64_t, Room> rooms_;  // by pool; 0 is everybody's, and its statistics are those of all
  uint64_t last_pool_ = 0;
  std::vector<size_t*> scope_peaks_;
  bool poison_ = false;
};

/// Serves what this thread asks of the allocator from the pool, while it lives. Scopes of one allocator nest; those of several are
/// independent. While the device records, what is freed under the scope stays as it is until the pool ends, whoever had it: the recording
/// may read it.
class PoolScope {
 public:
  PoolScope(Allocator& allocator, Allocator::Pool& pool);
  ~PoolScope();
  PoolScope(const PoolScope&) = delete;
  PoolScope& operator=(const PoolScope&) = delete;

 private:
  friend class Allocator;
  static uint64_t pool_of(const Allocator& allocator);

  const Allocator& allocator_;
  uint64_t pool_;
  PoolScope* outer_;
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
