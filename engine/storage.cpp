// SPDX-License-Identifier: MIT
#include "engine/storage.h"

#include <algorithm>

#include "kernels/core/backend.h"
#include "kernels/core/error.h"

namespace mirilla {

namespace {

uint64_t next_id() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

Storage::Storage(Device& device, size_t bytes)
    : device_(device), bytes_(bytes), block_(Allocator::of(device).allocate(bytes)), id_(next_id()) {}

thread_local Writes::Listen* Writes::innermost_ = nullptr;

Writes::Listen::Listen(Writes& writes) : writes_(writes), outer_(innermost_) { innermost_ = this; }
Writes::Listen::~Listen() { innermost_ = outer_; }

void Writes::note(Storage& storage) {
  for (const Listen* listener = innermost_; listener; listener = listener->outer_)
    if (listener->writes_.ids_.insert(storage.id()).second) listener->writes_.storages_.push_back(storage.weak_from_this());
}

void Writes::touch() const {
  for (const auto& storage : storages_)
    if (const auto living = storage.lock()) living->touch();
}

size_t Writes::size() const {
  return static_cast<size_t>(std::count_if(storages_.begin(), storages_.end(), [](const auto& storage) { return !storage.expired(); }));
}

Storage::~Storage() {
  try {
    device_.backend().forget(id_);
  } catch (const Error&) {  // the device failed: what it keeps for this storage is never used again
  }
  Allocator::of(device_).release(block_);
}

}  // namespace mirilla
