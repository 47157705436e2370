// SPDX-License-Identifier: MIT
#include "apps/pages/explore.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "apps/pages/assets.h"
#include "apps/pages/channel_images.h"
#include "apps/pages/page.h"
#include "data/draw/colormap.h"
#include "data/write/png_write.h"
#include "engine/tape.h"
#include "nn/explain/explain_files.h"
#include "nn/explain/grad_cam.h"
#include "nn/explain/target.h"
#include "nn/run/finite.h"
#include "nn/run/predict.h"

namespace mirilla::pages {

namespace {

using Json = nlohmann::ordered_json;

// A call of a module, and its parts that are already in the document.
struct Captured {
  std::string module;
  size_t call = 0, calls = 0;
  Json text;
};

// (1,h,w,c) or (1,c) or anything smaller as one picture's channels.
Channels channels_of(const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  Channels channels{.values = tensor.to_doubles()};
  if (shape.rank() == 4) {
    channels.height = shape[1], channels.width = shape[2], channels.channels = shape[3];
  } else {
    channels.channels = static_cast<int64_t>(channels.values.size());
  }
  return channels;
}

// (1,h,w,C): what has no places has one.
Tensor with_places(const Tensor& tensor) { return tensor.shape().rank() == 4 ? tensor : tensor.detach().view({1, 1, 1, tensor.numel()}); }

// The receptive field's side in pixels of each module's output, along the main path: it is smaller through a shortcut.
//                                                                                                                     [Araujo et al. 2019]
std::map<std::string, int64_t> fields_of(nn::Module& model) {
  std::map<std::string, int64_t> fields;
  int64_t field = 1, jump = 1;
  for (const auto& [name, module] : model.modules()) {
    const bool shortcut = name.find("downsample") != std::string::npos;
    int64_t window = 1, stride = 1;
    if (const auto* conv = dynamic_cast<const nn::Conv2d*>(module)) window = conv->spec().kernel, stride = conv->spec().conv.stride;
    if (module->kind() == "MaxPool2d") window = 3, stride = 2;
    if (shortcut) continue;
    field += (window - 1) * jump;
    jump *= stride;
    fields[name] = field;
  }
  return fields;
}

// A module's output is that of its last child.
int64_t field_of(const std::map<std::string, int64_t>& fields, const std::string& name) {
  int64_t largest = 0;
  for (const auto& [other, field] : fields)
    if (other == name || name.empty() || other.starts_with(name + ".")) largest = std::max(largest, field);
  return largest;
}

class Explorer {
 public:
  Explorer(nn::Module& model, const Tensor& input, const ExploreOptions& options) : model_(model), input_(input), options_(options) {}

  // All classes that may be chosen, the target's gradient in full.
  void run() {
    describe_activations();
    choose_classes();
    const auto passes = static_cast<int64_t>(classes_.size());
    for (int64_t i = 0; i < passes; ++i) {
      add_class(classes_[static_cast<size_t>(i)]);
      if (options_.progress) options_.progress(i + 1, passes);
    }
  }

  const std::vector<double>& logits() const { return logits_; }
  const std::vector<int>& classes() const { return classes_; }
  int target() const { return target_; }
  const std::map<std::string, std::string>& shapes() const { return shapes_; }
  Json captures() {
    Json all = Json::array();
    for (Captured& captured : captured_) all.push_back(std::move(captured.text));
    return all;
  }
  ImageStore& images() { return images_; }

 private:
  void choose_classes() {
    const int count = static_cast<int>(logits_.size());
    std::vector<int> order(logits_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return logits_[static_cast<size_t>(a)] > logits_[static_cast<size_t>(b)]; });
    target_ = options_.target.value_or(order[0]);
    if (target_ < 0 || target_ >= count) throw UsageError(fmt::format("expected a class from 0 to {}, got {}", count - 1, target_));
    classes_.assign(order.begin(), order.begin() + std::min<int64_t>(count, std::max<int64_t>(1, options_.most_classes)));
    if (std::find(classes_.begin(), classes_.end(), target_) == classes_.end()) classes_.push_back(target_);
  }

