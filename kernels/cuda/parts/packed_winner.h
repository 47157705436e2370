// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "kernels/cuda/parts/vector.h"

/// The winners of N neighbouring channels at once, without a branch: the same order as winner.h's for pools (a NaN wins, of several the
/// last; of equals the first, so that a -0 before a 0 stays). Values stay as they were read, in whole registers: two halves in each, or
/// one f32, and places lie as they do. One instruction then compares, and one selects, two halves.
namespace mirilla::MIRILLA_PLATFORM {

namespace detail {

/// Where bits of the mask are set those of a, else of b.
__device__ __forceinline__ uint32_t choose(uint32_t mask, uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  uint32_t chosen;  // nvcc makes three or four instructions of the expression below
  asm("lop3.b32 %0, %1, %2, %3, 0xCA;" : "=r"(chosen) : "r"(mask), "r"(a), "r"(b));
  return chosen;
#else
  return (a & mask) | (b & ~mask);
#endif
}
__device__ __forceinline__ uint32_t choose(bool first, uint32_t a, uint32_t b) { return first ? a : b; }

/// The bytes of a (0 to 3) and b (4 to 7) that the digits of `selector` name, the lowest first.
__device__ __forceinline__ uint32_t bytes_of(uint32_t a, uint32_t b, uint32_t selector) {
#ifdef __CUDACC__
  return __byte_perm(a, b, selector);
#else
  uint32_t bytes = 0;
  for (uint32_t i = 0; i < 4; ++i) bytes |= static_cast<uint32_t>((uint64_t{b} << 32 | a) >> (selector >> 4 * i & 7) * 8 & 0xff) << 8 * i;
  return bytes;
#endif
}

/// Whether the later value wins over the earlier: it is larger, or NaN. As the minimum of itself and infinity the earlier value is never
/// NaN, so that one comparison remains.
__device__ __forceinline__ bool wins(float later, float earlier) {
  return !(later <= fminf(earlier, std::numeric_limits<float>::infinity()));
}

/// The same for the value or values in a word, as choose() takes it.
template <class T>
__device__ __forceinline__ auto wins_in_word(uint32_t later, uint32_t earlier) {
  if constexpr (sizeof(T) == 4) {
    return wins(std::bit_cast<float>(later), std::bit_cast<float>(earlier));
  } else {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    constexpr bool kComparesPairs = true;
#elif defined(__CUDA_ARCH__)
    constexpr bool kComparesPairs = std::is_same_v<T, Half>;
#else
    constexpr bool kComparesPairs = false;
#endif
    if constexpr (kComparesPairs) {
#ifdef __CUDACC__
      uint32_t mask;
      if constexpr (std::is_same_v<T, Half>)
        asm("{ .reg .b32 t; min.f16x2 t, %2, %3; set.gtu.u32.f16x2 %0, %1, t; }" : "=r"(mask) : "r"(later), "r"(earlier), "r"(0x7c007c00));
      else
        asm("{ .reg .b32 t; min.bf16x2 t, %2, %3; set.gtu.u32.bf16x2 %0, %1, t; }"
            : "=r"(mask)
            : "r"(later), "r"(earlier), "r"(0x7f807f80));
      return mask;
#endif
    } else {
      const auto in_half = [&](int shift) {
        const auto value = [&](uint32_t word) { return widen(T::from_bits(static_cast<uint16_t>(word >> shift))); };
        return wins(value(later), value(earlier)) ? 0xffffu << shift : 0u;
      };
      return in_half(0) | in_half(16);
    }
  }
}

}  // namespace detail

template <class T, int N, bool kPlaces>
struct PackedWinner {
  static constexpr int kPerWord = 4 / sizeof(T), kWords = (N + kPerWord - 1) / kPerWord;
  static constexpr uint32_t kEach = kPerWord == 2 ? 0x10001 : 1;  // times a place: that place in each lane of a word
  uint32_t values[kWords];
  uint32_t places[kPlaces ? kWords : 1];

  /// Values that were computed, at a place below 256.
  static __device__ __forceinline__ PackedWinner of(const Vector<float, N>& wide, int place) {
    PackedWinner winner;
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      winner.values[w] = bits_of(wide[w * kPerWord]);
      if constexpr (kPerWord == 2 && N > 1) winner.values[w] |= bits_of(wide[w * kPerWord + 1]) << 16;
    }
#pragma unroll
    for (uint32_t& word : winner.places) word = static_cast<uint32_t>(place) * kEach;
    return winner;
  }

