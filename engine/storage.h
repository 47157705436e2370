// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_set>
#include <vector>

#include "engine/allocator.h"
#include "kernels/core/device.h"

namespace mirilla {

class Storage;

/// The storages that this thread writes to while a Listen lives. A replay writes them again unnoticed: call touch() afterwards to move
/// their versions, as the recorded work did.
class Writes {
 public:
  /// Listeners nest; each also hears the writes under those inside it.
  class Listen {
   public:
    explicit Listen(Writes& writes);
    ~Listen();
    Listen(const Listen&) = delete;
    Listen& operator=(const Listen&) = delete;

   private:
    friend class Writes;
    Writes& writes_;
    Listen* outer_;
  };

  /// Moves the version of each storage that still lives.
  void touch() const;
  /// How many of the storages still live.
  size_t size() const;

  static bool listening() { return innermost_ != nullptr; }
  static void note(Storage& storage);

 private:
  std::vector<std::weak_ptr<Storage>> storages_;  // each once
  std::unordered_set<uint64_t> ids_;
  static thread_local Listen* innermost_;
};

/// A piece of a device's memory that tensors refer to. It counts its versions: each request to write moves the count, so that
/// the tape notices a saved tensor that was overwritten and a device knows when data derived from the values is stale.
class Storage : public std::enable_shared_from_this<Storage> {
 public:
  Storage(Device& device, size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Device& device() const { return device_; }
  std::byte* address() const { return static_cast<std::byte*>(block_.address); }
  size_t bytes() const { return bytes_; }
  /// Counted from 1 and never reused within a program.
  uint64_t id() const { return id_; }
  uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void touch() {
    version_.fetch_add(1, std::memory_order_relaxed);
    if (Writes::listening()) Writes::note(*this);
  }

 private:
  Device& device_;
  size_t bytes_;
  Allocator::Block block_;
  uint64_t id_;
  std::atomic<uint64_t> version_{0};
};

}  // namespace mirilla
