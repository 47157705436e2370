// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/error.h"

namespace mirilla {

class Backend;

/// What a device was given while it recorded, to be done again with the same addresses. The memory they stand for must outlive it
/// (Allocator::Pool keeps it), pinned memory too.
class DeviceReplay {
 public:
  virtual ~DeviceReplay() = default;
  /// Starts all of it, in its order, after what the device was given before. Does not wait. Throws DeviceError while the device records.
  virtual void run() = 0;
  /// How many pieces of work were recorded.
  virtual size_t size() const = 0;
};

/// A place in the order of a device's work.
class DeviceMark {
 public:
  virtual ~DeviceMark() = default;
  /// Whether the device has come there. Does not wait.
  virtual bool reached() const = 0;
  /// Waits until it has.
  virtual void wait() const = 0;
};

/// What a device is, apart from what it computes: a name, memory, and an order in which work happens.
///
/// Work that is started on a device happens in the order in which it was started: its main stream. The host devices finish each call before
/// they return; a GPU may still be at it, so only copy_to_host and synchronize wait. Beside the main stream there is a second one, for
/// send_ahead alone, in an order of its own; marks tie the two together. A GPU belongs to one thread at a time, but for memory; the devices
/// that compute on the host ('cpu', 'reference', 'simt') take work from several at once, each on values of its own.
class Device {
 public:
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// "cuda", "cpu", "simt", "reference"
  virtual std::string_view name() const = 0;
  /// Which one of its name: 1 for "cuda:1".
  virtual int index() const { return 0; }
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
  /// How much memory nobody has yet, of a device that has one of its own; 0 where it is the host's.
  virtual size_t free_bytes() { return 0; }
  /// Between two places of this device. Does not wait.
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  /// Waits until everything started on this device is done, on both streams.
  virtual void synchronize() = 0;

  // --- Replay: what would be started again and again, step after step, is started as one ---------------------------------------------
  virtual bool can_replay() const { return false; }
  /// Whether `record` is under way. Waiting, copies from and to plain host memory, marks and sends are errors meanwhile.
  virtual bool recording() const { return false; }
  /// Writes down what `work` starts on this device, without doing it. Memory that it allocates and frees must not be given to anybody else
  /// as long as the replay lives: see PoolScope. An exception in `work` ends the recording and comes through. Throws DeviceError where the
  /// device has no replay, or records already.
  virtual std::unique_ptr<DeviceReplay> record(const std::function<void()>& work);

  // --- Pinned memory: the host's, and the device reaches it while the host does something else ----------------------------------------
  /// Aligned to 64 bytes. Throws DeviceError where there is no more of it. By default the device's own memory, which on a host
  /// device is the host's.
  virtual void* allocate_pinned(size_t bytes);
  virtual void release_pinned(void* address, size_t bytes) noexcept;
  /// On the main stream; never waits, so `pinned` must stay as it is until a later mark() is reached. In a replay each run reads it anew.
  virtual void copy_from_pinned(void* to, const void* pinned, size_t bytes);
  /// On the main stream; never waits: the values are there when a later mark() is reached. In a replay each run writes it anew.
  virtual void copy_to_pinned(void* pinned, const void* from, size_t bytes);

  // --- Marks and the second stream -----------------------------------------------------------------------------------------------------
  /// Where the main stream is now: reached when all it was given so far is done.
  virtual std::unique_ptr<DeviceMark> mark();
  /// Copies on the second stream, once the main one has reached `after`: what was last there must have been used up by then. Without
  /// `after`: once all is done that the main stream was given so far, which is always safe, also for memory just allocated. The mark says
  /// when it has arrived; `pinned` must stay as it is until then. Never waits.
  virtual std::unique_ptr<DeviceMark> send_ahead(void* to, const void* pinned, size_t bytes, const DeviceMark* after);
  /// What the main stream is given from now on waits for the mark, of this device; the host does not.
  virtual void follow(const DeviceMark& mark);
  /// This memory is about to be given to somebody else: the main stream follows what is still being sent there, if anything is. The
  /// engine's allocator calls it for each block that comes back.
  virtual void settle(void* address, size_t bytes) noexcept;

  // --- Ranges, for a profiler's timeline (NVTX on a GPU) -------------------------------------------------------------------------------
  /// Whether anybody looks; if not, names need not be made.
  virtual bool wants_ranges() const { return false; }
  virtual void push_range(std::string_view name);
  virtual void pop_range();

 protected:
  Device() = default;
};

}  // namespace mirilla
