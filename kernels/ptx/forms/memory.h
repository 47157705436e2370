// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/warp.h"

#include <array>

namespace mirilla::ptx {

using Addresses = std::array<u64, kLanes>;
using Pointers = std::array<u8*, kLanes>;
constexpr u32 kMostBytes = 32;  // of one lane's access

/// The addresses of the lanes: register (or constant) plus offset.
Addresses addresses_of(const Instruction& i, const Warp& warp, int operand);

struct AccessKind {
  u32 bytes = 0;  // per lane, all elements together
  bool store = false;
  bool load = true;           // both set: an atomic
  bool strong = false;        // volatile, relaxed ...; atomics
  bool constant = false;      // .nc
  bool whole_warp = false;    // each lane reads what all lanes receive
  const u8* fresh = nullptr;  // what is stored, kMostBytes per lane, where the race detector should know
};

/// Checks the addresses of lanes in a space (not generic) and returns the host addresses of their bytes. Throws Fault for memory that is
/// outside, freed, misaligned or read-only; informs the detectors, and counts.
Pointers reach(const Instruction& i, Warp& warp, Space space, const Addresses& addresses, u32 mask, const AccessKind& kind);

/// The space of a generic address; converts the address to one within that space.
Space space_of(u64* address);

/// Splits a generic access by space: f(space, addresses, mask) for each that occurs.
template <class F>
void by_space(const Instruction& i, const Addresses& addresses, u32 mask, F f) {
  if (i.space != Space::kGeneric) return f(i.space, addresses, mask);
  u64 windows = 0;
  for (u32 l = 0; l < kLanes; ++l) windows |= mask >> l & 1u ? addresses[l] & kWindowMask : 0;
  if (windows == 0) return f(Space::kGlobal, addresses, mask);
  Addresses inside = addresses;
  std::array<u32, 6> masks{};
  each_lane(mask, [&](u32 l) { masks[static_cast<size_t>(space_of(&inside[l]))] |= 1u << l; });
  for (size_t s = 0; s < masks.size(); ++s) {
    if (masks[s]) f(static_cast<Space>(s), inside, masks[s]);
  }
}

}  // namespace mirilla::ptx
