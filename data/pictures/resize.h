// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "data/pictures/picture.h"

namespace mirilla::data {

/// A rectangle of whole pixels in a picture.
struct Box {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  bool operator==(const Box&) const = default;
};

/// `Image.crop(box).resize((width, height), BILINEAR)` of Pillow, bit for bit, without the copy: a triangle filter whose support grows with
/// the scale (antialiased), coefficients in units of 2^-22, horizontal pass first, 8 bits between the passes; equal size is a copy.
///
///   out  (height, width, 3), width * height * 3 bytes
///
/// Throws ShapeError for a box that is empty or reaches outside the picture, a width or height below 1, or an `out` of another size.
void resize_bilinear(const Picture& picture, const Box& box, int width, int height, std::span<uint8_t> out);
Picture resize_bilinear(const Picture& picture, const Box& box, int width, int height);

/// The square that fastai's Resize(size) (method crop) cuts out: side int(min(w,h) / size * size) in double, which is min(w,h) or one less,
/// at x = int(pct_x * (w - side)), y = int(pct_y * (h - side)); pct in [0,1], .5 in validation. At least one pixel.
Box resize_crop_box(int picture_width, int picture_height, int size, double pct_x, double pct_y);

/// Whether that square is the same for all pct in [0,1): then the resized picture can be cached.
bool resize_crop_is_fixed(int picture_width, int picture_height, int size);

/// fastai's Resize(size): crop, then resize to (size, size).   [fastai.vision.augment.Resize]
void resize_crop(const Picture& picture, int size, double pct_x, double pct_y, std::span<uint8_t> out);
Picture resize_crop(const Picture& picture, int size, double pct_x, double pct_y);

/// The two draws of one picture in one epoch, U[0,1) each: RandomKey{seed, kCrop, epoch, item}, x first.
struct CropDraw {
  double x = 0.5;
  double y = 0.5;
};
CropDraw crop_draw(uint64_t seed, int64_t epoch, int64_t item);

}  // namespace mirilla::data
