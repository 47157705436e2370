// SPDX-License-Identifier: MIT
#include "nn/files/model_file.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "data/archive/names.h"
#include "kernels/core/error.h"
#include "kernels/plans/chosen_plans.h"
#include "nn/files/model_tensors.h"
#include "weights/file_bytes.h"
#include "weights/read.h"
#include "weights/safetensors.h"

namespace mirilla::nn {

namespace {

constexpr std::string_view kFormat = "mirilla";
constexpr std::string_view kVersion = "1";
const std::string kExifRotate = "exif_rotate";

const weights::Array* find_as(const weights::StateDict& state, const std::vector<std::string>& names, std::string_view name) {
  size_t index = 0;
  for (const auto& [source, array] : state)
    if (names[index++] == name) return &array;
  return nullptr;
}

std::string arch_of(const std::vector<std::string>& names, std::string_view origin) {
  const std::set<std::string> known(names.begin(), names.end());
  if (!known.contains("conv1.weight") || !known.contains("layer1.0.conv1.weight"))
    throw WeightsError(fmt::format("{} contains no ResNet: it has no conv1.weight or no layer1.0.conv1.weight", origin),
                       "use torchvision's names, or fastai's such as 0.0.weight");
  const bool bottleneck = known.contains("layer1.0.conv3.weight");
  std::array<int, 4> blocks{};
  for (size_t layer = 0; layer < blocks.size(); ++layer)
    while (known.contains(fmt::format("layer{}.{}.conv1.weight", layer + 1, blocks[layer]))) ++blocks[layer];
  std::string all;
  for (const Architecture& one : architectures()) {
    if (one.bottleneck == bottleneck && one.blocks == blocks) return std::string(one.name);
    all += fmt::format("{}{} ({})", all.empty() ? "" : ", ", one.name, fmt::join(one.blocks, ", "));
  }
  throw WeightsError(fmt::format("{} contains a ResNet with {} blocks, {} ones, which is not a supported one", origin,
                                 fmt::join(blocks, ", "), bottleneck ? "bottleneck" : "basic"),
                     fmt::format("supported are {}", all));
}

// A JSON text in the metadata, as `right` accepts it. Throws WeightsError where it is missing, damaged or of another type.
nlohmann::json metadata_json(const weights::StateDict& state, const std::string& key, std::string_view origin, std::string_view wanted,
                             bool (*right)(const nlohmann::json&)) {
  const auto found = state.metadata.find(key);
  if (found == state.metadata.end()) throw WeightsError(fmt::format("{} says that it is a mirilla model, but lacks its '{}'", origin, key));
  nlohmann::json value = nlohmann::json::parse(found->second, nullptr, false);
  if (!right(value))
    throw WeightsError(fmt::format("{} says that its '{}' is {}, expected {}", origin, key, weights::shown(found->second), wanted),
                       "was the file changed by another program?");
  return value;
}

// A name that two classes share: whoever looks a class up by it would find the first alone. Empty where there is none.
std::string name_that_repeats(const std::vector<std::string>& names) {
  std::set<std::string_view> seen;
  for (const std::string& name : names)
    if (!seen.insert(name).second) return name;
  return {};
}

bool are_names(const nlohmann::json& value) {
  return value.is_array() && !value.empty() &&
         std::all_of(value.begin(), value.end(), [](const nlohmann::json& name) { return name.is_string(); }) &&
         name_that_repeats(value.get<std::vector<std::string>>()).empty();
}

bool is_size(const nlohmann::json& value) {
  constexpr int64_t kLargest = 16384;
  return value.is_number_integer() && value >= 1 && value <= kLargest;
}

bool are_means(const nlohmann::json& value) {
  const auto is_mean = [](const nlohmann::json& x) { return x.is_number() && std::abs(x.get<double>()) <= 1e6; };
  return value.is_array() && value.size() == 3 && std::all_of(value.begin(), value.end(), is_mean);
}

bool are_deviations(const nlohmann::json& value) {
  const auto is_deviation = [](const nlohmann::json& x) { return x.get<double>() >= 1e-6; };
  return are_means(value) && std::all_of(value.begin(), value.end(), is_deviation);
}

bool is_flag(const nlohmann::json& value) { return value.is_boolean(); }

ModelInfo info_of_ours(const weights::StateDict& state, std::string_view origin) {
  const auto version = state.metadata.find("version");
  if (version == state.metadata.end() || version->second != kVersion)
    throw WeightsError(fmt::format("{} has the format's version '{}', and this program reads version {}", origin,
                                   version == state.metadata.end() ? "" : version->second, kVersion),
                       "a newer mirilla wrote it");
  ModelInfo info;
  constexpr std::string_view kPixels = "a number of pixels from 1 to 16384";
  info.vocabulary = metadata_json(state, "vocabulary", origin, "a list of different names", are_names).get<std::vector<std::string>>();
  info.resize = metadata_json(state, "resize", origin, kPixels, is_size).get<int>();
  info.size = metadata_json(state, "size", origin, kPixels, is_size).get<int>();
  info.mean = metadata_json(state, "mean", origin, "a list of three numbers", are_means).get<std::array<float, 3>>();
  info.std = metadata_json(state, "std", origin, "a list of three numbers above 0", are_deviations).get<std::array<float, 3>>();
  if (state.metadata.contains(kExifRotate))
    info.exif_rotate = metadata_json(state, kExifRotate, origin, "true or false", is_flag).get<bool>();
  return info;
}

bool is_ours(const weights::StateDict& state) {
  const auto format = state.metadata.find("format");
  return format != state.metadata.end() && format->second == kFormat;
}

std::vector<std::string> class_numbers(int classes) {
  std::vector<std::string> names;
  for (int i = 0; i < classes; ++i) names.push_back(std::to_string(i));
  return names;
}

// Takes these names in place of the model's own, `info.vocabulary`, if it has any.
void rename_classes(const std::vector<std::string>& names, std::string_view origin, LoadedModel& loaded) {
  if (const std::string twice = name_that_repeats(names); !twice.empty())
    throw UsageError(fmt::format("the name '{}' was given for more than one class", twice), "give each class its own name");
  std::vector<std::string>& own = loaded.info.vocabulary;
  if (own.size() == names.size() && own != names)
    loaded.notes.push_back(
        fmt::format("{} calls its classes {}, and now they are called {}", origin, data::listed(own, 8), data::listed(names, 8)));
  own = names;
}

void apply(const ModelOverrides& overrides, const NetworkInFile& network, std::string_view origin, LoadedModel& loaded) {
  ModelInfo& info = loaded.info;
  if (overrides.vocabulary) rename_classes(*overrides.vocabulary, origin, loaded);
  if (overrides.resize) info.resize = *overrides.resize;
  if (overrides.size) info.size = *overrides.size;
  if (overrides.exif_rotate) info.exif_rotate = *overrides.exif_rotate;
  if (info.vocabulary.empty()) {
    info.vocabulary = class_numbers(network.classes);
    loaded.notes.push_back(
        fmt::format("{} names no classes: they are called 0 to {} (`vocabulary` names them)", origin, network.classes - 1));
  }
  if (static_cast<int>(info.vocabulary.size()) != network.classes) {
    const std::string sentence = fmt::format("{} has {} classes, but {} names were given", origin, network.classes, info.vocabulary.size());
    if (overrides.vocabulary) throw UsageError(sentence, "give one name for each class in `vocabulary`");
    throw WeightsError(sentence);
  }
}

}  // namespace

weights::StateDict to_state_dict(const Module& model, const ModelInfo& info) {
  weights::StateDict state;
  for (const NamedTensor& named : parameters_and_buffers(model)) state.add(named.name, to_array(named.tensor));
  state.metadata = {
      {"format", std::string(kFormat)},        {"version", std::string(kVersion)},  {"vocabulary", nlohmann::json(info.vocabulary).dump()},
      {"resize", std::to_string(info.resize)}, {"size", std::to_string(info.size)}, {"mean", nlohmann::json(info.mean).dump()},
      {"std", nlohmann::json(info.std).dump()}};
  state.metadata.merge(model.description());
  if (info.exif_rotate) state.metadata.emplace(kExifRotate, nlohmann::json(true).dump());
  if (std::string plans = chosen_plans(); !plans.empty()) state.metadata.emplace("plans", std::move(plans));
  return state;
}

NetworkInFile network_in(const weights::StateDict& state, std::string_view origin) {
  const std::vector<std::string> names = weights::model_names(state);
  NetworkInFile network{.arch = arch_of(names, origin), .head = std::nullopt, .classes = 0};
  for (const auto& [name, head] : {std::pair("head.8.weight", Head::fastai), std::pair("fc.weight", Head::torchvision)}) {
    const weights::Array* const classifier = find_as(state, names, name);
    if (classifier == nullptr) continue;
    if (classifier->shape().rank() != 2 || classifier->shape()[0] < 1 || classifier->shape()[0] > 1'000'000)
      throw WeightsError(
          fmt::format("{} has a classifier of shape {}, expected (classes, features)", origin, to_string(classifier->shape())));
    network.head = head;
    network.classes = static_cast<int>(classifier->shape()[0]);
    break;
  }
  return network;
}

void save_model(const std::filesystem::path& path, const Module& model, const ModelInfo& info) {
  weights::write_safetensors(path, to_state_dict(model, info));
}

ModelInfo info_in(const weights::StateDict& state, std::string_view origin) {
  return is_ours(state) ? info_of_ours(state, origin) : ModelInfo();
}

std::string architecture_in(const std::filesystem::path& path) {
  return arch_of(weights::model_names(weights::read_weights(path)), path.string());
}

LoadedModel load_model(const std::filesystem::path& path, const ModelOverrides& overrides, Placement placement) {
  const std::string origin = path.string();
  const weights::StateDict state = weights::read_weights(path);
  const NetworkInFile network = network_in(state, origin);
  if (!network.head)
    throw WeightsError(fmt::format("{} contains a body without a classifier: it has neither fc.weight nor head.8.weight", origin),
                       "training can start from it as `weights`; predicting needs a trained model");
  LoadedModel loaded;
  loaded.notes = state.notes;
  if (is_ours(state)) {
    loaded.info = info_of_ours(state, origin);
    if (const auto plans = state.metadata.find("plans"); plans != state.metadata.end())
      if (std::string note = adopt_plans(plans->second); !note.empty()) loaded.notes.push_back(std::move(note));
  } else if (!overrides.resize || !overrides.size) {
    loaded.notes.push_back(fmt::format("{} does not say what sizes it was trained at: resize {} and size {} are assumed (`resize`, `size`)",
                                       origin, overrides.resize.value_or(loaded.info.resize), overrides.size.value_or(loaded.info.size)));
  }
  apply(overrides, network, origin, loaded);
  loaded.model = std::make_unique<ResNet>(
      ResNetSpec{.arch = network.arch, .classes = network.classes, .head = *network.head, .seed = std::nullopt}, placement);
  const weights::Report report = weights::match(wanted_by(*loaded.model), state);
  weights::require_fit(report, origin);
  check_values(report, state, *loaded.model, origin,
               {.allow_nonfinite = overrides.allow_nonfinite, .warn = [&](const std::string& line) { loaded.notes.push_back(line); }});
  assign(*loaded.model, report, state);
  if (!report.unexpected.empty())
    loaded.notes.push_back(weights::describe(report));
  else
    loaded.notes.insert(loaded.notes.end(), report.remarks.begin(), report.remarks.end());
  loaded.model->evaluate();
  return loaded;
}

}  // namespace mirilla::nn
