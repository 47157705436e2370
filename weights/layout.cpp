// SPDX-License-Identifier: MIT
#include "weights/layout.h"

namespace mirilla::weights {
namespace {

/// Only the size of an element matters for moving it: calls f with an unsigned integer of that size.
template <class F>
void dispatch_size(size_t bytes, F&& f) {
  switch (bytes) {
    case 1: return f.template operator()<uint8_t>();
    case 2: return f.template operator()<uint16_t>();
    case 4: return f.template operator()<uint32_t>();
    default: return f.template operator()<uint64_t>();
  }
}

/// An array of another shape whose elements `permute` moves from a source span to a target span.
template <class F>
Array permuted(const Array& source, const Shape& shape, F&& permute) {
  const auto data = allocate_bytes(source.size_bytes());
  const auto count = static_cast<size_t>(source.numel());
  dispatch_size(size_of(source.dtype()), [&]<class T>() {
    permute(std::span<const T>(reinterpret_cast<const T*>(source.bytes().data()), count),
            std::span<T>(reinterpret_cast<T*>(data.get()), count));
  });
  return {source.dtype(), shape, data};
}

/// The linear layer's weights as a convolution that covers the whole picture: the permutation is the same.
Shape as_convolution(const Array& weights, int64_t channels, int64_t height, int64_t width, bool channels_last) {
  const Shape& shape = weights.shape();
  if (shape.rank() != 2 || shape[1] != Shape{channels, height, width}.numel()) {
    throw ShapeError(fmt::format("a linear layer after a flatten of {} pictures: expected weights (out,{}), got {}",
                                 to_string(Shape{channels, height, width}), Shape{channels, height, width}.numel(), to_string(shape)));
  }
  return channels_last ? Shape{shape[0], height, width, channels} : Shape{shape[0], channels, height, width};
}

}  // namespace

detail::ConvExtents detail::conv_extents(const Shape& shape, int channel_dimension, size_t source_size, size_t target_size) {
  if (shape.rank() != 4)
    throw ShapeError(fmt::format("convolution weights: expected four dimensions, but {} has {}", to_string(shape), shape.rank()));
  const auto elements = static_cast<size_t>(shape.numel());
  if (source_size != elements || target_size != elements) {
    throw ShapeError(fmt::format("weights {} are {} elements; the source has {} and the target {}", to_string(shape), elements, source_size,
                                 target_size));
  }
  const auto extent = [&](int dimension) { return static_cast<size_t>(shape[dimension]); };
  const size_t taps = channel_dimension == 1 ? extent(2) * extent(3) : extent(1) * extent(2);
  return {extent(0), extent(channel_dimension), taps};
}

Shape oihw_to_krsc(const Shape& oihw) { return oihw.rank() == 4 ? Shape{oihw[0], oihw[2], oihw[3], oihw[1]} : oihw; }

Shape krsc_to_oihw(const Shape& krsc) { return krsc.rank() == 4 ? Shape{krsc[0], krsc[3], krsc[1], krsc[2]} : krsc; }

Array oihw_to_krsc(const Array& oihw) {
  if (oihw.shape().rank() != 4) return oihw;
  return permuted(oihw, oihw_to_krsc(oihw.shape()),
                  [&]<class T>(std::span<const T> source, std::span<T> target) { oihw_to_krsc(source, target, oihw.shape()); });
}

Array krsc_to_oihw(const Array& krsc) {
  if (krsc.shape().rank() != 4) return krsc;
  return permuted(krsc, krsc_to_oihw(krsc.shape()),
                  [&]<class T>(std::span<const T> source, std::span<T> target) { krsc_to_oihw(source, target, krsc.shape()); });
}

Array permute_linear_after_flatten(const Array& weights, int64_t channels, int64_t height, int64_t width) {
  const Shape shape = as_convolution(weights, channels, height, width, false);
  return permuted(weights, weights.shape(),
                  [&]<class T>(std::span<const T> source, std::span<T> target) { oihw_to_krsc(source, target, shape); });
}

Array unpermute_linear_after_flatten(const Array& weights, int64_t channels, int64_t height, int64_t width) {
  const Shape shape = as_convolution(weights, channels, height, width, true);
  return permuted(weights, weights.shape(),
                  [&]<class T>(std::span<const T> source, std::span<T> target) { krsc_to_oihw(source, target, shape); });
}

}  // namespace mirilla::weights
