// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <vector>

#include "nn/explain/explain_options.h"
#include "nn/explain/grad_cam.h"

/// Class activation maps: which places of a picture support the class at a layer. nn/explain/cam_formulas.h and nn/explain/cam_scores.h
/// have the formulas.
namespace mirilla::nn {

/// "gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "eigencam", "eigengradcam", "scorecam", "ablationcam".
std::span<const std::string> cam_methods();

/// The explanation of one picture.
struct CamExplanation {
  Target target;
  std::vector<double> logits;  // (classes)
  std::vector<CamMap> maps;    // one per layer, in the requested order; a single one if they are fused
};

/// Explains a batch of pictures at several layers from one forward and, for the methods that need it, one backward pass; scorecam and
/// ablationcam then run the network once for each channel, picture and layer.
///
///   pictures  (N,H,W,3) normalised, on the model's device
///   layers    names that Module::resolve understands; a module that runs several times counts with its last run
///   style     course: maps as the formula gives them; paper: max(map, 0)
///   fuse      mean or max: the layers' maps as one of the picture's size in [0,1] (fused_map)
///   smooth    each map becomes the mean of those, in [0,1] and of the picture's size, of six pictures: as it is and mirrored, times 0.9, 1
///             and 1.1 (of the normalised values).                                  [pytorch_grad_cam.BaseCAM, aug_smooth = True]
///
/// In evaluation mode (the mode is restored), from raw logits. No parameter's gradient is computed; frozen parameters and a NoGrad around
/// the call do not matter. A map without a positive value is all 0 in the style paper, never NaN. A map that shows nothing has a note that
/// says why, made from the values before style, fusing and smoothing. Waits for the device. Throws NotFinite where logits or a map are not
/// finite; UsageError for an unknown method, layer or class, for targets that do not fit the pictures, and for ablationcam inside a block;
/// Error for a layer without places.
std::vector<CamExplanation> cam(Module& model, const Tensor& pictures, const ExplainOptions& options = {});

}  // namespace mirilla::nn
