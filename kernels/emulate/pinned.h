// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/types.h"

#include <cstddef>
#include <map>

namespace mirilla::emulate {

/// Watches pinned memory from the call that starts a copy to the moment in which the copy is done. A GPU reads and writes it at some time
/// in between, so the program may neither change what a copy reads nor touch what a copy writes.
class PinnedWatch {
 public:
  /// For a copy from pinned memory. The number of the watch, or 0 where nothing can be watched: an earlier copy is still to write there.
  ptx::u64 begin_read(const void* address, size_t bytes);
  /// For a copy to pinned memory: fills it with rubbish, so that whoever reads it too early reads rubbish. 0 where another copy uses it.
  ptx::u64 begin_write(void* address, size_t bytes);
  /// Ends the watch; false where the memory was changed meanwhile.
  bool unchanged(ptx::u64 watch);

 private:
  struct Use {
    const std::byte* begin;
    const std::byte* end;
    bool writes;
    ptx::u64 sum;  // of its bytes
  };
  bool used(const std::byte* begin, const std::byte* end, bool by_writes_only) const;
  ptx::u64 add(const Use& use);

  std::map<ptx::u64, Use> uses_;
  ptx::u64 last_ = 0;
};

}  // namespace mirilla::emulate
