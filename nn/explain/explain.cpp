// SPDX-License-Identifier: MIT
#include "nn/explain/explain.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "nn/run/finite.h"

namespace mirilla::nn {

namespace {

constexpr std::string_view kGuided = "guided", kGuidedGradcam = "guided-gradcam", kIntegrated = "integrated", kSmoothgrad = "smoothgrad",
                           kOcclusion = "occlusion";

std::vector<Attribution> attributions(Module& model, const Tensor& pictures, const ExplainOptions& options) {
  if (options.method == kGuided) return guided_backpropagation(model, pictures, options.targets);
  if (options.method == kGuidedGradcam) return guided_grad_cam(model, pictures, options.layers.at(0), options.targets);
  if (options.method == kIntegrated) {
    IntegratedOptions integrated{.batch = options.batch};
    if (options.samples != 0) integrated.steps = options.samples;
    return integrated_gradients(model, pictures, options.targets, integrated);
  }
  if (options.method == kSmoothgrad) {
    SmoothGradOptions smooth{.seed = options.seed, .batch = options.batch};
    if (options.samples != 0) smooth.samples = options.samples;
    return smoothgrad(model, pictures, options.targets, smooth);
  }
  return occlusion(model, pictures, options.targets, {.window = options.window, .stride = options.stride, .batch = options.batch});
}

}  // namespace

std::span<const std::string> explanation_methods() {
  static const std::vector<std::string> kAll = [] {
    std::vector<std::string> all(cam_methods().begin(), cam_methods().end());
    for (const std::string_view name : {kGuided, kGuidedGradcam, kIntegrated, kSmoothgrad, kOcclusion}) all.emplace_back(name);
    return all;
  }();
  return kAll;
}

bool is_cam(std::string_view method) {
  const auto all = explanation_methods();
  if (std::find(all.begin(), all.end(), method) == all.end())
    throw UsageError(fmt::format("there is no method '{}'", method), fmt::format("available are {}", fmt::join(all, ", ")));
  return std::find(cam_methods().begin(), cam_methods().end(), method) != cam_methods().end();
}

namespace {

std::vector<Explanation> compute(Module& model, const Tensor& pictures, const ExplainOptions& options) {
  std::vector<Explanation> all;
  if (is_cam(options.method)) {
    for (CamExplanation& one : cam(model, pictures, options))
      all.push_back({.target = std::move(one.target), .logits = std::move(one.logits), .maps = std::move(one.maps), .pixels = {}});
    return all;
  }
  for (Attribution& one : attributions(model, pictures, options)) {
    Explanation explanation{.target = one.target, .logits = one.logits, .maps = {}, .pixels = {}};
    if (options.method == kOcclusion) {
      const auto [low, high] = std::minmax_element(one.values.begin(), one.values.end());
      std::string note = note_on(options.method, *low, *high, options.style);
      explanation.maps.push_back(
          {.layer = options.method, .height = one.height, .width = one.width, .values = std::move(one.values), .note = std::move(note)});
    } else {
      explanation.pixels = std::move(one);
    }
    all.push_back(std::move(explanation));
  }
  return all;
}

// Names the first of its maps with a number that is not finite, or the method of its pixels; "" for none.
std::string not_finite_in(const Explanation& explanation, const ExplainOptions& options) {
  for (const CamMap& map : explanation.maps)
    if (!all_finite(map.values)) return map_name(map.layer);
  return explanation.pixels && !all_finite(explanation.pixels->values) ? fmt::format("the numbers of {}", options.method) : std::string();
}

}  // namespace

std::vector<Explanation> explain(Module& model, const Tensor& pictures, const ExplainOptions& options) {
  std::vector<Explanation> all = compute(model, pictures, options);
  for (size_t i = 0; i < all.size(); ++i)
    if (const std::string what = not_finite_in(all[i], options); !what.empty())
      throw why_not_finite([&] { compute(model, pictures, options); }, what).of_picture(static_cast<int64_t>(i));
  return all;
}

CamMap saliency(const Explanation& explanation) {
  if (!explanation.pixels) return explanation.maps.at(0);
  const Attribution& pixels = *explanation.pixels;
  return {.layer = {}, .height = pixels.height, .width = pixels.width, .values = magnitude(pixels)};
}

std::vector<data::Panel> panels_of(const Explanation& explanation, const data::Picture& shown, const ExplainOptions& options) {
  std::vector<data::Panel> panels;
  for (const CamMap& map : explanation.maps)
    panels.push_back({overlay(shown, map, options.style, *options.colors), fmt::format("{} ({}x{})", map.layer, map.height, map.width)});
  if (!explanation.pixels) return panels;
  const Attribution& pixels = *explanation.pixels;
  if (options.method == kIntegrated || options.method == kSmoothgrad) {
    const data::Picture black(pixels.width, pixels.height);
    panels.push_back({data::overlay(black, magnitude(pixels), pixels.height, pixels.width,
                                    {.alpha = 1, .style = CamStyle::paper, .colors = options.colors}),
                      options.method});
  } else {
    panels.push_back({signed_picture(pixels), options.method});
  }
  return panels;
}

}  // namespace mirilla::nn
