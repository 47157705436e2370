// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

namespace mirilla {

/// Philox 4x32-10: ten rounds that turn a 128-bit counter and a 64-bit key into four independent 32-bit words. There is no state: the same
/// counter and key give the same words on every device, in any order.   [Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
/// SC11]
constexpr std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

/// The purpose of a random number. Part of the key, so that two purposes never share a stream.
enum class Purpose : uint32_t {
  kInit = 1,
  kShuffle = 2,
  kCrop = 3,
  kAugment = 4,
  kDropout = 5,
  kScene = 6,
  kTest = 7,
  kPointing = 8,
  kExplain = 9
};

/// The position of one draw in the random numbers: (seed, purpose, step, item) and the draw's index within the item.
///
///   key     = seed (64 bits)
///   counter = (index / 4, item, step, purpose), 32 bits each; the draw is word index % 4 of the result
struct RandomKey {
  uint64_t seed = 0;
  Purpose purpose = Purpose::kTest;
  uint32_t step = 0;
  uint32_t item = 0;

  constexpr std::array<uint32_t, 4> block(uint32_t index) const {
    return philox4x32({index, item, step, static_cast<uint32_t>(purpose)},
                      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  }
  constexpr uint32_t bits(uint32_t index) const { return block(index / 4)[index % 4]; }
};

/// 32 bits to [0,1): the upper 24, so that f32 holds each value exactly and 1 is never reached.
constexpr float to_unit(uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

}  // namespace mirilla
