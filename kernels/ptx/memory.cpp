// SPDX-License-Identifier: MIT
#include "kernels/ptx/memory.h"

#include "kernels/core/error.h"
#include "kernels/ptx/detect/race.h"

#include <algorithm>

namespace mirilla::ptx {

Allocation::Allocation() = default;
Allocation::~Allocation() = default;
Allocation::Allocation(Allocation&&) noexcept = default;
Allocation& Allocation::operator=(Allocation&&) noexcept = default;

Memory::Memory() = default;
Memory::~Memory() = default;

void Memory::add(const void* address, size_t bytes, Content content, std::string name) {
  const u64 begin = reinterpret_cast<u64>(address);
  auto next = allocations_.upper_bound(begin);
  if (next != allocations_.begin() && std::prev(next)->second.end() > begin) --next;
  if (auto same = allocations_.find(begin); same != allocations_.end()) next = same;  // an allocation of zero bytes
  while (next != allocations_.end() && next->first < std::max(begin + bytes, begin + 1)) {
    if (!next->second.freed) {
      throw Error(fmt::format("emulated memory: {} bytes at {:#x} overlap {} bytes at {:#x} that are still in use", bytes, begin,
                              next->second.bytes, next->first));
    }
    next = allocations_.erase(next);
  }
  Allocation& made = allocations_[begin];
  made.begin = begin;
  made.bytes = bytes;
  made.name = std::move(name);
  if (content == Content::kUnwritten) made.written.assign(bytes, 0);
}

void Memory::remove(const void* address) {
  const auto found = allocations_.find(reinterpret_cast<u64>(address));
  if (found == allocations_.end() || found->second.freed) {
    throw Error(fmt::format("emulated memory: nothing in use begins at {}", address), "was it freed twice?");
  }
  found->second.freed = true;
  found->second.races.reset();
  found->second.stored_in.clear();
  found->second.constant_in.clear();
  found->second.written.clear();
}

void Memory::forget(const void* address) { allocations_.erase(reinterpret_cast<u64>(address)); }

Allocation* Memory::find(u64 address) {
  auto next = allocations_.upper_bound(address);
  if (next == allocations_.begin()) return nullptr;
  Allocation& before = std::prev(next)->second;
  return address < before.end() ? &before : nullptr;
}

const Allocation* Memory::below(u64 address) const {
  for (auto next = allocations_.upper_bound(address); next != allocations_.begin();) {
    --next;
    if (!next->second.freed) return &next->second;
  }
  return nullptr;
}

void Memory::wrote(const void* address, size_t bytes) {
  const u64 begin = reinterpret_cast<u64>(address);
  Allocation* there = find(begin);
  if (!there || there->written.empty()) return;
  const u64 offset = begin - there->begin;
  std::fill_n(there->written.begin() + static_cast<s64>(offset), std::min<u64>(bytes, there->bytes - offset), u8{1});
}

void Memory::copied(const void* to, const void* from, size_t bytes) {
  Allocation* target = find(reinterpret_cast<u64>(to));
  Allocation* source = find(reinterpret_cast<u64>(from));
  if (!source || source->written.empty()) return wrote(to, bytes);
  if (!target || target->written.empty()) return;
  const u64 first = reinterpret_cast<u64>(from) - source->begin, second = reinterpret_cast<u64>(to) - target->begin;
  const u64 count = std::min({u64{bytes}, source->bytes - first, target->bytes - second});
  const std::vector<u8> flags(source->written.begin() + static_cast<s64>(first), source->written.begin() + static_cast<s64>(first + count));
  std::copy(flags.begin(), flags.end(), target->written.begin() + static_cast<s64>(second));
}

std::optional<u64> Memory::first_unwritten(const void* address, size_t bytes) {
  const u64 begin = reinterpret_cast<u64>(address);
  const Allocation* there = find(begin);
  if (!there || there->written.empty()) return std::nullopt;
  for (u64 at = begin; at < std::min(begin + bytes, there->end()); ++at) {
    if (!there->written[at - there->begin]) return at;
  }
  return std::nullopt;
}

}  // namespace mirilla::ptx
