// SPDX-License-Identifier: MIT
#include "nn/explain/grad_cam.h"

#include <algorithm>

#include "data/draw/figure.h"
#include "engine/ops/reductions.h"
#include "nn/run/finite.h"

namespace mirilla::nn {

namespace {

CamMap map_of(const Watch& watch, CamStyle style) {
  const size_t last = watch.calls() - 1;
  const Tensor activation = watch.activation(last);  // (1,h,w,C)
  if (activation.shape().rank() != 4 || activation.size(1) * activation.size(2) <= 1)
    throw Error(fmt::format("Grad-CAM needs a layer that still has places, and '{}' gives {}", watch.name(), to_string(activation.shape())),
                "layer4 and layer3 are the usual ones");
  const Tensor map = grad_cam_maps(activation, watch.gradient(last));
  CamMap result{
      .layer = watch.name(), .height = static_cast<int>(map.size(1)), .width = static_cast<int>(map.size(2)), .values = {}, .note = {}};
  const std::vector<double> values = map.to_doubles();
  result.values.assign(values.begin(), values.end());
  result.note = note_on(result, style);
  std::transform(values.begin(), values.end(), result.values.begin(),
                 [&](double value) { return static_cast<float>(style == CamStyle::paper ? std::max(value, 0.0) : value); });
  return result;
}

}  // namespace

Tensor grad_cam_maps(const Tensor& activation, const Tensor& gradient) {
  const DType dtype = is_half(activation.dtype()) ? DType::f32 : activation.dtype();
  Tensor weights = empty({activation.size(0), activation.size(3)}, dtype, activation.device());
  Tensor maps = empty({activation.size(0), activation.size(1), activation.size(2)}, dtype, activation.device());
  activation.backend().grad_cam(activation, gradient.to(activation.dtype()), weights, maps);
  return maps;
}

namespace {

GradCam compute(ResNet& model, const Tensor& picture, const std::vector<std::string>& layers, std::optional<int> target, CamStyle style) {
  std::vector<Watch> watches;
  for (const std::string& layer : layers) watches.push_back(model.watch(model.resolve(layer)));  // "" is the model: no layer
  const EvaluationMode mode(model);
  const tape::NoGrad no_grad;            // the watches alone decide what is recorded
  const Tensor logits = model(picture);  // (1,classes)

  GradCam result;
  result.logits = finite_logits(model, picture, logits);
  const int classes = static_cast<int>(result.logits.size());
  result.target = target.value_or(static_cast<int>(std::max_element(result.logits.begin(), result.logits.end()) - result.logits.begin()));
  if (result.target < 0 || result.target >= classes)
    throw UsageError(fmt::format("the model has the classes 0 to {} and class {} was asked for", classes - 1, result.target));

  std::vector<Tensor> targets;
  for (const Watch& watch : watches) targets.push_back(watch.activation(watch.calls() - 1));
  tape::backward(pick(logits, result.target), {.targets = targets});
  for (const Watch& watch : watches) result.maps.push_back(map_of(watch, style));
  return result;
}

}  // namespace

GradCam grad_cam(ResNet& model, const Tensor& picture, const std::vector<std::string>& layers, std::optional<int> target, CamStyle style) {
  GradCam result = compute(model, picture, layers, target, style);
  for (const CamMap& map : result.maps)
    if (!all_finite(map.values)) throw why_not_finite([&] { compute(model, picture, layers, target, style); }, map_name(map.layer));
  return result;
}

std::string note_on(const CamMap& map, CamStyle style) {
  const auto [low, high] = std::minmax_element(map.values.begin(), map.values.end());
  if (*low == 0 && *high == 0)
    return fmt::format("the map at '{}' is zero everywhere: the answer does not depend on what this layer found", map.layer);
  if (style == CamStyle::paper && *high <= 0)
    return fmt::format("the map at '{}' is negative everywhere, so zero in this style: all that this layer found speaks against the class",
                       map.layer);
  return {};
}

data::Picture overlay(const data::Picture& picture, const CamMap& map, CamStyle style, const data::Colormap& colors) {
  return data::overlay(picture, map.values, map.height, map.width,
                       {.range = style == CamStyle::paper ? data::MapRange::kPaper : data::MapRange::kCourse, .colors = &colors});
}

}  // namespace mirilla::nn
