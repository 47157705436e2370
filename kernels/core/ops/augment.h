// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "kernels/core/operation.h"
#include "kernels/core/padded_pictures.h"

namespace mirilla {

inline constexpr int kAugmentParameters = 20;  // of one picture

namespace op {

/// Pictures to network input in one pass: affine + warp (bilinear, reflection), crop-resize (bilinear), lighting, normalisation. Both
/// samplings are evaluated together: an output pixel reads at most 16 source pixels and no intermediate picture is stored. fastai computes
/// coordinates in f32; ours may be more exact.
///                                                    [fastai.vision.augment: AffineCoordTfm, RandomResizedCropGPU, LightingTfm; Normalize]
///
/// `parameters` has one row per picture, in this order:
///   0..5    theta (2,3), row-major: output (x, y, 1) to input, coordinates in [-1,1]
///   6..13   homography h: (x,y) -> ((h0 x + h1 y + h2), (h3 x + h4 y + h5)) / (h6 x + h7 y + 1), applied to theta's coordinates
///   14..17  crop: left, top, width, height in whole pixels of the (H,W) picture; it lies inside the picture
///   18, 19  lighting: x' = sigmoid((logit(clamp(x, 1e-7, 1 - 1e-7)) + shift) contrast), shift and contrast; both ignored unless `lighting`
///
/// Where d = min(height / h, width / w) / 2 > 1, the crop is first averaged over the cells of an adaptive average pool to
/// (floor(height (1/d)), floor(width (1/d))), which is sampled; an output pixel then reads more.    [fastai.vision.augment._grid_sample]
/// The denominator h6 x + h7 y + 1 must not vanish on the picture. Along an extent of 1 the only coordinate is 0. A parameter 0..17 that is
/// not finite makes its picture NaN, where PyTorch's grid_sample reads an arbitrary pixel; so does a shift or contrast that is NaN, with
/// `lighting`.
///
/// With `places` the pictures may lie anywhere in one storage, so that pictures kept on the device and pictures just sent form one batch
/// without being copied together. It has one row per picture: the byte offset of its first pixel, and the bytes from one of its rows to the
/// next. Every picture is (H,W,3) and lies within `pictures`. The result has the same bits as for the same pictures stored one after the
/// other.
struct Augment {
  static constexpr std::string_view kName = "augment";
  using Forms = Operations<PaddedPictures>;
  ConstView pictures;     // (N,H,W,3) u8; with places (M,H,W,3), M any
  ConstView parameters;   // (N,20) f32
  ConstView places = {};  // (N,2) i64, or none: picture n is pictures[n]
  bool lighting = false;
  std::array<float, 3> mean{}, std{};
  View y;  // (N,h,w,3); or (N,h,w,4), with zeros in the fourth channel, aligned to a pixel
  static auto views(auto& call) { return std::tie(call.pictures, call.parameters, call.places, call.y); }
};

inline bool PaddedPictures::asked(const Augment& call) { return call.y.shape[3] != kPictureChannels; }

}  // namespace op

}  // namespace mirilla
