// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/types.h"

#include <cstddef>
#include <deque>
#include <map>

namespace mirilla::emulate {

class Device;

/// Memory that a program asked for and has not freed yet.
struct MemoryBlock {
  std::byte* begin = nullptr;
  size_t bytes = 0;
  int device = 0;
  enum class Kind { kDevice, kStreamOrdered, kPinned, kManaged, kVariable } kind = Kind::kDevice;
  bool registered = false;  // pinned or managed memory that no call allocated: cudaHostRegister, __managed__ variables
  unsigned flags = 0;       // of pinned memory, as it was asked for
  bool holds(const void* address) const { return address >= begin && address < begin + bytes; }
};

/// Rubbish, finite in every type: a comparison with NaN would be false and could hide that rubbish was read.
constexpr int kNeverWritten = 0x5b, kFreed = 0xdb, kToBeFilled = 0x6b;

/// Host memory for a piece of the device's memory; nullptr where the host has none. It is not filled, so it costs nothing until it is used.
std::byte* fresh_memory(size_t bytes);

class Blocks {
 public:
  void add(const MemoryBlock& block) { blocks_[block.begin] = block; }
  void remove(const void* begin) { blocks_.erase(static_cast<const std::byte*>(begin)); }
  /// The block that holds the address; nullptr for none.
  const MemoryBlock* find(const void* address) const;
  /// The block that begins there.
  const MemoryBlock* at(const void* begin) const;

  /// Poisons freed memory and keeps it for a while, so that a later use is noticed.
  void retire(Device& device, std::byte* begin, size_t bytes);
  /// Frees without keeping; its address may be given out again at once.
  const std::map<const std::byte*, MemoryBlock>& all() const { return blocks_; }

 private:
  struct Retired {
    Device* device;
    std::byte* begin;
    size_t bytes;
  };
  std::map<const std::byte*, MemoryBlock> blocks_;
  std::deque<Retired> retired_;
  size_t retired_bytes_ = 0;
};

}  // namespace mirilla::emulate
