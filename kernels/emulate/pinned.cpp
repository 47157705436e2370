// SPDX-License-Identifier: MIT
#include "kernels/emulate/pinned.h"

#include "kernels/emulate/blocks.h"

#include <cstring>

namespace mirilla::emulate {

using ptx::u64;

namespace {

u64 sum_of(const std::byte* begin, const std::byte* end) {
  constexpr u64 kPrime = 0x100000001b3;
  u64 sum = 0xcbf29ce484222325;
  for (; end - begin >= 8; begin += 8) {
    u64 word = 0;
    std::memcpy(&word, begin, 8);
    sum = (sum ^ word ^ (sum >> 29)) * kPrime;
  }
  for (; begin != end; ++begin) sum = (sum ^ static_cast<u64>(*begin)) * kPrime;
  return sum;
}

}  // namespace

bool PinnedWatch::used(const std::byte* begin, const std::byte* end, bool by_writes_only) const {
  for (const auto& [number, use] : uses_) {
    if (use.begin < end && begin < use.end && (use.writes || !by_writes_only)) return true;
  }
  return false;
}

u64 PinnedWatch::add(const Use& use) {
  uses_[++last_] = use;
  return last_;
}

u64 PinnedWatch::begin_read(const void* address, size_t bytes) {
  const auto* const begin = static_cast<const std::byte*>(address);
  if (used(begin, begin + bytes, true)) return 0;
  return add({begin, begin + bytes, false, sum_of(begin, begin + bytes)});
}

u64 PinnedWatch::begin_write(void* address, size_t bytes) {
  auto* const begin = static_cast<std::byte*>(address);
  if (used(begin, begin + bytes, false)) return 0;
  std::memset(begin, kToBeFilled, bytes);
  return add({begin, begin + bytes, true, sum_of(begin, begin + bytes)});
}

bool PinnedWatch::unchanged(u64 watch) {
  const auto found = uses_.find(watch);
  if (found == uses_.end()) return true;
  const Use use = found->second;
  uses_.erase(found);
  return sum_of(use.begin, use.end) == use.sum;
}

}  // namespace mirilla::emulate
