// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <vector>

#include "kernels/core/device.h"

namespace mirilla {

/// Statistics of a device's allocator, in bytes, rounded up to blocks.
struct MemoryStatistics {
  size_t current = 0;               // in use by storages
  size_t peak = 0;                  // the largest `current` so far
  size_t cached = 0;                // kept free blocks
  uint64_t total = 0;               // given out since the start
  uint64_t allocations = 0;         // number of requests, including reuse
  uint64_t device_allocations = 0;  // number of requests to the device itself
};

/// Keeps freed blocks and gives them out again, since training steps ask for the same sizes again and again and a device's own allocation
/// is slow (on the host each fresh page faults; a GPU waits at each release). Thread-safe. One per device.
///
/// A request takes the smallest free block that fits and is at most twice as large, else fresh memory; if the device has none left, the
/// free blocks are returned to the device and it is asked once more.
///
/// A block may be given out again while the device still uses its old contents: the next user's work comes later on the device's main
/// stream. Only Device::send_ahead writes from another stream; Device::settle orders this before the next user.
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
    uint64_t pool = 0;      // the pool that owns it; 0 is shared
    bool recorded = false;  // given out while the device recorded
  };

  /// Separate memory: blocks given out under a PoolScope return to this pool and are given to nothing else, so that the addresses in a
  /// DeviceReplay stay valid. End it after the replays that use it; its free memory is then shared, and blocks still in use become
  /// shared when they are freed.
  class Pool {
   public:
    explicit Pool(Allocator& allocator);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    /// Statistics of this pool only. The allocator's statistics include them.
    MemoryStatistics statistics() const;

   private:
    friend class PoolScope;
    Allocator& allocator_;
    uint64_t id_;
  };

  /// An empty block for 0 bytes. Throws DeviceError.
  Block allocate(size_t bytes);
  void release(Block block) noexcept;
  /// Returns the free blocks to the device, except those of pools. Does nothing while the device records, since freeing memory would
  /// break the recording.
  void trim() noexcept;

  MemoryStatistics statistics() const;

  /// Fills every block it gives out with 0xFF bytes, which is NaN in each float type: elements that a kernel forgets to write become
  /// visible. For tests.
  void set_poison(bool on) { poison_ = on; }

 private:
  friend class MemoryScope;
  friend class PoolScope;

  // Free blocks by size, blocks that stay reserved until the pool ends, and the statistics.
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
  std::map<uint64_t, Room> rooms_;  // by pool; 0 is shared, and its statistics include all pools
  uint64_t last_pool_ = 0;
  std::vector<size_t*> scope_peaks_;
  bool poison_ = false;
};

/// While it lives, this thread's requests to the allocator are served from the pool. Scopes of one allocator nest; those of several are
/// independent. While the device records, blocks freed under the scope stay unchanged until the pool ends, whoever owned them: the
/// recording may read them.
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

/// The peak of a device's memory while this object lives. Scopes nest; each includes the scopes inside it.
class MemoryScope {
 public:
  explicit MemoryScope(Device& device);
  ~MemoryScope();
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

  /// The most bytes in use at one time since the scope began, including those allocated before.
  size_t peak() const;
  /// The bytes that the scope itself added at its peak.
  size_t peak_above_start() const { return peak() - start_; }

 private:
  Allocator& allocator_;
  size_t start_ = 0;
  size_t peak_ = 0;
};

}  // namespace mirilla
