// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/warp.h"

#include <bit>
#include <type_traits>
#include <utility>

// How most instructions run: a loop over 32 lanes that the compiler turns into vector instructions. All lanes are computed and those in the
// mask are kept, so an operation must be defined for any operand.

namespace mirilla::ptx {

/// Copies the lanes of `fresh` in the mask into `kept`.
template <class T>
inline void keep(T* kept, const T* fresh, u32 mask) {
  if constexpr (sizeof(T) == 4 || sizeof(T) == 8) {
    using Bits = std::conditional_t<sizeof(T) == 4, u32, u64>;
    Bits* to = reinterpret_cast<Bits*>(kept);
    const Bits* from = reinterpret_cast<const Bits*>(fresh);
    for (u32 l = 0; l < kLanes; ++l) to[l] = (static_cast<Bits>(mask) >> l) & 1u ? from[l] : to[l];
  } else {
    each_lane(mask, [&](u32 l) { kept[l] = fresh[l]; });
  }
}

/// d = Operation::of(sources...), lane by lane. Places: d, sources.
template <class Operation, class D, class... S>
struct Lanewise {
  static void run(const Instruction& i, Warp& warp) { each(i, warp, std::index_sequence_for<S...>{}); }

 private:
  template <size_t... k>
  static void each(const Instruction& i, Warp& warp, std::index_sequence<k...>) {
    D* d = warp.at<D>(i.place[0]);
    loop(d, warp.mask, warp.at<const S>(i.place[k + 1])...);
  }
  static void loop(D* d, u32 mask, const S*... s) {
    alignas(64) D fresh[kLanes];
    for (u32 l = 0; l < kLanes; ++l) fresh[l] = Operation::of(s[l]...);
    if (mask == kAllLanes)
      std::memcpy(d, fresh, sizeof fresh);
    else
      keep(d, fresh, mask);
  }
};

/// One bit from each lane's byte, which is 0 or 1.
inline u32 gather_bits(const u8* bytes) {
  u32 bits = 0;
  for (u32 part = 0; part < 4; ++part) {
    u64 eight = 0;
    std::memcpy(&eight, bytes + 8 * part, 8);
    bits |= static_cast<u32>((eight * 0x0102040810204080ull) >> 56) << (8 * part);
  }
  return bits;
}

/// The results of a comparison, one bit per lane.
template <class Operation, class T>
inline u32 compare_lanes(const T* a, const T* b) {
  alignas(64) u8 result[kLanes];
  for (u32 l = 0; l < kLanes; ++l) result[l] = Operation::of(a[l], b[l]) ? 1 : 0;
  return gather_bits(result);
}

/// Writes one value per lane, in the lanes of the mask.
template <class T, class F>
inline void write_lanes(const Warp& warp, u32 place, F value) {
  T* d = warp.at<T>(place);
  each_lane(warp.mask, [&](u32 l) { d[l] = static_cast<T>(value(l)); });
}

}  // namespace mirilla::ptx
