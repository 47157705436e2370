// SPDX-License-Identifier: MIT
#include "engine/allocator.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace mirilla {

namespace {

// Small blocks in steps of 512 bytes, large ones in steps of 64 KiB, so that sizes that differ a little share blocks.
size_t round_up(size_t bytes) {
  const size_t step = bytes < (size_t{1} << 20) ? 512 : size_t{64} << 10;
  return (bytes + step - 1) / step * step;
}

}  // namespace

Allocator& Allocator::of(Device& device) {
  // Never destroyed: a storage in a static object may outlive any order of destruction that could be chosen here.
  static std::mutex mutex;
  static auto& allocators = *std::make_unique<std::map<Device*, std::unique_ptr<Allocator>>>().release();
  const std::lock_guard lock(mutex);
  auto& slot = allocators[&device];
  if (!slot) slot = std::make_unique<Allocator>(device);
  return *slot;
}

Allocator::Block Allocator::take_cached(size_t bytes) {
  const auto found = free_.lower_bound(bytes);
  if (found == free_.end() || found->first > 2 * bytes) return {};
  const Block block{found->second, found->first};
  free_.erase(found);
  statistics_.cached -= block.bytes;
  return block;
}

void Allocator::count(size_t bytes) {
  statistics_.current += bytes;
  statistics_.total += bytes;
  ++statistics_.allocations;
  statistics_.peak = std::max(statistics_.peak, statistics_.current);
  for (size_t* peak : scope_peaks_) *peak = std::max(*peak, statistics_.current);
}

Allocator::Block Allocator::allocate(size_t bytes) {
  if (bytes == 0) return {};
  const size_t rounded = device_.exact_blocks() ? bytes : round_up(bytes);
  std::unique_lock lock(mutex_);
  Block block = take_cached(rounded);
  if (!block.address) {
    ++statistics_.device_allocations;
    try {
      block = {device_.allocate(rounded), rounded};
    } catch (const DeviceError&) {
      lock.unlock();
      trim();
      lock.lock();
      block = {device_.allocate(rounded), rounded};
    }
  }
  count(block.bytes);
  const bool poison = poison_;
  lock.unlock();
  if (poison && device_.host_addressable()) std::memset(block.address, 0xFF, block.bytes);
  return block;
}

void Allocator::release(Block block) noexcept {
  if (!block.address) return;
  const std::lock_guard lock(mutex_);
  if (device_.exact_blocks()) {
    statistics_.current -= block.bytes;
    return device_.release(block.address, block.bytes);
  }
  free_.emplace(block.bytes, block.address);
  statistics_.cached += block.bytes;
  statistics_.current -= block.bytes;
}

void Allocator::trim() noexcept {
  const std::lock_guard lock(mutex_);
  for (const auto& [bytes, address] : free_) device_.release(address, bytes);
  free_.clear();
  statistics_.cached = 0;
}

MemoryStatistics Allocator::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

MemoryScope::MemoryScope(Device& device) : allocator_(Allocator::of(device)) {
  const std::lock_guard lock(allocator_.mutex_);
  start_ = peak_ = allocator_.statistics_.current;
  allocator_.scope_peaks_.push_back(&peak_);
}

MemoryScope::~MemoryScope() {
  const std::lock_guard lock(allocator_.mutex_);
  std::erase(allocator_.scope_peaks_, &peak_);
}

size_t MemoryScope::peak() const {
  const std::lock_guard lock(allocator_.mutex_);
  return peak_;
}

}  // namespace mirilla
