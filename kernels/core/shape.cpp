// SPDX-License-Identifier: MIT
#include "kernels/core/shape.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "kernels/core/error.h"

namespace mirilla {

Shape::Shape(std::span<const int64_t> extents) {
  if (extents.size() > kMaxRank)
    throw ShapeError(fmt::format("a shape has at most {} extents and ({}) has {}", kMaxRank, fmt::join(extents, ","), extents.size()));
  int64_t product = 1;
  for (const int64_t extent : extents) {
    if (extent < 0) throw ShapeError(fmt::format("an extent cannot be negative and ({}) has {}", fmt::join(extents, ","), extent));
    if (extent > 0 && product > std::numeric_limits<int64_t>::max() / extent)
      throw ShapeError(fmt::format("({}) has more elements than 63 bits count", fmt::join(extents, ",")));
    product *= std::max<int64_t>(extent, 1);  // a zero must not hide an overflow beside it
  }
  rank_ = static_cast<int>(extents.size());
  std::copy(extents.begin(), extents.end(), extents_.begin());
}

int64_t Shape::numel() const {
  int64_t n = 1;
  for (const int64_t extent : *this) n *= extent;
  return n;
}

int64_t Shape::operator[](int dimension) const {
  const int from_front = dimension < 0 ? dimension + rank_ : dimension;
  if (from_front < 0 || from_front >= rank_) throw ShapeError(fmt::format("{} has no dimension {}", to_string(*this), dimension));
  return extents_[static_cast<size_t>(from_front)];
}

std::string to_string(const Shape& shape) { return fmt::format("({})", fmt::join(shape.begin(), shape.end(), ",")); }

}  // namespace mirilla