  // All watches, and their outputs.
  struct Pass {
    std::vector<nn::Watch> watches;
    Tensor logits;
    std::vector<Tensor> outputs;  // each call of each of them
  };

  Pass forward() {
    Pass pass{.watches = model_.watch_all("**"), .logits = {}, .outputs = {}};
    pass.watches.insert(pass.watches.begin(), model_.watch(""));
    const nn::EvaluationMode mode(model_);
    const tape::NoGrad no_grad;  // only the watches decide what is recorded
    pass.logits = model_(input_);
    for (const nn::Watch& watch : pass.watches)
      for (size_t call = 0; call < watch.calls(); ++call) pass.outputs.push_back(watch.activation(call));
    return pass;
  }

  Pass forward_backward(int target) {
    Pass pass = forward();
    const tape::NoGrad no_grad;
    const std::vector<nn::Target> targets{{{{target}}}};
    tape::backward(pass.logits, {.seed = nn::seed_of(targets, pass.logits), .targets = pass.outputs});
    return pass;
  }

  void add_class(int target) {
    const Pass pass = forward_backward(target);
    size_t i = 0;
    for (const nn::Watch& watch : pass.watches)
      for (size_t call = 0; call < watch.calls(); ++call, ++i) {
        const Tensor gradient = watch.gradient(call);
        const Channels channels = channels_of(gradient);
        if (!nn::all_finite(channels.values))
          throw nn::why_not_finite([&] { forward_backward(target); }, fmt::format("the gradients at '{}'", watch.name()));
        if (target == target_)
          captured_[i].text["gradient"] = describe_channels(channels, shrink_of(channels.height, channels.width), images_);
        add_map(captured_[i], nn::grad_cam_layer(with_places(pass.outputs[i]), with_places(gradient)));
      }
  }

  // Shrinks by averaging until activations and gradients of all modules are within the budget.
  void choose_side(const std::vector<Tensor>& outputs) {
    const auto bytes = [&] {
      size_t total = 0;
      for (const Tensor& output : outputs) {
        const Shape& shape = output.shape();
        const bool places = shape.rank() == 4;
        const int64_t height = places ? shape[1] : 1, width = places ? shape[2] : 1, shrink = shrink_of(height, width);
        total += static_cast<size_t>(2 * ((height + shrink - 1) / shrink) * ((width + shrink - 1) / shrink) *
                                     (output.numel() / (height * width)));
      }
      return total;
    };
    while (largest_side_ > 1 && bytes() > options_.budget_bytes) largest_side_ = largest_side_ * 3 / 4;
  }

  int64_t shrink_of(int64_t height, int64_t width) const { return (std::max(height, width) + largest_side_ - 1) / largest_side_; }

  void describe_activations() {
    const Pass pass = forward();
    {
      const nn::EvaluationMode mode(model_);
      const tape::NoGrad no_grad;
      logits_ = nn::finite_logits(model_, input_, pass.logits);
    }
    choose_side(pass.outputs);
    size_t i = 0;
    for (const nn::Watch& watch : pass.watches) {
      for (size_t call = 0; call < watch.calls(); ++call, ++i) {
        const Channels channels = channels_of(pass.outputs[i]);
        const int64_t shrink = shrink_of(channels.height, channels.width);
        captured_.push_back({.module = watch.name(), .call = call, .calls = watch.calls(), .text = {}});
        captured_.back().text = {{"module", watch.name()},   {"call", call},
                                 {"calls", watch.calls()},   {"height", channels.height},
                                 {"width", channels.width},  {"channels", channels.channels},
                                 {"shrink", shrink},         {"activation", describe_channels(channels, shrink, images_)},
                                 {"weights", Json::array()}, {"maps", Json::array()}};
        shapes_[watch.name()] = to_string(pass.outputs[i].shape());
      }
    }
  }

