// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "data/draw/canvas.h"
#include "kernels/core/philox.h"

/// Random numbers and textures for scenes.
namespace mirilla::data::scenes {

/// The purpose of a draw. Each has its own random numbers, so that one more bush does not move a window.
enum class Stream : uint32_t { kStage, kSky, kGround, kClutter, kBox, kLight, kGrain, kExhibit, kTexture };

class Random {
 public:
  Random(const RandomKey& key, Stream stream) : key_(key), next_(static_cast<uint32_t>(stream) << 20) {}

  uint32_t bits() { return key_.bits(next_++); }
  float unit() { return to_unit(bits()); }                                    // [0, 1)
  float range(float low, float high) { return low + (high - low) * unit(); }  // [low, high)
  int integer(int low, int high) {                                            // low .. high
    return low + static_cast<int>(uint64_t{bits()} * static_cast<uint64_t>(high - low + 1) >> 32);
  }
  bool chance(float p) { return unit() < p; }
  template <class T, size_t n>
  const T& pick(const std::array<T, n>& from) {
    return from[static_cast<size_t>(integer(0, static_cast<int>(n) - 1))];
  }

 private:
  RandomKey key_;
  uint32_t next_;
};

/// Value noise on a lattice of 32 x 32 that repeats, smoothed between its points.
class Noise {
 public:
  explicit Noise(Random& random) {
    for (float& v : lattice_) v = random.unit();
  }

  float at(float x, float y) const {  // 0 to 1
    const float fx = std::floor(x), fy = std::floor(y);
    const int ix = static_cast<int>(fx), iy = static_cast<int>(fy);
    const float tx = smooth(x - fx), ty = smooth(y - fy);
    const float top = corner(ix, iy) + (corner(ix + 1, iy) - corner(ix, iy)) * tx;
    const float low = corner(ix, iy + 1) + (corner(ix + 1, iy + 1) - corner(ix, iy + 1)) * tx;
    return top + (low - top) * ty;
  }

  /// Octaves at twice the frequency and half the weight of the previous one; 0 to 1.
  float fractal(float x, float y, int octaves) const {
    float sum = 0, weight = 0.5f, total = 0;
    for (int i = 0; i < octaves; ++i) {
      sum += weight * at(x, y);
      total += weight;
      x = x * 2 + 5.3f;
      y = y * 2 + 9.7f;
      weight *= 0.5f;
    }
    return sum / total;
  }

 private:
  static constexpr int kSide = 32;
  static float smooth(float t) { return t * t * (3 - 2 * t); }
  float corner(int x, int y) const { return lattice_[static_cast<size_t>((y & (kSide - 1)) * kSide + (x & (kSide - 1)))]; }

  std::array<float, static_cast<size_t>(kSide) * kSide> lattice_;
};

/// Clamped to [0, 1].
inline float saturate(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

/// A sine's shape with period 1 out of two parabolas, -1 to 1: a wave that has the same bits everywhere.
inline float wave(float t) {
  t -= std::floor(t);
  return t < 0.5f ? 16 * t * (0.5f - t) : -16 * (t - 0.5f) * (1 - t);
}

}  // namespace mirilla::data::scenes
