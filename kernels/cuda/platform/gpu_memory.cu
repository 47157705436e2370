// SPDX-License-Identifier: MIT
// Memory: the GPU's, pinned host memory, and scratch memory for launchers.
#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>

#include "kernels/core/error.h"
#include "kernels/cuda/platform/gpu.h"

namespace mirilla::cuda {

namespace {

// The allocations and their GPU, for the message when memory runs out.
class Held {
 public:
  void add(void* address, int index, size_t bytes) {
    const std::lock_guard lock(mutex_);
    blocks_[address] = {index, bytes};
    total_[index] += bytes;
  }
  // Returns whether it was held.
  bool remove(void* address) {
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(address);
    if (found == blocks_.end()) return false;
    total_[found->second.index] -= found->second.bytes;
    blocks_.erase(found);
    return true;
  }
  size_t total(int index) {
    const std::lock_guard lock(mutex_);
    return total_[index];
  }

 private:
  struct Block {
    int index;
    size_t bytes;
  };
  std::mutex mutex_;
  std::unordered_map<void*, Block> blocks_;
  std::map<int, size_t> total_;
};

Held& held() {
  static Held& held = *std::make_unique<Held>().release();  // never destroyed: tensors in static objects are released last
  return held;
}

// The pool of Scratch. It keeps its memory: giving it back at each synchronize would cost more than everything else Scratch does.
cudaMemPool_t make_scratch_pool(int index) {
  cudaMemPool_t made = nullptr;
  uint64_t keep = UINT64_MAX;
  detail::check(cudaDeviceGetDefaultMemPool(&made, index), "cudaDeviceGetDefaultMemPool", "find the pool for intermediate results");
  detail::check(cudaMemPoolSetAttribute(made, cudaMemPoolAttrReleaseThreshold, &keep), "cudaMemPoolSetAttribute",
                "let that pool keep its memory");
  return made;
}

cudaMemPool_t scratch_pool(int index) {
  static std::mutex mutex;
  static std::map<int, cudaMemPool_t> pools;
  const std::lock_guard lock(mutex);
  const auto found = pools.find(index);
  return found != pools.end() ? found->second : pools.emplace(index, make_scratch_pool(index)).first->second;
}

// A piece of memory begins at a multiple of this.
constexpr size_t kPiece = 256;
size_t in_pieces(size_t bytes) {
  const size_t pieces = bytes == 0 ? 1 : (bytes + kPiece - 1) / kPiece;
  return pieces * kPiece;
}

}  // namespace

void detail::out_of_memory(size_t bytes) {
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  cudaGetLastError();  // clear a second error: the message is about the first
  throw OutOfMemory("cuda", {.wanted = bytes, .held = held().total(chosen()), .free = free, .total = total});
}

bool detail::give_scratch_back() {
  if (recordings() > 0) return false;  // waiting for its GPU is not allowed
  cudaGetLastError();
  detail::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize", "wait for intermediate results that are still in use");
  detail::check(cudaMemPoolTrimTo(scratch_pool(chosen()), 0), "cudaMemPoolTrimTo", "give memory of intermediate results back");
  detail::check(cudaDeviceGraphMemTrim(chosen()), "cudaDeviceGraphMemTrim", "give memory of replays back that none uses");
  return true;
}

void* allocate(size_t bytes) {
  void* address = nullptr;
  const size_t wanted = std::max<size_t>(bytes, 1);
  cudaError_t status = cudaMalloc(&address, wanted);
  if (status == cudaErrorMemoryAllocation && detail::give_scratch_back()) status = cudaMalloc(&address, wanted);
  if (status == cudaErrorMemoryAllocation) detail::out_of_memory(bytes);
  detail::check(status, "cudaMalloc", "get memory");
  held().add(address, chosen(), wanted);
  return address;
}

size_t free_bytes() {
  size_t free = 0, total = 0;
  detail::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo", "tell the free memory");
  return free;
}

void release(void* address) noexcept {
  if (!address || !held().remove(address)) return;
  detail::keep_for_later(cudaFree(address), "cudaFree", "give memory back");
}

void* allocate_pinned(size_t bytes) {
  void* address = nullptr;
  const cudaError_t status = cudaHostAlloc(&address, std::max<size_t>(bytes, 1), cudaHostAllocPortable);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw DeviceError(fmt::format("the host has no {} bytes left that it could pin for the device 'cuda'", bytes),
                      "fewer pictures sent ahead take less; `ulimit -l` says whether pinning is limited");
  }
  detail::check(status, "cudaHostAlloc", "get pinned memory");
  return address;
}

void release_pinned(void* address) noexcept {
  if (address) detail::keep_for_later(cudaFreeHost(address), "cudaFreeHost", "give pinned memory back");
}

unsigned* Stream::counters() {
  if (recording_) return recorded_counters_.get();
  std::call_once(has_counters_, [&] { counters_ = detail::make_counters(*this); });
  return counters_.get();
}

Counters detail::make_counters(Stream& stream) {
  choose(stream.index());
  const Counters counters(static_cast<unsigned*>(allocate(kCounters * sizeof(unsigned))), [](unsigned* made) { release(made); });
  stream.fill_bytes(counters.get(), 0, kCounters * sizeof(unsigned));
  return counters;
}

ScratchArena::ScratchArena(size_t bytes) {
  if (bytes > 0) add_block(bytes);
}

ScratchArena::~ScratchArena() {
  for (const Block& block : blocks_) release(block.begin);
}

void ScratchArena::add_block(size_t bytes) {
  blocks_.reserve(blocks_.size() + 1);
  blocks_.push_back({static_cast<char*>(allocate(bytes)), bytes, {}});
}

// The first gap that is large enough.
void* ScratchArena::take(size_t bytes) {
  const size_t wanted = in_pieces(bytes);
  for (Block& block : blocks_) {
    size_t at = 0;
    for (const auto& [begin, end] : block.taken) {
      if (begin - at >= wanted) break;
      at = end;
    }
    if (block.bytes - at < wanted) continue;
    block.taken.emplace(at, at + wanted);
    return block.begin + at;
  }
  add_block(wanted);
  blocks_.back().taken.emplace(0, wanted);
  return blocks_.back().begin;
}

void ScratchArena::give(void* address) noexcept {
  for (Block& block : blocks_) {
    const auto* const at = static_cast<const char*>(address);
    if (block.begin <= at && at < block.begin + block.bytes) block.taken.erase(static_cast<size_t>(at - block.begin));
  }
}

Scratch::Scratch(Stream& stream, size_t bytes) : stream_(stream), arena_(stream.arena_), bytes_(in_pieces(bytes)) {
  if (arena_) {
    address_ = arena_->take(bytes);
    return;
  }
  const cudaError_t status = cudaMallocFromPoolAsync(&address_, std::max<size_t>(bytes, 1), scratch_pool(stream.index()), stream.native());
  if (status == cudaErrorMemoryAllocation) detail::out_of_memory(bytes);
  detail::check(status, "cudaMallocFromPoolAsync", "get memory for intermediate results");
  stream.scratch_bytes_ += bytes_;
  stream.most_scratch_bytes_ = std::max(stream.most_scratch_bytes_, stream.scratch_bytes_);
}

Scratch::~Scratch() {
  if (arena_) {
    arena_->give(address_);
    return;
  }
  stream_.scratch_bytes_ -= bytes_;
  detail::keep_for_later(cudaFreeAsync(address_, stream_.native()), "cudaFreeAsync", "give memory of intermediate results back");
}

}  // namespace mirilla::cuda
