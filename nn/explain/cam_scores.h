// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "nn/explain/explain_options.h"
#include "nn/explain/run_after.h"

/// The two class activation maps that ask the network again instead of taking a gradient: their weights are measured, a forward pass a
/// channel, in batches.
namespace mirilla::nn {

/// w = softmax over c of s(picture * mask_c): how much the target's score is when the picture is seen through channel c alone.
///
///   mask_c = (U - min U) / (max U - min U + 1e-8),  U = A[.,.,c] stretched bilinearly to the picture, corners on corners
///
///   picture     (1,H,W,3) normalised; the mask multiplies the normalised values, so what it hides has the data set's mean colour
///   activation  (1,h,w,C) of the layer for this picture
///
/// (C). The network is in evaluation mode; waits for the device. Throws NotFinite.   [Wang et al. 2020, "Score-CAM";
/// pytorch_grad_cam.ScoreCAM]
std::vector<double> score_weights(Module& model, const Tensor& picture, const Tensor& activation, const Target& target,
                                  const BatchOptions& options = {});

/// w_c = (s - s without c) / s: by which share the target's score s falls when channel c of the layer is zeroed.
///
///   layer       as Module::resolve gives it, and where run_after can go on: what comes before is not computed again
///   activation  (1,h,w,C) of the layer for this picture
///
/// (C). Where s is negative all signs turn, as in the paper's formula; where it is 0 the fall itself counts. The network is in evaluation
/// mode; waits for the device. The package subtracts 1e7 where a layer's smallest value is not 0, against the paper; here it is 0 always.
/// Behind a ReLU both are the same.             [Desai and Ramaswamy 2020, "Ablation-CAM"; pytorch_grad_cam.AblationCAM]
std::vector<double> ablation_weights(Module& model, const std::string& layer, const Tensor& activation, const Target& target,
                                     const BatchOptions& options = {});

}  // namespace mirilla::nn
