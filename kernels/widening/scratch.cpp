// SPDX-License-Identifier: MIT
#include "kernels/widening/scratch.h"

#include <algorithm>

#include "kernels/core/error.h"
#include "kernels/host/memory.h"

namespace mirilla::widening {

ScratchPool::~ScratchPool() {
  for (const ScratchPiece& scratch : free_) release_host(scratch.address, scratch.bytes);
}

ScratchPiece ScratchPool::take(size_t bytes) {
  const std::lock_guard lock(mutex_);
  free_.reserve(free_.size() + out_ + 1);  // room for this piece, so that give() cannot fail
  ScratchPiece taken;
  if (!free_.empty()) {
    const auto by_size = [](const ScratchPiece& a, const ScratchPiece& b) { return a.bytes < b.bytes; };
    auto best = free_.end();
    for (auto it = free_.begin(); it != free_.end(); ++it)
      if (it->bytes >= bytes && (best == free_.end() || by_size(*it, *best))) best = it;
    if (best == free_.end()) best = std::max_element(free_.begin(), free_.end(), by_size);
    taken = *best;
    free_.erase(best);
  }
  if (taken.bytes < bytes || taken.address == nullptr) {
    release_host(taken.address, taken.bytes);
    taken = {allocate_host(std::max<size_t>(bytes, 1)), std::max<size_t>(bytes, 1)};
    if (taken.address == nullptr)
      throw DeviceError(fmt::format("the host lacks {} bytes of memory to convert half precision to f32", bytes),
                        "a smaller batch or smaller pictures need less");
  }
  ++out_;
  return taken;
}

void ScratchPool::give(ScratchPiece scratch) noexcept {
  const std::lock_guard lock(mutex_);
  free_.push_back(scratch);
  --out_;
}

size_t ScratchPool::free_bytes() const {
  const std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (const ScratchPiece& scratch : free_) bytes += scratch.bytes;
  return bytes;
}

}  // namespace mirilla::widening
