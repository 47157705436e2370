// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

namespace mirilla::widening {

/// A piece of host memory. Null until taken.
struct ScratchPiece {
  void* address = nullptr;
  size_t bytes = 0;
};

/// Working memory that is kept between calls. There are never more pieces than were needed at one time, and each grows to the largest
/// request it received. Thread-safe.
class ScratchPool {
 public:
  ScratchPool() = default;
  ~ScratchPool();
  ScratchPool(const ScratchPool&) = delete;
  ScratchPool& operator=(const ScratchPool&) = delete;

  /// At least this many bytes, uninitialised. Throws DeviceError where there is not enough memory.
  ScratchPiece take(size_t bytes);
  void give(ScratchPiece scratch) noexcept;
  /// The bytes kept here and not in use.
  size_t free_bytes() const;

 private:
  mutable std::mutex mutex_;
  std::vector<ScratchPiece> free_;
  size_t out_ = 0;  // pieces taken and not given back
};

}  // namespace mirilla::widening
