// SPDX-License-Identifier: MIT
#include "kernels/simt/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "kernels/core/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace mirilla::simt {

namespace {

constexpr size_t kAlignment = 256, kGuard = 256;
// Fresh memory reads as NaN in every float type. The zones read as NaN in f16 and as -1.7e38 in f32 and bf16, so that such a value
// shows in the results computed from it, and a NaN written to the zone is detected.
constexpr std::byte kFresh{0xFF}, kGuardByte{0xFE};

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;  // the zones are then poisoned, and this file may not read them either
void forbid(const std::byte* address, size_t bytes) { __asan_poison_memory_region(address, bytes); }
void allow(const std::byte* address, size_t bytes) { __asan_unpoison_memory_region(address, bytes); }
#else
constexpr bool kSanitized = false;
void forbid(const std::byte*, size_t) {}
void allow(const std::byte*, size_t) {}
#endif

struct Registry {
  std::mutex mutex;
  std::map<std::byte*, size_t> living;  // address to bytes
  size_t bytes = 0;
  std::string damage;  // found at a release, which cannot throw
};

Registry& registry() {
  static Registry& all = *new Registry;  // never destroyed: tensors in static objects may live longer
  return all;
}

size_t room(size_t bytes) { return kGuard + (bytes + kGuard + kAlignment - 1) / kAlignment * kAlignment; }

// Describes the first damaged byte of a guard zone, counted from the tensor; empty if none is damaged.
std::string damage_of(const std::byte* address, size_t bytes) {
  if (kSanitized) return {};
  const auto intact = [](std::byte b) { return b == kGuardByte; };
  if (!std::all_of(address - kGuard, address, intact)) return fmt::format("before the start of an allocation of {} bytes", bytes);
  const auto* const end = address + bytes;
  const auto* const hit = std::find_if_not(end, end + kGuard, intact);
  return hit == end + kGuard ? std::string() : fmt::format("{} bytes past the end of an allocation of {} bytes", hit - end, bytes);
}

}  // namespace

void* allocate_guarded(size_t bytes) {
  auto* const raw = static_cast<std::byte*>(std::aligned_alloc(kAlignment, room(bytes)));
  if (!raw) throw OutOfMemory("simt", {.wanted = bytes});
  std::byte* const address = raw + kGuard;
  std::fill_n(raw, kGuard, kGuardByte);
  std::fill_n(address, bytes, kFresh);
  std::fill_n(address + bytes, room(bytes) - kGuard - bytes, kGuardByte);
  forbid(raw, kGuard);
  forbid(address + bytes, room(bytes) - kGuard - bytes);
  const std::lock_guard lock(registry().mutex);
  registry().living.emplace(address, bytes);
  registry().bytes += bytes;
  return address;
}

void release_guarded(void* address) noexcept {
  if (!address) return;
  auto* const start = static_cast<std::byte*>(address);
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().living.find(start);
  if (found == registry().living.end()) {
    registry().damage = "memory was released that is not an allocation";
    return;
  }
  if (const std::string damage = damage_of(start, found->second); !damage.empty()) registry().damage = "a write " + damage;
  registry().bytes -= found->second;
  allow(start - kGuard, room(found->second));
  registry().living.erase(found);
  std::free(start - kGuard);
}

void check_guards(const char* kernel) {
  const std::lock_guard lock(registry().mutex);
  std::string damage = std::exchange(registry().damage, {});
  for (const auto& [address, bytes] : registry().living) {
    if (!damage.empty()) break;
    if (const std::string here = damage_of(address, bytes); !here.empty()) {
      damage = "a write " + here;
      std::fill_n(address - kGuard, kGuard, kGuardByte);  // report it once
      std::fill_n(address + bytes, kGuard, kGuardByte);
    }
  }
  if (!damage.empty())
    throw DeviceError(fmt::format("{}: {}", kernel, damage), "found after this kernel; the address sanitizer names the line");
}

void check_range(const void* address, size_t bytes, const char* operation) {
  if (bytes == 0) return;
  const auto* const start = static_cast<const std::byte*>(address);
  const std::lock_guard lock(registry().mutex);
  auto found = registry().living.upper_bound(const_cast<std::byte*>(start));
  if (found != registry().living.begin()) {
    --found;
    if (start >= found->first && bytes <= found->second && start - found->first <= static_cast<std::ptrdiff_t>(found->second - bytes))
      return;
  }
  throw DeviceError(fmt::format("{} of {} bytes does not lie inside an allocation of the device 'simt'", operation, bytes));
}

size_t guarded_bytes() {
  const std::lock_guard lock(registry().mutex);
  return registry().bytes;
}

}  // namespace mirilla::simt
