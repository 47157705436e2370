// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "data/pictures/resize.h"
#include "kernels/core/backend.h"

namespace mirilla::data {

/// Mean and standard deviation of ImageNet's pictures, red, green, blue, in [0,1].          [fastai.vision.core.imagenet_stats]
inline constexpr std::array<float, 3> kImageNetMean{0.485f, 0.456f, 0.406f};
inline constexpr std::array<float, 3> kImageNetStd{0.229f, 0.224f, 0.225f};

/// What may be drawn for a training batch; the defaults are aug_transforms(size=128, min_scale=0.75).
/// [fastai.vision.augment.aug_transforms]
struct AugmentSpec {
  int size = 128;  // the network's input is (size, size)
  double p_flip = 0.5;
  double p_affine = 0.75;  // for the rotation, the zoom and each direction of the warp, independently
  double max_rotate = 10;  // degrees
  double min_zoom = 1;
  double max_zoom = 1.1;
  double max_warp = 0.2;     // below 1/3, so that the horizon stays outside the picture
  double p_lighting = 0.75;  // for the brightness and the contrast, independently
  double max_lighting = 0.2;
  double min_scale = 0.75;  // smallest area of the batch's crop, as a share of the picture's; at 1 this still samples twice, fastai once
  bool operator==(const AugmentSpec&) const = default;
};

/// The changes to one picture; the defaults change nothing.
struct PictureDraw {
  bool flip = false;
  double degrees = 0;             // clockwise is positive                                               [fastai: Rotate]
  double zoom = 1;                // 1.1 shows 1/1.1 of each side
  double zoom_x = 0.5;            // which part is shown, 0 left .. 1 right; used only where zoom is not 1    [fastai: draw_x]
  double zoom_y = 0.5;            // 0 top .. 1 bottom
  double warp_x = 0, warp_y = 0;  // perspective                                                          [fastai: Warp's draw_x, draw_y]
  double brightness = 0.5;        // in (0,1), 0.5 changes nothing                                        [fastai: Brightness]
  double contrast = 1;            //                                                                      [fastai: Contrast]
  bool operator==(const PictureDraw&) const = default;
};

/// One row of Augment::parameters.
using AugmentRow = std::array<float, kAugmentParameters>;

/// Draws for one picture, from RandomKey{seed, Purpose::kAugment, step, item}. Each amount is uniform between its ends (contrast:
/// uniform in the logarithm) and kept with its probability, otherwise neutral:
///
///   index  0 flip; 1, 2 keep and angle; 3, 4, 5, 6 keep, zoom, zoom_x, zoom_y; 7, 8 and 9, 10 keep and warp_x, warp_y;
///          11, 12 keep and brightness; 13, 14 keep and contrast
///
/// Every number has its own index, so that no draw changes another.
/// [fastai.vision.augment: flip_mat, rotate_mat, zoom_mat, _WarpCoord, _BrightnessLogit, _ContrastLogit]
PictureDraw draw_picture(const AugmentSpec& spec, uint64_t seed, uint32_t step, uint32_t item);

/// The crop that a whole batch shares, from the item key kBatchItem: up to ten times area = U(min_scale, 1) width height and
/// side = round(sqrt(area)), until the square fits; then its top-left pixel, uniform. If none fits: full_crop.
/// [fastai.vision.augment.RandomResizedCropGPU with ratio (1,1)]
Box draw_crop(const AugmentSpec& spec, uint64_t seed, uint32_t step, int height, int width);
inline constexpr uint32_t kBatchItem = 0xffffffffu;

/// The crop for validation: the largest central square, which is the full picture for the square pictures from Resize.
/// [fastai.vision.augment.RandomResizedCropGPU with valid_scale 1]
Box full_crop(int height, int width);

/// h of p2 -> p1, that is (h0 x + h1 y + h2, h3 x + h4 y + h5) / (h6 x + h7 y + 1) takes each point (x,y) of p2 to its partner in p1.
/// Throws Error where no such map exists (three points of p2 on one line). [fastai.vision.augment.find_coeffs]
using Points = std::array<std::array<double, 2>, 4>;
std::array<double, 8> find_homography(const Points& p1, const Points& p2);

/// The row of parameters for one picture's draw. theta =  flip * rotate * zoom, then theta01 *= height / width and theta10 *= width /
/// height; the homography takes (-1-y,-1-x), (-1+y,1+x), (1+y,-1+x), (1-y,1-x) to (-1,-1), (-1,1), (1,-1), (1,1), with x, y the warp;
/// shift = logit(brightness). Throws ShapeError for a crop outside the picture, Error for a warp whose horizon enters it.
/// [fastai.vision.augment: AffineCoordTfm, Flip, Rotate, Zoom, Warp, Brightness, Contrast]
AugmentRow compose(const PictureDraw& draw, const Box& crop, int height, int width);

/// The parameters of a training batch of (height, width) pictures, items.size() rows of kAugmentParameters: one draw_picture each, one
/// draw_crop for all. items[i] names the i-th picture in the random numbers: its place in the batch, or in the data set; 0 <=
/// items[i] < kBatchItem. The same arguments give the same bits, for any thread and any number of threads. Throws Error for a spec
/// that is not valid.
std::vector<float> draw_parameters(const AugmentSpec& spec, uint64_t seed, uint32_t step, std::span<const int64_t> items, int height,
                                   int width);
/// The same with items 0, 1, ... n-1.
std::vector<float> draw_parameters(const AugmentSpec& spec, uint64_t seed, uint32_t step, int n, int height, int width);

/// The parameters of n validation pictures: full_crop, and nothing else changed.
std::vector<float> validation_parameters(int n, int height, int width);

}  // namespace mirilla::data
