// SPDX-License-Identifier: MIT
#include "engine/allocator.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace mirilla {

namespace {

// Small blocks in steps of 512 bytes, large ones in steps of 64 KiB, so that slightly different sizes share blocks.
size_t round_up(size_t bytes) {
  const size_t step = bytes < (size_t{1} << 20) ? 512 : size_t{64} << 10;
  return (bytes + step - 1) / step * step;
}

thread_local PoolScope* innermost_pool_scope = nullptr;

}  // namespace

Allocator& Allocator::of(Device& device) {
  // Never destroyed: a storage in a static object may be destroyed later than any static object here.
  static std::mutex mutex;
  static auto& allocators = *std::make_unique<std::map<Device*, std::unique_ptr<Allocator>>>().release();
  const std::lock_guard lock(mutex);
  auto& slot = allocators[&device];
  if (!slot) slot = std::make_unique<Allocator>(device);
  return *slot;
}

// With exact blocks the device checks the memory beside a block, so a larger block cannot be used there.
Allocator::Block Allocator::take_cached(uint64_t pool, size_t bytes) {
  auto& free = rooms_.at(pool).free;
  const auto found = free.lower_bound(bytes);
  const size_t most = device_.exact_blocks() ? bytes : 2 * bytes;
  if (found == free.end() || found->first > most) return {};
  const Block block{found->second, found->first, pool};
  free.erase(found);
  for_statistics_of(pool, [&](MemoryStatistics& s) { s.cached -= block.bytes; });
  return block;
}

Allocator::Block Allocator::take_fresh(uint64_t pool, size_t bytes) {
  for_statistics_of(pool, [](MemoryStatistics& s) { ++s.device_allocations; });
  try {
    return {device_.allocate(bytes), bytes, pool};
  } catch (const OutOfMemory&) {
    drop_free_blocks();
    return {device_.allocate(bytes), bytes, pool};
  }
}

// Room 0 also counts the blocks of all pools.
template <class F>
void Allocator::for_statistics_of(uint64_t pool, F change) {
  change(rooms_.at(0).statistics);
  if (pool != 0) change(rooms_.at(pool).statistics);
}

void Allocator::count(const Block& block) {
  for_statistics_of(block.pool, [&](MemoryStatistics& s) {
    s.current += block.bytes;
    s.total += block.bytes;
    ++s.allocations;
    s.peak = std::max(s.peak, s.current);
  });
  for (size_t* peak : scope_peaks_) *peak = std::max(*peak, rooms_.at(0).statistics.current);
}

void Allocator::uncount(const Block& block) {
  for_statistics_of(rooms_.contains(block.pool) ? block.pool : 0, [&](MemoryStatistics& s) { s.current -= block.bytes; });
}

Allocator::Block Allocator::allocate(size_t bytes) {
  if (bytes == 0) return {};
  const size_t rounded = device_.exact_blocks() ? bytes : round_up(bytes);
  const uint64_t pool = PoolScope::pool_of(*this);
  std::unique_lock lock(mutex_);
  Block block = take_cached(pool, rounded);
  if (!block.address) block = take_fresh(pool, rounded);
  block.recorded = device_.recording();
  count(block);
  const bool poison = poison_;
  lock.unlock();
  if (poison && device_.host_addressable()) std::memset(block.address, 0xFF, block.bytes);
  return block;
}

void Allocator::keep(const Block& block) {
  const uint64_t pool = rooms_.contains(block.pool) ? block.pool : 0;  // the pool may have ended before the block is freed
  if (pool == 0 && device_.exact_blocks()) return device_.release(block.address, block.bytes);
  rooms_.at(pool).free.emplace(block.bytes, block.address);
  for_statistics_of(pool, [&](MemoryStatistics& s) { s.cached += block.bytes; });
}

// Keeps a block that was given out before a recording and is freed during it, since each run of the replay may read it again and it must
// not be overwritten. Returns whether it was kept.
bool Allocator::park(const Block& block) {
  if (block.recorded) return false;
  const uint64_t pool = PoolScope::pool_of(*this);
  if (pool == 0 || !device_.recording()) return false;
  rooms_.at(pool).parked.push_back(block);
  for_statistics_of(pool, [&](MemoryStatistics& s) { s.cached += block.bytes; });
  return true;
}

void Allocator::release(Block block) noexcept {
  if (!block.address) return;
  device_.settle(block.address, block.bytes);
  const std::lock_guard lock(mutex_);
  uncount(block);
  if (!park(block)) keep(block);
}

void Allocator::drop_free_blocks() noexcept {
  if (device_.recording()) return;
  Room& room = rooms_.at(0);
  for (const auto& [bytes, address] : room.free) {
    device_.release(address, bytes);
    room.statistics.cached -= bytes;
  }
  room.free.clear();
}

void Allocator::trim() noexcept {
  const std::lock_guard lock(mutex_);
  drop_free_blocks();
}

MemoryStatistics Allocator::statistics() const {
  const std::lock_guard lock(mutex_);
  return rooms_.at(0).statistics;
}

Allocator::Pool::Pool(Allocator& allocator) : allocator_(allocator) {
  const std::lock_guard lock(allocator_.mutex_);
  id_ = ++allocator_.last_pool_;
  allocator_.rooms_[id_];
}

Allocator::Pool::~Pool() {
  const std::lock_guard lock(allocator_.mutex_);
  Room room = std::move(allocator_.rooms_.at(id_));
  allocator_.rooms_.erase(id_);
  allocator_.rooms_.at(0).statistics.cached -= room.statistics.cached;
  for (const Block& block : room.parked) allocator_.keep(block);
  for (const auto& [bytes, address] : room.free) allocator_.keep({address, bytes});
}

MemoryStatistics Allocator::Pool::statistics() const {
  const std::lock_guard lock(allocator_.mutex_);
  return allocator_.rooms_.at(id_).statistics;
}

PoolScope::PoolScope(Allocator& allocator, Allocator::Pool& pool) : allocator_(allocator), pool_(pool.id_), outer_(innermost_pool_scope) {
  if (&pool.allocator_ != &allocator) throw Error("a pool was used with the allocator of another device");
  innermost_pool_scope = this;
}

PoolScope::~PoolScope() { innermost_pool_scope = outer_; }

uint64_t PoolScope::pool_of(const Allocator& allocator) {
  for (const PoolScope* scope = innermost_pool_scope; scope; scope = scope->outer_)
    if (&scope->allocator_ == &allocator) return scope->pool_;
  return 0;
}

MemoryScope::MemoryScope(Device& device) : allocator_(Allocator::of(device)) {
  const std::lock_guard lock(allocator_.mutex_);
  start_ = peak_ = allocator_.rooms_.at(0).statistics.current;
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
