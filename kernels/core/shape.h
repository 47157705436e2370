// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace mirilla {

/// The extents of a dense tensor, outermost first: (N,H,W,C) for pictures, (K,R,S,C) for convolution weights. At most six; an extent may be
/// zero; the empty shape () is a scalar with one element.
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) : Shape(std::span<const int64_t>(extents.begin(), extents.size())) {}
  /// Throws ShapeError for more than six extents, a negative one, or a product that does not fit 63 bits.
  explicit Shape(std::span<const int64_t> extents);

  int rank() const { return rank_; }
  int64_t numel() const;
  /// From the front, or from the back for a negative one: shape[-1] is the innermost. Throws ShapeError outside the rank.
  int64_t operator[](int dimension) const;
  const int64_t* begin() const { return extents_.data(); }
  const int64_t* end() const { return extents_.data() + rank_; }

  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

/// "(8,32,32,3)"
std::string to_string(const Shape& shape);

}  // namespace mirilla
