// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "nn/explain/explain_options.h"
#include "nn/explain/run_after.h"

/// The two class activation maps that run the network again instead of taking a gradient: their weights are measured with one forward pass
/// per channel, in batches.
namespace mirilla::nn {

/// w = softmax over c of s(picture * mask_c): the target's score when the picture is masked by channel c.
///
///   mask_c = (U - min U) / (max U - min U + 1e-8),  U = A[.,.,c] stretched bilinearly to the picture, corners on corners
///
///   picture     (1,H,W,3) normalised; the mask multiplies the normalised values, so hidden parts have the data set's mean colour
///   activation  (1,h,w,C) of the layer for this picture
///
/// (C). The network is in evaluation mode; waits for the device. Throws NotFinite.   [Wang et al. 2020, "Score-CAM";
/// pytorch_grad_cam.ScoreCAM]
std::vector<double> score_weights(Module& model, const Tensor& picture, const Tensor& activation, const Target& target,
                                  const BatchOptions& options = {});

/// w_c = (s - s without c) / s: the share by which the target's score s falls when channel c of the layer is set to zero.
///
///   layer       as Module::resolve gives it, and where run_after can go on: what comes before is not computed again
///   activation  (1,h,w,C) of the layer for this picture
///
/// (C). If s is negative all signs flip, as in the paper's formula; if it is 0 the fall itself is used. The network is in evaluation
/// mode; waits for the device. Contrary to the paper, the package subtracts 1e7 if a layer's smallest value is not 0; here channels are
/// always set to 0. After a ReLU both are the same.             [Desai and Ramaswamy 2020, "Ablation-CAM"; pytorch_grad_cam.AblationCAM]
std::vector<double> ablation_weights(Module& model, const std::string& layer, const Tensor& activation, const Target& target,
                                     const BatchOptions& options = {});

}  // namespace mirilla::nn
