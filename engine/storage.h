// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/allocator.h"
#include "kernels/device.h"

namespace mirilla {

/// A piece of a device's memory that tensors look into. It counts its versions: the count moves whenever somebody asks to write, so that
/// the tape notices a saved tensor that was overwritten and a device knows when what it derived from the values is stale.
class Storage {
 public:
  Storage(Device& device, size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  Device& device() const { return device_; }
  std::byte* address() const { return static_cast<std::byte*>(block_.address); }
  size_t bytes() const { return bytes_; }
  /// Counted from 1 and never given twice in a program's life.
  uint64_t id() const { return id_; }
  uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void touch() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  Device& device_;
  size_t bytes_;
  Allocator::Block block_;
  uint64_t id_;
  std::atomic<uint64_t> version_{0};
};

}  // namespace mirilla
