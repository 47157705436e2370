// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/parts/divider.h"
#include "kernels/cuda/parts/tile_operands.h"

/// A convolution as a product of matrices (tile.h) whose operand of pixels is never stored: its chunks are gathered from the pictures.
namespace mirilla::MIRILLA_PLATFORM {

/// The matrix whose element (pixel, tap) is
///
///   pictures(n, origin_h + i stride + r step_h, origin_w + j stride + s step_w, c)      pixel = (n, i, j), tap = (r, s, c)
///
/// and zero where that lies outside the picture. For a forward pass the pictures are x, the pixels those of y, the taps those of the
/// weights; for the other two passes see their files. kPixelsAlongK: whether the sum runs over pixels. Chunks always run along the taps,
/// whose c are contiguous; of a padded picture's channels the last are not read. kWide: load whole chunks, which never leave a tap where
/// chunks_fit(pictures, channels); else element by element.
template <class T, bool kPixelsAlongK, bool kWide>
struct Gather {
  using Element = T;
  static constexpr bool kAlongK = !kPixelsAlongK;
  static constexpr int kOutside = -(1 << 30);  // the sum of two still fits an int

  const T* pictures;
  int height, width;
  Divider channels;
  int pitch;  // elements from pixel to pixel: the channels, or more where pictures are padded, which chunks then do not fit
  int64_t pixels;
  Divider grid_h, grid_w;  // i < grid_h, j < grid_w
  int taps_h;
  Divider taps_w;
  int origin_h, origin_w, stride, step_h, step_w;

  struct Pixel {
    int64_t picture;  // offset of its first element
    int h, w;
  };
  struct Tap {
    int r, s, c;
  };
  using Row = std::conditional_t<kPixelsAlongK, Tap, Pixel>;
  using Depth = std::conditional_t<kPixelsAlongK, Pixel, Tap>;

  __device__ __forceinline__ Row row(int64_t index) const {
    if constexpr (kPixelsAlongK)
      return tap(index);
    else
      return pixel(index);
  }
  __device__ __forceinline__ Depth depth(int k) const {
    if constexpr (kPixelsAlongK)
      return pixel(k);
    else
      return tap(k);
  }
  __device__ __forceinline__ Pack<T> load(const Row& row, const Depth& depth) const {
    if constexpr (kPixelsAlongK)
      return chunk(depth, row);
    else
      return chunk(row, depth);
  }

 private:
  __device__ __forceinline__ int from_pixel_to_pixel() const { return kWide ? channels.value : pitch; }

  __device__ __forceinline__ Pixel pixel(int64_t index) const {
    if (index >= pixels) return {0, kOutside, kOutside};
    const auto [row, j] = grid_w.divide(static_cast<unsigned>(index));
    const auto [n, i] = grid_h.divide(row);
    return {static_cast<int64_t>(n) * height * width * from_pixel_to_pixel(), origin_h + static_cast<int>(i) * stride,
            origin_w + static_cast<int>(j) * stride};
  }

  __device__ __forceinline__ Tap tap(int64_t index) const {
    const auto [rs, c] = channels.divide(static_cast<unsigned>(index));
    const auto [r, s] = taps_w.divide(rs);
    return {static_cast<int>(r), static_cast<int>(s), static_cast<int>(c)};
  }

  __device__ __forceinline__ const T* address(const Pixel& at, const Tap& tap) const {  // null outside
    const int h = at.h + tap.r * step_h, w = at.w + tap.s * step_w;
    const bool inside = tap.r < taps_h && static_cast<unsigned>(h) < static_cast<unsigned>(height) &&
                        static_cast<unsigned>(w) < static_cast<unsigned>(width);
    return inside ? pictures + at.picture + (static_cast<int64_t>(h) * width + w) * from_pixel_to_pixel() + tap.c : nullptr;
  }

  __device__ __forceinline__ Pack<T> chunk(const Pixel& at, Tap tap) const {
    Pack<T> values{};
    if constexpr (kWide) {
      const T* const from = address(at, tap);
      if (from != nullptr) values = mirilla::MIRILLA_PLATFORM::load<Pack<T>>(from);
    } else {
#pragma unroll
      for (int i = 0; i < kChunk<T>; ++i) {
        const T* const from = address(at, tap);
        if (from != nullptr) values[i] = *from;
        if (++tap.c < channels.value) continue;
        tap.c = 0;
        if (++tap.s < taps_w.value) continue;
        tap.s = 0;
        ++tap.r;
      }
    }
    return values;
  }
};

/// The sizes of one convolution, x (n,h,w,c), weights (k,r,s,c), y (n,p,q,k), each small enough for an int, and n h w and n p q too; pitch
/// is the number of x's channels, which is more than c where pictures are padded.
struct ConvSizes {
  int n, h, w, c, pitch;
  int k, r, s;
  int p, q;
  int pixels_out() const { return n * p * q; }
  int taps() const { return r * s * c; }
};

/// Throws DeviceError, naming the operation, where a size does not fit an int.
ConvSizes conv_sizes(std::string_view operation, const Shape& x, const Shape& weights, const Shape& y);

/// x as seen from the pixels of y.
template <class T, bool kPixelsAlongK, bool kWide>
Gather<T, kPixelsAlongK, kWide> gather_from(const T* x, const ConvSizes& z, const Conv2dSpec& spec) {
  return {.pictures = x,
          .height = z.h,
          .width = z.w,
          .channels = Divider(z.c),
          .pitch = z.pitch,
          .pixels = z.pixels_out(),
          .grid_h = Divider(z.p),
          .grid_w = Divider(z.q),
          .taps_h = z.r,
          .taps_w = Divider(z.s),
          .origin_h = -spec.padding,
          .origin_w = -spec.padding,
          .stride = spec.stride,
          .step_h = spec.dilation,
          .step_w = spec.dilation};
}

}  // namespace mirilla::MIRILLA_PLATFORM