  /// The values at an address that is aligned to all N, at a place below 256.
  static __device__ __forceinline__ PackedWinner of(const T* address, int place) {
    PackedWinner winner;
    if constexpr (N == 1) {
      if constexpr (sizeof(T) == 2)
        winner.values[0] = std::bit_cast<uint16_t>(*address);
      else
        winner.values[0] = std::bit_cast<uint32_t>(*address);
    } else {
      const auto words = load<Vector<uint32_t, kWords>>(reinterpret_cast<const uint32_t*>(address));
#pragma unroll
      for (int w = 0; w < kWords; ++w) winner.values[w] = words[w];
    }
#pragma unroll
    for (uint32_t& word : winner.places) word = static_cast<uint32_t>(place) * kEach;
    return winner;
  }

  /// Meets another whose places are not before this one's, after they were moved by `shift`. Meeting the same value at the same place again
  /// changes nothing.
  __device__ __forceinline__ void meet(const PackedWinner& later, int shift = 0) {
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
      const auto wins = detail::wins_in_word<T>(later.values[w], values[w]);
      values[w] = detail::choose(wins, later.values[w], values[w]);
      if constexpr (kPlaces) places[w] = detail::choose(wins, later.places[w] + static_cast<uint32_t>(shift) * kEach, places[w]);
    }
  }

  /// Sets the places of values that are not above 0 to this one.
  __device__ __forceinline__ void replace_places_of_zeros(int place) {
    if constexpr (kPlaces)
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        uint32_t keeps = 0;  // the bits of each lane whose value is above 0, or NaN
#pragma unroll
        for (int lane = 0; lane < kPerWord; ++lane)
          if (!(widen(value_of(values[w] >> 16 * lane)) <= 0)) keeps |= (kPerWord == 2 ? 0xffffu : ~0u) << 16 * lane;
        places[w] = detail::choose(keeps, places[w], static_cast<uint32_t>(place) * kEach);
      }
  }

  __device__ __forceinline__ void move_places(int shift) {
#pragma unroll
    for (uint32_t& word : places) word += static_cast<uint32_t>(shift) * kEach;
  }

  /// Writes N values to y and N bytes to index.
  __device__ __forceinline__ void store_to(T* y, uint8_t* index) const {
    if constexpr (N == 1) {
      *y = value_of(values[0]);
      if constexpr (kPlaces) *index = static_cast<uint8_t>(places[0]);
    } else {
      Vector<uint32_t, kWords> words;
#pragma unroll
      for (int w = 0; w < kWords; ++w) words[w] = values[w];
      store(reinterpret_cast<uint32_t*>(y), words);
      if constexpr (kPlaces) {
        constexpr int kWordsPerWord = 4 / kPerWord;  // of places, in a word of bytes
        Vector<uint32_t, N / 4> bytes;
#pragma unroll
        for (int b = 0; b < N / 4; ++b) bytes[b] = bytes_of(places + b * kWordsPerWord);
        store(reinterpret_cast<uint32_t*>(index), bytes);
      }
    }
  }

 private:
  static __device__ __forceinline__ T value_of(uint32_t word) {
    if constexpr (sizeof(T) == 2)
      return T::from_bits(static_cast<uint16_t>(word));
    else
      return std::bit_cast<float>(word);
  }
  static __device__ __forceinline__ uint32_t bits_of(float wide) {
    if constexpr (sizeof(T) == 2)
      return std::bit_cast<uint16_t>(narrow<T>(wide));
    else
      return std::bit_cast<uint32_t>(wide);
  }
  /// Four places as bytes.
  static __device__ __forceinline__ uint32_t bytes_of(const uint32_t* words) {
    if constexpr (kPerWord == 2) return detail::bytes_of(words[0], words[1], 0x6420);
    return detail::bytes_of(detail::bytes_of(words[0], words[1], 0x0040), detail::bytes_of(words[2], words[3], 0x0040), 0x5410);
  }
};

}  // namespace mirilla::MIRILLA_PLATFORM
