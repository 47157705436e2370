// SPDX-License-Identifier: MIT
#include "nn/explain/cam.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>

#include "engine/tape.h"
#include "nn/explain/cam_formulas.h"
#include "nn/explain/cam_scores.h"
#include "nn/run/finite.h"

namespace mirilla::nn {

namespace {

constexpr std::string_view kAblationCam = "ablationcam";

// What a map is made of: a formula of the activation and its gradient on the host, Grad-CAM's on the device, or weights that are measured.
struct Method {
  std::string_view name;
  std::vector<double> (*formula)(const CamLayer&) = nullptr;
  bool needs_gradient = true;
  bool on_device = false;
};
constexpr std::array<Method, 9> kMethods = {{{.name = "gradcam", .on_device = true},
                                             {.name = "gradcam++", .formula = gradcam_plus_plus},
                                             {.name = "hirescam", .formula = hirescam},
                                             {.name = "xgradcam", .formula = xgradcam},
                                             {.name = "layercam", .formula = layercam},
                                             {.name = "eigencam", .formula = eigencam, .needs_gradient = false},
                                             {.name = "eigengradcam", .formula = eigengradcam},
                                             {.name = "scorecam", .needs_gradient = false},
                                             {.name = kAblationCam, .needs_gradient = false}}};

const Method& method_called(std::string_view name) {
  const auto found = std::find_if(kMethods.begin(), kMethods.end(), [&](const Method& method) { return method.name == name; });
  if (found == kMethods.end())
    throw UsageError(fmt::format("there is no class activation map '{}'", name),
                     fmt::format("available are {}", fmt::join(cam_methods(), ", ")));
  return *found;
}

struct LayerOutput {
  std::string name;
  Tensor activation, gradient;  // (N,h,w,C); no gradient where the method needs none
};

// The results of one forward and one backward pass.
struct Pass {
  std::vector<double> logits;   // (N, classes)
  std::vector<Target> targets;  // (N)
  std::vector<LayerOutput> layers;
};

void check_layer(const Watch& watch, const Tensor& activation) {
  if (activation.shape().rank() != 4 || activation.size(1) * activation.size(2) <= 1)
    throw Error(fmt::format("a map needs a layer with several places, but '{}' gives {}", watch.name(), to_string(activation.shape())),
                "layer4 and layer3 are the usual ones");
}

// For a batch of this many pictures, followed by changed copies of them in the same order.
std::vector<double> logits_of(Module& model, const Tensor& batch, const Tensor& logits, int64_t pictures) {
  try {
    return finite_logits(model, batch, logits);
  } catch (const NotFinite& error) {
    throw error.of_picture(error.pictures[0] % pictures);
  }
}

// `copies`: the batch holds the pictures that many times, the first ones unchanged; these determine the likeliest class.
Pass run(Module& model, const Tensor& batch, int64_t copies, const ExplainOptions& options) {
  const bool needs_gradient = method_called(options.method).needs_gradient;
  std::vector<Watch> watches;
  for (const std::string& layer : options.layers) watches.push_back(model.watch(model.resolve(layer)));
  const tape::NoGrad no_grad;  // only the watches decide what is recorded
  const Tensor logits = model(batch);
  const int64_t pictures = batch.size(0) / copies;
  Pass pass{.logits = logits_of(model, batch, logits, pictures), .targets = {}, .layers = {}};
  pass.targets = targets_of(options.targets, std::span(pass.logits).first(pass.logits.size() / static_cast<size_t>(copies)), pictures);
  for (int64_t i = pictures; i < batch.size(0); ++i) pass.targets.push_back(pass.targets[static_cast<size_t>(i - pictures)]);

  std::vector<Tensor> wanted;
  for (const Watch& watch : watches) {
    wanted.push_back(watch.activation(watch.calls() - 1));
    check_layer(watch, wanted.back());
  }
  if (needs_gradient) tape::backward(logits, {.seed = seed_of(pass.targets, logits), .targets = wanted});
  for (size_t i = 0; i < watches.size(); ++i)
    pass.layers.push_back({.name = watches[i].name(),
                           .activation = wanted[i].detach(),
                           .gradient = needs_gradient ? watches[i].gradient(watches[i].calls() - 1) : Tensor()});
  return pass;
}

std::vector<double> measured_weights(Module& model, const Tensor& picture, const LayerOutput& layer, const Tensor& activation,
                                     const Target& target, const ExplainOptions& options) {
  if (options.method == kAblationCam) return ablation_weights(model, layer.name, activation, target, options.batch);
  return score_weights(model, picture, activation, target, options.batch);
}

// (N, h w) of one layer.
std::vector<double> maps_of(Module& model, const Tensor& batch, const Pass& pass, const LayerOutput& layer, const ExplainOptions& options) {
  const Method& method = method_called(options.method);
  if (method.on_device) return grad_cam_layer(layer.activation, layer.gradient).maps.to_doubles();
  const std::vector<double> activation = layer.activation.to_doubles();
  const std::vector<double> gradient = layer.gradient ? layer.gradient.to_doubles() : std::vector<double>();
  const auto pictures = static_cast<size_t>(batch.size(0));
  const size_t numel = activation.size() / pictures;
  std::vector<double> maps;
  for (size_t i = 0; i < pictures; ++i) {
    const CamLayer one{.activation = std::span(activation).subspan(i * numel, numel),
                       .gradient = gradient.empty() ? std::span<const double>() : std::span(gradient).subspan(i * numel, numel),
                       .channels = static_cast<size_t>(layer.activation.size(3))};
    const auto row = static_cast<int64_t>(i);
    const auto measure = [&] {
      return measured_weights(model, batch.slice(row, row + 1), layer, layer.activation.slice(row, row + 1), pass.targets[i], options);
    };
    const std::vector<double> map = method.formula ? method.formula(one) : weighted_sum(one, of_one_picture(row, measure));
    maps.insert(maps.end(), map.begin(), map.end());
  }
  return maps;
}

// The maps of all pictures of a batch, picture by picture, before style, fusing and smoothing.
std::vector<std::vector<CamMap>> raw_maps(Module& model, const Tensor& batch, const Pass& pass, const ExplainOptions& options) {
  std::vector<std::vector<CamMap>> all(static_cast<size_t>(batch.size(0)));
  for (const LayerOutput& layer : pass.layers) {
    const std::vector<double> maps = maps_of(model, batch, pass, layer, options);
    const size_t places = maps.size() / all.size();
    for (size_t i = 0; i < all.size(); ++i) {
      const auto values = std::span(maps).subspan(i * places, places);
      all[i].push_back({.layer = layer.name,
                        .height = static_cast<int>(layer.activation.size(1)),
                        .width = static_cast<int>(layer.activation.size(2)),
                        .values = std::vector<float>(values.begin(), values.end())});
    }
  }
  return all;
}

constexpr std::array<double, 3> kFactors = {1, 0.9, 1.1};
constexpr int64_t kSmoothCopies = 2 * kFactors.size();

// (6 N,H,W,3): the pictures, then mirrored, then both times 0.9 and times 1.1.
Tensor augmented(const Tensor& pictures) {
  const std::vector<double> values = pictures.to_doubles();
  const auto width = static_cast<size_t>(pictures.size(2)), colours = static_cast<size_t>(pictures.size(3));
  std::vector<double> all;
  for (const double factor : kFactors)
    for (const bool mirrored : {false, true})
      for (size_t k = 0; k < values.size(); ++k) {
        const size_t x = k / colours % width;
        all.push_back(factor * values[mirrored ? k + (width - 1 - x) * colours - x * colours : k]);
      }
  return from_doubles(all, {kSmoothCopies * pictures.size(0), pictures.size(1), pictures.size(2), pictures.size(3)}, pictures.dtype(),
                      pictures.device());
}

void mirror(CamMap& map) {
  for (int y = 0; y < map.height; ++y) std::reverse(map.values.begin() + y * map.width, map.values.begin() + (y + 1) * map.width);
}

// The maps of one picture as shown: one per layer or all in one, of the picture's size in [0,1].
std::vector<CamMap> images_of(const std::vector<CamMap>& maps, const ExplainOptions& options, const Tensor& pictures) {
  const int height = static_cast<int>(pictures.size(1)), width = static_cast<int>(pictures.size(2));
  if (options.fuse != Fuse::none) return {fused_map(maps, options.fuse, options.style, height, width)};
  std::vector<CamMap> images;
  for (const CamMap& map : maps) images.push_back(fused_map({&map, 1}, Fuse::mean, options.style, height, width));
  return images;
}

// From the maps of the pictures' copies, in the order of augmented(): the mean image, with mirrored ones flipped back.
std::vector<CamMap> smoothed(const std::vector<std::vector<CamMap>>& raw, size_t picture, const ExplainOptions& options,
                             const Tensor& pictures) {
  const auto n = static_cast<size_t>(pictures.size(0));
  std::vector<CamMap> mean;
  for (size_t copy = 0; copy < static_cast<size_t>(kSmoothCopies); ++copy) {
    std::vector<CamMap> images = images_of(raw[copy * n + picture], options, pictures);
    if (copy % 2 == 1) std::for_each(images.begin(), images.end(), mirror);
    if (mean.empty()) {
      mean = std::move(images);
      continue;
    }
    for (size_t i = 0; i < mean.size(); ++i)
      std::transform(mean[i].values.begin(), mean[i].values.end(), images[i].values.begin(), mean[i].values.begin(), std::plus<>());
  }
  for (CamMap& map : mean)
    for (float& value : map.values) value /= static_cast<float>(kSmoothCopies);
  return mean;
}

std::vector<CamMap> styled(std::vector<CamMap> maps, CamStyle style) {
  if (style == CamStyle::paper)
    for (CamMap& map : maps)
      for (float& value : map.values) value = std::max(value, 0.0f);
  return maps;
}

// What is shown of one picture, and where that is nothing, why: the note is on the maps as the formula gave them, all those that went into
// the one that is shown.
std::vector<CamMap> shown_maps(const std::vector<std::vector<CamMap>>& raw, size_t picture, const ExplainOptions& options,
                               const Tensor& pictures) {
  const bool fused = options.fuse != Fuse::none;
  std::vector<CamMap> shown = options.smooth ? smoothed(raw, picture, options, pictures)
                              : fused        ? images_of(raw[picture], options, pictures)
                                             : styled(raw[picture], options.style);
  for (size_t i = 0; i < shown.size(); ++i) {
    float low = std::numeric_limits<float>::infinity(), high = -low;
    for (size_t copy = picture; copy < raw.size(); copy += static_cast<size_t>(pictures.size(0)))
      for (const CamMap& map : std::span(raw[copy]).subspan(fused ? 0 : i, fused ? raw[copy].size() : 1)) {
        const auto [least, most] = std::minmax_element(map.values.begin(), map.values.end());
        low = std::min(low, *least), high = std::max(high, *most);
      }
    shown[i].note = note_on(shown[i].layer, low, high, options.style);
  }
  return shown;
}

}  // namespace

std::span<const std::string> cam_methods() {
  static const std::vector<std::string> kAll = [] {
    std::vector<std::string> all;
    for (const Method& method : kMethods) all.emplace_back(method.name);
    return all;
  }();
  return kAll;
}

std::vector<CamExplanation> cam(Module& model, const Tensor& pictures, const ExplainOptions& options) {
  if (options.method == kAblationCam)
    for (const std::string& layer : options.layers) check_can_run_after(model, model.resolve(layer));
  const EvaluationMode mode(model);
  const Tensor batch = options.smooth ? augmented(pictures) : pictures;
  const int64_t copies = options.smooth ? kSmoothCopies : 1;
  const Pass pass = run(model, batch, copies, options);
  const std::vector<std::vector<CamMap>> raw = raw_maps(model, batch, pass, options);
  for (size_t i = 0; i < raw.size(); ++i)
    for (const CamMap& map : raw[i])
      if (!all_finite(map.values))
        throw why_not_finite([&] { run(model, batch, copies, options); }, map_name(map.layer))
            .of_picture(static_cast<int64_t>(i) % pictures.size(0));

  const size_t classes = pass.logits.size() / raw.size();
  std::vector<CamExplanation> all;
  for (size_t i = 0; i < static_cast<size_t>(pictures.size(0)); ++i) {
    const auto row = std::span(pass.logits).subspan(i * classes, classes);
    all.push_back({.target = pass.targets[i], .logits = {row.begin(), row.end()}, .maps = shown_maps(raw, i, options, pictures)});
  }
  return all;
}

}  // namespace mirilla::nn
