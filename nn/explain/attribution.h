// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/pictures/picture.h"
#include "nn/explain/explain_options.h"
#include "nn/modules/module.h"

/// Explanations pixel by pixel: the effect of each value of the picture on a target's score.
///
/// All take pictures (N,H,W,3), normalised, on the model's device, and targets as described in nn/explain/target.h; they run in evaluation
/// mode (the mode is restored), compute no parameter's gradient, work with frozen parameters and inside a NoGrad, and wait for the
/// device. All throw UsageError for targets that do not fit, and leave the network unchanged after an exception from `progress`.
namespace mirilla::nn {

/// The attribution of one picture.
struct Attribution {
  Target target;
  std::vector<double> logits;  // (classes) of the picture as it is
  int height = 0, width = 0;
  int channels = 0;           // 3 as in the picture's normalised values, or 1
  std::vector<float> values;  // (height, width, channels)
};

/// d score / d picture where each ReLU passes only positive gradients (GuidedRelu in engine/ops/relu.h): edges and textures that the class
/// depends on, sharp but only weakly specific to the class. One forward and one backward pass for all.
///                                          [Springenberg et al. 2015, "Striving for simplicity"; pytorch_grad_cam.GuidedBackpropReLUModel]
std::vector<Attribution> guided_backpropagation(Module& model, const Tensor& pictures, std::span<const Target> targets = {});

/// Guided backpropagation times the Grad-CAM map of `layer`, which is rectified, scaled to [0,1] and stretched over the picture: where the
/// evidence is, and what it is.
///                                                                                         [Selvaraju et al. 2017, "Grad-CAM", section 3.2]
std::vector<Attribution> guided_grad_cam(Module& model, const Tensor& pictures, const std::string& layer,
                                         std::span<const Target> targets = {});

struct IntegratedOptions {
  int64_t steps = 50;
  Tensor baseline = {};  // (1,H,W,3), or no tensor: zeros, a picture of the data set's mean colour
  BatchOptions batch = {};
};

/// (x - b) times the mean of d score / d picture between b and x: at the midpoints b + (i + 1/2) / steps (x - b).
/// Complete: the attributions of a picture sum to score(x) - score(b), up to the error of the sum, which falls with the number of steps.
/// [Sundararajan et al. 2017, "Axiomatic attribution for deep networks"]
std::vector<Attribution> integrated_gradients(Module& model, const Tensor& pictures, std::span<const Target> targets = {},
                                              const IntegratedOptions& options = {});

struct SmoothGradOptions {
  int64_t samples = 25;
  double level = 0.15;  // the noise's standard deviation, relative to the picture's largest value minus its smallest
  uint64_t seed = 42;
  BatchOptions batch = {};
};

/// The mean of d score / d picture over pictures with normal noise. Sample k of picture n takes normal_numbers of RandomKey{seed, kExplain,
/// .step = n, .item = k}, in the picture's order.                                                    [Smilkov et al. 2017, "SmoothGrad"]
std::vector<Attribution> smoothgrad(Module& model, const Tensor& pictures, std::span<const Target> targets = {},
                                    const SmoothGradOptions& options = {});

struct OcclusionOptions {
  int window = 0;   // pixels of a square's side; 0: a quarter of the picture's shorter one
  int stride = 0;   // pixels from one square to the next; 0: half a window
  double fill = 0;  // the normalised value that hides: 0 is the data set's mean colour
  BatchOptions batch = {};
};

/// score(x) - score(x with a square hidden), for squares every `stride` pixels, the last ones ending at the picture's edge; at each pixel
/// the mean over the squares that cover it, 0 where none does (a stride larger than the window): channels = 1. Throws UsageError for a
/// window that is larger than the picture, and for negative numbers. [Zeiler and Fergus 2014, "Visualizing and understanding convolutional
/// networks"]
std::vector<Attribution> occlusion(Module& model, const Tensor& pictures, std::span<const Target> targets = {},
                                   const OcclusionOptions& options = {});

/// For display: (values - mean) / std * 0.1 + 0.5 as colours, so grey means zero. Throws UsageError unless there are three channels.
/// [pytorch_grad_cam.utils.image.deprocess_image, without its epsilon, which would fade small gradients]
data::Picture signed_picture(const Attribution& attribution);

/// The size of each pixel's effect, without sign: sum over the channels of |value|, over its 99th percentile (the largest where that is 0)
/// and at most 1: (height, width). All zero where every value is. [Smilkov et al. 2017]
std::vector<float> magnitude(const Attribution& attribution);

}  // namespace mirilla::nn
