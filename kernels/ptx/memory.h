// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/types.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace mirilla::ptx {

struct RaceShadow;  // kernels/ptx/detect/race.h

/// A piece of the emulated device's memory. Kernels read and write the host memory at `begin` directly.
struct Allocation {
  Allocation();
  ~Allocation();
  Allocation(Allocation&&) noexcept;
  Allocation& operator=(Allocation&&) noexcept;

  u64 begin = 0;
  u64 bytes = 0;
  std::string name;
  bool freed = false;
  bool read_only = false;
  std::vector<u8> written;  // one byte per byte, 1 once it was written; empty: all bytes count as written
  // Per 4 bytes, the last launch that stored there, and the last that read there by .nc: filled by the detector of .nc loads.
  std::vector<u32> stored_in, constant_in;
  std::unique_ptr<RaceShadow> races;  // filled by the race detector

  u64 end() const { return begin + bytes; }
};

/// The memory that a device's kernels may access. Owned by the caller: a stand-in for the CUDA runtime registers what cudaMalloc returned
/// under the host's own address, so that a device pointer is a host pointer. Not to be changed while a launch runs on it.
class Memory {
 public:
  enum class Content { kWritten, kUnwritten };  // kUnwritten: reading a byte before it is written is a fault, where this is watched

  Memory();
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /// Throws Error where it overlaps live memory. Freed memory that it overlaps is forgotten.
  void add(const void* address, size_t bytes, Content content = Content::kWritten, std::string name = {});
  /// The memory stays known as freed, so that a later access can say so. The caller keeps the host memory mapped, may poison it, and
  /// calls forget() when it is freed. Throws Error where no live memory begins there.
  void remove(const void* address);
  void forget(const void* address);

  /// The allocation, live or freed, that holds the byte; nullptr for none.
  Allocation* find(u64 address);
  /// The live allocation nearest below the address; for messages.
  const Allocation* below(u64 address) const;

  /// Notes that the host wrote there (a copy, a memset). Bytes outside of any allocation are ignored.
  void wrote(const void* address, size_t bytes);
  /// A copy inside the device copies which bytes are written.
  void copied(const void* to, const void* from, size_t bytes);
  /// The first byte of the range that was never written.
  std::optional<u64> first_unwritten(const void* address, size_t bytes);

 private:
  std::map<u64, Allocation> allocations_;
};

}  // namespace mirilla::ptx
