// SPDX-License-Identifier: MIT
#include "nn/explain/grad_cam.h"

#include "nn/explain/cam.h"

namespace mirilla::nn {

GradCamLayer grad_cam_layer(const Tensor& activation, const Tensor& gradient) {
  const DType dtype = is_half(activation.dtype()) ? DType::f32 : activation.dtype();
  GradCamLayer layer{.weights = empty({activation.size(0), activation.size(3)}, dtype, activation.device()),
                     .maps = empty({activation.size(0), activation.size(1), activation.size(2)}, dtype, activation.device())};
  activation.backend().run(op::GradCam{activation, gradient.to(activation.dtype()), layer.weights, layer.maps});
  return layer;
}

GradCam grad_cam(Module& model, const Tensor& picture, const std::vector<std::string>& layers, std::optional<int> target, CamStyle style) {
  ExplainOptions options{.layers = layers, .style = style};
  if (target) options.targets = {Target{{{*target}}}};
  std::vector<CamExplanation> all = cam(model, picture, options);
  CamExplanation& one = all.at(0);
  return {.target = one.target.terms.at(0).index, .logits = std::move(one.logits), .maps = std::move(one.maps)};
}

std::string note_on(std::string_view layer, float low, float high, CamStyle style) {
  if (low == 0 && high == 0)
    return fmt::format("the map at '{}' is zero everywhere: the prediction does not depend on this layer's output", layer);
  if (style == CamStyle::paper && high <= 0)
    return fmt::format(
        "the map at '{}' is negative everywhere, so it is zero in this style: this layer has only evidence against the class", layer);
  return {};
}

data::Picture overlay(const data::Picture& picture, const CamMap& map, CamStyle style, const data::Colormap& colors) {
  return data::overlay(picture, map.values, map.height, map.width, {.style = style, .colors = &colors});
}

}  // namespace mirilla::nn
