// SPDX-License-Identifier: MIT
#include "kernels/emulate/blocks.h"

#include "kernels/emulate/runtime.h"

#include <cstdlib>
#include <cstring>
#include <fstream>

namespace mirilla::emulate {

namespace {

constexpr size_t kAlignment = 512;  // as cudaMalloc's in practice; CUDA promises 256
constexpr size_t kKeptBytes = size_t{256} << 20;
constexpr size_t kLarge = size_t{256} << 20;  // smaller pieces are given without asking what the host has

// What the host can give without swapping, in bytes. Its kernel would end the program only later, when the memory is filled.
size_t host_has() {
  std::ifstream memory("/proc/meminfo");
  for (std::string word; memory >> word;) {
    size_t kilobytes = 0;
    if (word == "MemAvailable:" && memory >> kilobytes) return kilobytes * 1024;
  }
  return SIZE_MAX;
}

}  // namespace

std::byte* fresh_memory(size_t bytes) {
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (rounded < bytes || rounded > SIZE_MAX / 2) return nullptr;
  if (rounded > kLarge && rounded > host_has()) {
    print_line(fmt::format("{} bytes of its memory were asked for, and the host has only {} left to keep them", bytes, host_has()));
    return nullptr;
  }
  // The rest is no memory of the program: an access past the end must not meet the next block.
  return static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded + kAlignment));
}

const MemoryBlock* Blocks::find(const void* address) const {
  auto after = blocks_.upper_bound(static_cast<const std::byte*>(address));
  if (after == blocks_.begin()) return nullptr;
  const MemoryBlock& block = std::prev(after)->second;
  return block.holds(address) ? &block : nullptr;
}

const MemoryBlock* Blocks::at(const void* begin) const {
  const auto found = blocks_.find(static_cast<const std::byte*>(begin));
  return found == blocks_.end() ? nullptr : &found->second;
}

void Blocks::retire(Device& device, std::byte* begin, size_t bytes) {
  std::memset(begin, kFreed, bytes);
  device.memory.remove(begin);
  retired_.push_back({&device, begin, bytes});
  retired_bytes_ += bytes;
  while (retired_bytes_ > kKeptBytes && retired_.size() > 1) {
    const Retired oldest = retired_.front();
    retired_.pop_front();
    retired_bytes_ -= oldest.bytes;
    oldest.device->memory.forget(oldest.begin);
    std::free(oldest.begin);
  }
}

}  // namespace mirilla::emulate
