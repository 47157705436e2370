// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/draw/figure.h"
#include "nn/explain/attribution.h"
#include "nn/explain/cam.h"

/// Every method behind one function, chosen by name: for the command line and for comparisons.
namespace mirilla::nn {

/// The names of nn/explain/cam.h's methods, then "guided", "guided-gradcam", "integrated", "smoothgrad", "occlusion".
std::span<const std::string> explanation_methods();
/// Whether a method gives a map for each layer; else one of the picture's pixels. Throws UsageError for an unknown name.
bool is_cam(std::string_view method);

/// The explanation of one picture, of either kind.
struct Explanation {
  Target target;
  std::vector<double> logits;         // (classes)
  std::vector<CamMap> maps;           // from the CAMs and occlusion
  std::optional<Attribution> pixels;  // from the other methods, three channels
};

/// Runs a method of nn/explain/cam.h or nn/explain/attribution.h, chosen by name.
///
///   pictures  (N,H,W,3) normalised, on the model's device
///
/// Throws NotFinite where logits or the explanation are not finite, with the row of the picture, and everything that those methods throw.
std::vector<Explanation> explain(Module& model, const Tensor& pictures, const ExplainOptions& options);

/// One map of how much each place counts, for measures: the first of the maps, or magnitude() of the pixels.
CamMap saliency(const Explanation& explanation);

/// What to show beside the picture: one panel per map, titled with its layer and size, or with the method: CAMs and occlusion as colours
/// over the picture, integrated and smoothgrad as magnitudes on black, the guided ones in colours around grey.
std::vector<data::Panel> panels_of(const Explanation& explanation, const data::Picture& shown, const ExplainOptions& options);

}  // namespace mirilla::nn
