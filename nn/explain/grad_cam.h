// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/draw/figure.h"
#include "data/pictures/picture.h"
#include "nn/modules/module.h"

namespace mirilla::nn {

using data::CamStyle;

/// The map of one layer: which places support the class.
struct CamMap {
  std::string layer;
  int height = 0;
  int width = 0;
  std::vector<float> values;  // (height, width)
  std::string note;           // the reason, if the map shows nothing; else ""
};

struct GradCam {
  int target = 0;              // the explained class
  std::vector<double> logits;  // (classes)
  std::vector<CamMap> maps;    // one per layer, in the requested order
};

/// Grad-CAM of one picture at several layers from one forward and one backward pass: cam() (nn/explain/cam.h) for one picture and class.
///
///   w_c = mean over (h,w) of d logit[target] / d A[h,w,c];   map[h,w] = sum_c w_c A[h,w,c]
///
///   picture  (1,H,W,3) normalised, on the model's device
///   layers   names that Module::resolve understands; a module that runs several times counts with its last run
///   target   the class to explain, or empty for the likeliest
///
/// A map without a positive value is all zeros in the paper's style, and one of zeros is so in both; its note says what that means.
///
/// In evaluation mode (the mode is restored afterwards), from the raw logit. No parameter's gradient is computed; frozen parameters and
/// a NoGrad around the call have no effect. Waits for the device. Throws NotFinite where logits or a map are not finite, UsageError for
/// an unknown layer or class, Error for a layer without a spatial extent.
GradCam grad_cam(Module& model, const Tensor& picture, const std::vector<std::string>& layers, std::optional<int> target, CamStyle style);

/// What the formula gives at one layer, f32 also where the activation is a half.
struct GradCamLayer {
  Tensor weights;  // (N,C)
  Tensor maps;     // (N,h,w)
};

/// The formula alone, for a batch: activation and gradient (N,h,w,C). Does not wait.
GradCamLayer grad_cam_layer(const Tensor& activation, const Tensor& gradient);

/// What CamMap::note says of a map whose values go from `low` to `high` as the formula gave it, before its style: "" where there is
/// something to see.
std::string note_on(std::string_view layer, float low, float high, CamStyle style);

/// The map over the picture in the colours of its style: data::overlay.
data::Picture overlay(const data::Picture& picture, const CamMap& map, CamStyle style, const data::Colormap& colors = data::kMagma);

}  // namespace mirilla::nn
