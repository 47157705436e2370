// SPDX-License-Identifier: MIT
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/core/error.h"
#include "nn/files/model_tensors.h"
#include "nn/inspect/trace.h"
#include "weights/layout.h"
#include "weights/match.h"
#include "weights/safetensors.h"

namespace mirilla::nn {

namespace {

constexpr std::string_view kActivation = "activation/", kGradient = "gradient/", kParameter = "parameter/",
                           kParameterGradient = "parameter_gradient/", kBuffer = "buffer/", kInference = "inference";

std::string key(std::string_view prefix, const Traced& traced) {
  return fmt::format("{}{}{}", prefix, traced.name, traced.call == 0 ? "" : fmt::format("/{}", traced.call));
}

void add(weights::StateDict& state, const std::vector<Traced>& traced, std::string_view values, std::string_view gradients) {
  for (const Traced& one : traced) {
    state.add(key(values, one), to_array(one.value));
    if (one.gradient) state.add(key(gradients, one), to_array(one.gradient));
  }
}

// An array as a tensor, in its dtype; only the reference device has f64.
Tensor to_tensor(const weights::Array& array, Device& device) {
  const weights::Array ours = weights::oihw_to_krsc(array);
  if (ours.dtype() == DType::f64 && device.name() != "reference") return from_host(weights::to_f32(ours), ours.shape(), device);
  return from_bytes(ours.bytes(), ours.shape(), ours.dtype(), device);
}

// "layer1.0.relu/1" -> the name and 1
std::pair<std::string, size_t> name_and_call(std::string_view text) {
  const size_t slash = text.rfind('/');
  size_t call = 0;
  if (slash == std::string_view::npos) return {std::string(text), 0};
  const auto [end, error] = std::from_chars(text.data() + slash + 1, text.data() + text.size(), call);
  if (error != std::errc() || end != text.data() + text.size()) return {std::string(text), 0};
  return {std::string(text.substr(0, slash)), call};
}

// Values under one prefix, each with its gradient, which is under the other prefix.
std::vector<Traced> collect(const weights::StateDict& state, std::string_view values, std::string_view gradients, std::string_view origin,
                            Device& device) {
  std::vector<Traced> all;
  for (const auto& [name, array] : state) {
    if (!name.starts_with(values)) continue;
    auto [module, call] = name_and_call(std::string_view(name).substr(values.size()));
    Traced traced{.name = std::move(module), .call = call, .value = to_tensor(array, device)};
    if (const weights::Array* gradient = gradients.empty() ? nullptr : state.find(key(gradients, traced))) {
      traced.gradient = to_tensor(*gradient, device);
      if (traced.gradient.shape() != traced.value.shape())
        throw WeightsError(fmt::format("{}: the gradient of {} has the shape {} and the value {}", origin, name,
                                       to_string(gradient->shape()), to_string(array.shape())));
    }
    all.push_back(std::move(traced));
  }
  return all;
}

// fastai's 0.4.0.conv1 is layer1.0.conv1: weights::match translates the names of parameters, and a module's name is that of a parameter
// without its last part.
void rename_fastais(std::vector<Traced>& traced, std::string_view ending) {
  if (!std::any_of(traced.begin(), traced.end(), [](const Traced& one) { return one.name.starts_with("0.4.0.conv1"); })) return;
  weights::StateDict names;
  for (Traced& one : traced) {
    if (!one.name.starts_with("0.") && !one.name.starts_with("1.")) continue;
    const std::string name = fmt::format("{}{}", one.name, ending);
    if (!names.contains(name)) names.add(name, weights::Array());
  }
  const std::vector<std::string> ours = weights::model_names(names);
  std::map<std::string, std::string> renamed;
  size_t index = 0;
  for (const auto& [name, array] : names) renamed.emplace(name, ours[index++]);
  for (Traced& one : traced)
    if (const auto it = renamed.find(fmt::format("{}{}", one.name, ending)); it != renamed.end())
      one.name = it->second.substr(0, it->second.size() - ending.size());
}

std::vector<int64_t> classes_of(const weights::StateDict& state, std::string_view origin) {
  const auto found = state.metadata.find("classes");
  if (found == state.metadata.end()) return {};
  try {
    return nlohmann::json::parse(found->second).get<std::vector<int64_t>>();
  } catch (const nlohmann::json::exception&) {
    throw WeightsError(
        fmt::format("{} says that 'classes' is '{:.60}', expected one number per picture, [3, 0, ...]", origin, found->second));
  }
}

}  // namespace

weights::StateDict to_state_dict(const Trace& trace) {
  weights::StateDict state;
  add(state, trace.modules, kActivation, kGradient);
  add(state, trace.parameters, kParameter, kParameterGradient);
  add(state, trace.buffers, kBuffer, {});
  if (trace.inference) state.add(std::string(kInference), to_array(trace.inference));
  state.metadata = trace.about;
  return state;
}

void write_trace(const std::filesystem::path& path, const Trace& trace) { weights::write_safetensors(path, to_state_dict(trace)); }

bool is_trace(const weights::StateDict& state) {
  for (const auto& [name, array] : state)
    if (name.starts_with(kActivation)) return true;
  return false;
}

Trace to_trace(const weights::StateDict& state, std::string_view origin, Device& device) {
  Trace trace;
  trace.modules = collect(state, kActivation, kGradient, origin, device);
  trace.parameters = collect(state, kParameter, kParameterGradient, origin, device);
  trace.buffers = collect(state, kBuffer, {}, origin, device);
  rename_fastais(trace.modules, ".weight");
  rename_fastais(trace.parameters, "");
  rename_fastais(trace.buffers, "");
  if (const weights::Array* logits = state.find(kInference)) trace.inference = to_tensor(*logits, device);
  trace.classes = classes_of(state, origin);
  trace.about = state.metadata;
  const auto order = trace.about.find("order");
  trace.ordered = order != trace.about.end() && order->second == "execution";
  return trace;
}

}  // namespace mirilla::nn
