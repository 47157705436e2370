// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// The inputs of all contenders in a race, computed only from names and places: race_rule.py says how. Only the standard library, since the
/// LibTorch contender includes it too.
namespace mirilla::race {

/// FNV-1a.
constexpr uint32_t stream_of(std::string_view name) {
  uint32_t hashed = 0x811C9DC5u;
  for (const char c : name) hashed = (hashed ^ static_cast<unsigned char>(c)) * 0x01000193u;
  return hashed;
}

/// In [-1,1), a multiple of 2^-23.
constexpr double value(uint32_t stream, uint32_t i) {
  uint32_t x = i * 0x9E3779B9u + stream;
  x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
  x = (x ^ (x >> 13)) * 0xC2B2AE35u;
  x ^= x >> 16;
  return static_cast<double>(x >> 8) * 0x1p-23 - 1;
}

inline std::vector<float> values(std::string_view name, int64_t count, double factor) {
  const uint32_t stream = stream_of(name);
  std::vector<float> all(static_cast<size_t>(count));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<float>(value(stream, static_cast<uint32_t>(i)) * factor);
  return all;
}

/// A parameter's initial values, in PyTorch's layout: fan_in is 0 for parameters of one dimension.
inline std::vector<float> parameter(const std::string& name, int64_t count, int64_t fan_in) {
  if (fan_in > 0) return values(name, count, std::sqrt(6 / static_cast<double>(fan_in)));
  return std::vector<float>(static_cast<size_t>(count), name.ends_with("weight") ? 1.f : 0.f);
}

/// (N,H,W,3)
inline std::vector<float> pictures(int64_t n, int64_t size) { return values("pictures", n * size * size * 3, 1.7); }

inline std::vector<int64_t> labels(int64_t n) {
  std::vector<int64_t> all(static_cast<size_t>(n));
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int64_t>(i % 6);
  return all;
}

inline constexpr int kLosses = 5;  // how many of the first losses are compared
inline constexpr double kRate = 1e-4, kMomentum = 0.9, kScale = 64;

}  // namespace mirilla::race
