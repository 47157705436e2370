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

/// The work that a device was given while it recorded, to be run again with the same addresses. The memory behind those addresses, pinned
/// memory included, must outlive the replay (Allocator::Pool keeps it).
class DeviceReplay {
 public:
  virtual ~DeviceReplay() = default;
  /// Starts all of it in the recorded order, after the work that the device was given before. Does not wait. Throws DeviceError while
  /// recording.
  virtual void run() = 0;
  /// The number of recorded pieces of work.
  virtual size_t size() const = 0;
};

/// A position in the order of a device's work.
class DeviceMark {
 public:
  virtual ~DeviceMark() = default;
  /// Whether the device has reached it. Does not wait.
  virtual bool reached() const = 0;
  /// Waits until the device has reached it.
  virtual void wait() const = 0;
};

/// A device apart from its operations: a name, memory, and the order in which work runs.
///
/// Work runs on a device in the order in which it was started; this order is its main stream. The host devices finish each call before they
/// return; a GPU may still be executing it, so only copy_to_host and synchronize wait. Beside the main stream there is a second one, used
/// by send_ahead alone, with an order of its own; marks synchronise the two. Only one thread at a time may use a GPU, except for its memory
/// functions; the devices that compute on the host ('cpu', 'reference', 'simt') accept calls from several threads at once if each works on
/// its own values.
class Device {
 public:
  virtual ~Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  /// "cuda", "cpu", "simt", "reference"
  virtual std::string_view name() const = 0;
  /// The number among devices of the same name: 1 for "cuda:1".
  virtual int index() const { return 0; }
  /// One line for the user: "cpu: 2 threads, AVX-512, oneDNN 3.2.0".
  virtual std::string description() const = 0;
  /// The operations of this device.
  virtual Backend& backend() = 0;

  /// Memory aligned to 64 bytes, uninitialised. Throws DeviceError where there is not enough, and names the size asked for. The engine's
  /// caching allocator calls it.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* address, size_t bytes) noexcept = 0;

  /// Whether the host may read and write this memory directly (after synchronize()).
  virtual bool host_addressable() const = 0;
  /// Whether each allocation must be requested from the device as it is, without rounding and reuse: true where the device checks that no
  /// kernel writes beside it.
  virtual bool exact_blocks() const { return false; }
  /// Copies from the host. When it returns, the caller may reuse `from`.
  virtual void copy_from_host(void* to, const void* from, size_t bytes) = 0;
  /// Waits for the device, then copies.
  virtual void copy_to_host(void* to, const void* from, size_t bytes) = 0;
  /// Free bytes, of a device with memory of its own; 0 where the memory is the host's.
  virtual size_t free_bytes() { return 0; }
  /// Copies within this device. Does not wait.
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  /// Waits until everything started on this device is done, on both streams.
  virtual void synchronize() = 0;

  // --- Replay: what would be started again and again, step after step, is started as one ---------------------------------------------
  virtual bool can_replay() const { return false; }
  /// Whether `record` is running. Meanwhile, waiting, copies from and to plain host memory, marks and sends are errors.
  virtual bool recording() const { return false; }
  /// Records the work that `work` starts on this device, without running it. Memory that it allocates and frees must not be given to
  /// anything else while the replay lives: see PoolScope. An exception in `work` ends the recording and is passed on. Throws DeviceError
  /// where the device has no replay, or is recording already.
  virtual std::unique_ptr<DeviceReplay> record(const std::function<void()>& work);

  // --- Pinned memory: the host's, and the device reaches it while the host does something else ----------------------------------------
  /// Aligned to 64 bytes. Throws DeviceError where none is left. By default the device's own memory, which on a host
  /// device is the host's.
  virtual void* allocate_pinned(size_t bytes);
  virtual void release_pinned(void* address, size_t bytes) noexcept;
  /// On the main stream; never waits, so `pinned` must not change until a later mark() is reached. In a replay each run reads it again.
  virtual void copy_from_pinned(void* to, const void* pinned, size_t bytes);
  /// On the main stream; never waits: the values are there when a later mark() is reached. In a replay each run writes it again.
  virtual void copy_to_pinned(void* pinned, const void* from, size_t bytes);

  // --- Marks and the second stream -----------------------------------------------------------------------------------------------------
  /// A mark in the main stream; it is reached when all work started so far is done.
  virtual std::unique_ptr<DeviceMark> mark();
  /// Copies on the second stream, once the main stream has reached `after`: the previous contents of `to` must no longer be needed by then.
  /// Without `after` it waits for all work that the main stream was given so far, which is always safe, also for memory just allocated. The
  /// returned mark is reached when the data has arrived; `pinned` must not change until then. Never waits.
  virtual std::unique_ptr<DeviceMark> send_ahead(void* to, const void* pinned, size_t bytes, const DeviceMark* after);
  /// Work given to the main stream from now on waits for `mark`, which is of this device; the host does not wait.
  virtual void follow(const DeviceMark& mark);
  /// Called before this memory is given to another owner: the main stream waits for any send_ahead that still writes to it. The engine's
  /// allocator calls it for each block that comes back.
  virtual void settle(void* address, size_t bytes) noexcept;

  // --- Ranges, for a profiler's timeline (NVTX on a GPU) -------------------------------------------------------------------------------
  /// Whether a profiler listens; if not, no names need to be made.
  virtual bool wants_ranges() const { return false; }
  virtual void push_range(std::string_view name);
  virtual void pop_range();

 protected:
  Device() = default;
};

}  // namespace mirilla
