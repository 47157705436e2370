// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "weights/state_dict.h"

namespace mirilla::weights {

namespace detail {
struct ConvExtents {
  size_t out, in, taps;  // taps = h * w; both layouts keep them in the same order
};
/// Throws ShapeError unless the shape has four extents and both buffers hold exactly that many elements.
ConvExtents conv_extents(const Shape& shape, int channel_dimension, size_t source_size, size_t target_size);
}  // namespace detail

/// PyTorch stores convolution weights as OIHW, the engine as KRSC: (out, h, w, in). Files are always OIHW. These are the two permutations
/// of a shape; a shape of another rank is returned unchanged, since only convolutions have four dimensions here.
Shape oihw_to_krsc(const Shape& oihw);
Shape krsc_to_oihw(const Shape& krsc);

/// target[o][h][w][i] = source[o][i][h][w]; both hold O*I*H*W elements. Throws ShapeError where they do not.
template <class T>
void oihw_to_krsc(std::span<const T> source, std::span<T> target, const Shape& oihw) {
  const auto [out, in, taps] = detail::conv_extents(oihw, 1, source.size(), target.size());
  for (size_t o = 0; o < out; ++o)
    for (size_t i = 0; i < in; ++i)
      for (size_t t = 0; t < taps; ++t) target[(o * taps + t) * in + i] = source[(o * in + i) * taps + t];
}

/// target[o][i][h][w] = source[o][h][w][i].
template <class T>
void krsc_to_oihw(std::span<const T> source, std::span<T> target, const Shape& krsc) {
  const auto [out, in, taps] = detail::conv_extents(krsc, 3, source.size(), target.size());
  for (size_t o = 0; o < out; ++o)
    for (size_t i = 0; i < in; ++i)
      for (size_t t = 0; t < taps; ++t) target[(o * in + i) * taps + t] = source[(o * taps + t) * in + i];
}

/// The same for a file's array, whose shape is permuted with it; one of another rank is returned unchanged and shares its bytes.
Array oihw_to_krsc(const Array& oihw);
Array krsc_to_oihw(const Array& krsc);

/// A linear layer behind a flatten of (C,H,W) pictures gets its inputs in another order when pictures are (H,W,C).
///   target[o][(h*W + w)*C + c] = source[o][(c*H + h)*W + w]        source (out, C*H*W) as PyTorch, target (out, H*W*C) as the engine
/// For 1x1 pictures it is a copy. Throws ShapeError where the second extent is not C*H*W.
Array permute_linear_after_flatten(const Array& weights, int64_t channels, int64_t height, int64_t width);
/// The inverse, for writing.
Array unpermute_linear_after_flatten(const Array& weights, int64_t channels, int64_t height, int64_t width);

}  // namespace mirilla::weights