  void add_map(Captured& captured, const nn::GradCamLayer& layer) {
    Json weights = Json::array();
    for (const double weight : layer.weights.to_doubles()) weights.push_back(rounded(weight));
    captured.text["weights"].push_back(std::move(weights));
    if (layer.maps.numel() <= 1) return;
    Channels map{.height = layer.maps.size(1), .width = layer.maps.size(2), .channels = 1, .values = layer.maps.to_doubles()};
    map = shrunk(map, shrink_of(map.height, map.width));
    const auto [lo, hi] = std::minmax_element(map.values.begin(), map.values.end());
    captured.text["maps"].push_back({{"lo", rounded(*lo)}, {"hi", rounded(*hi)}, {"bytes", base64(as_bytes(map.values, *lo, *hi))}});
  }

  nn::Module& model_;
  const Tensor& input_;
  const ExploreOptions& options_;
  std::vector<double> logits_;
  std::vector<int> classes_;
  int target_ = 0;
  int64_t largest_side_ = 64;
  std::vector<Captured> captured_;
  std::map<std::string, std::string> shapes_;
  ImageStore images_;
};

Json color_tables() {
  Json tables;
  for (const char* name : {"magma", "viridis", "inferno", "jet"}) {
    std::string text;
    for (const data::Rgb8& color : data::colormap_of(name)) text += fmt::format("{:02x}{:02x}{:02x}", color[0], color[1], color[2]);
    tables[name] = text;
  }
  return tables;
}

int64_t parameters_below(const nn::Module& module) {
  int64_t total = 0;
  for (const nn::NamedTensor& parameter : module.parameters()) total += parameter.tensor.numel();
  return total;
}

Json modules_of(nn::Module& model, const std::map<std::string, std::string>& shapes) {
  const std::map<std::string, int64_t> fields = fields_of(model);
  Json all = Json::array();
  for (const auto& [name, module] : model.modules()) {
    const auto shape = shapes.find(name);
    all.push_back({{"name", name},
                   {"kind", module->kind()},
                   {"shape", shape == shapes.end() ? "" : shape->second},
                   {"parameters", parameters_below(*module)},
                   {"field", field_of(fields, name)}});
  }
  return all;
}

Json classes_of(const Explorer& explorer, const std::vector<std::string>& vocabulary) {
  Json all = Json::array();
  for (const int index : explorer.classes()) {
    const auto at = static_cast<size_t>(index);
    all.push_back({{"index", index},
                   {"name", vocabulary[at]},
                   {"probability", rounded(nn::probability_of(explorer.logits(), at))},
                   {"logit", rounded(explorer.logits()[at])}});
  }
  return all;
}

}  // namespace

std::string explore_document(nn::Module& model, const data::Picture& picture, const nn::ModelInfo& info, const std::string& file,
                             const ExploreOptions& options, nn::Placement placement) {
  const Tensor input = prepare(picture, info, placement);
  Explorer explorer(model, input, options);
  explorer.run();
  Json document = {{"file", file},
                   {"arch", model.description().at("architecture")},
                   {"size", info.size},
                   {"side", info.resize},
                   {"picture", "data:image/png;base64," + base64(data::encode_png(nn::resized_picture(picture, info)))},
                   {"target", explorer.target()},
                   {"total_classes", info.vocabulary.size()},
                   {"classes", classes_of(explorer, info.vocabulary)},
                   {"colors", color_tables()},
                   {"modules", modules_of(model, explorer.shapes())},
                   {"captures", explorer.captures()}};
  document["images"] = explorer.images().take();
  return document.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string json_for_html(const std::string& document) {
  std::string text;
  text.reserve(document.size());
  for (const char c : document) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

std::string explore_page(const std::string& document) {
  return replaced(whole_page(assets::explore_html(), assets::explore_js()), "/*DATA*/", json_for_html(document));
}

}  // namespace mirilla::pages
