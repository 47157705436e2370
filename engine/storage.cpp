// SPDX-License-Identifier: MIT
#include "engine/storage.h"

#include "kernels/backend.h"

namespace mirilla {

namespace {

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

Storage::Storage(Device& device, size_t bytes)
    : device_(device), bytes_(bytes), block_(Allocator::of(device).allocate(bytes)), id_(next_id()) {}

Storage::~Storage() {
  device_.backend().forget(id_);
  Allocator::of(device_).release(block_);
}

}  // namespace mirilla
