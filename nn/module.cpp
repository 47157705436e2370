// SPDX-License-Identifier: MIT
#include "nn/module.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace mirilla::nn {

namespace {

// How deep this thread is in modules running modules; at 0 a new pass begins and earlier outputs are forgotten.
thread_local int running_depth = 0;
// How many outputs this thread's pass has left with watches.
thread_local size_t observed = 0;

struct Running {
  Running() { ++running_depth; }
  ~Running() { --running_depth; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
};

std::string join(const std::string& prefix, const std::string& name) { return prefix.empty() ? name : prefix + "." + name; }

}  // namespace

void Watch::check(size_t call) const {
  if (call >= calls())
    throw Error(fmt::format("'{}' is watched, and ran {} times, so there is no call {}", name_, calls(), call),
                "run the model while the watch lives");
}

Tensor Watch::activation(size_t call) const {
  check(call);
  return capture_->outputs[call];
}

size_t Watch::place(size_t call) const {
  check(call);
  return capture_->places[call];
}

Tensor Watch::gradient(size_t call) const {
  const Tensor gradient = activation(call).grad();
  if (!gradient) throw Error(fmt::format("no gradient came to '{}'", name_), "call tape::backward on something computed from its output");
  return gradient;
}

Tensor Module::operator()(const Tensor& x) {
  if (running_depth == 0) {
    forget_outputs();
    observed = 0;
  }
  const Running running;
  Tensor y = forward(x);
  observe(y);
  return y;
}

void Module::observe(Tensor output) {
  const auto capture = capture_.lock();
  if (!capture) return;
  tape::keep_gradient(output);
  capture->outputs.push_back(std::move(output));
  capture->places.push_back(observed++);
}

void Module::forget_outputs() {
  if (const auto capture = capture_.lock()) *capture = {};
  for (const Child& child : children_) child.module->forget_outputs();
}

Module& Module::at(std::string_view path) {
  if (path.empty()) return *this;
  const size_t dot = path.find('.');
  const std::string_view first = path.substr(0, dot);
  const auto child = std::find_if(children_.begin(), children_.end(), [&](const Child& c) { return c.name == first; });
  if (child == children_.end()) {
    std::vector<std::string> names;
    for (const Child& c : children_) names.push_back(c.name);
    throw Error(fmt::format("a {} has no child '{}'", kind(), first),
                names.empty() ? "it has none" : fmt::format("it has {}", fmt::join(names, ", ")));
  }
  return child->module->at(dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1));
}

void Module::collect(const std::string& prefix, std::vector<std::pair<std::string, Module*>>& all) {
  all.emplace_back(prefix, this);
  for (const Child& child : children_) child.module->collect(join(prefix, child.name), all);
}

std::vector<std::pair<std::string, Module*>> Module::modules() {
  std::vector<std::pair<std::string, Module*>> all;
  collect("", all);
  return all;
}

std::vector<NamedTensor> Module::own_parameters() const { return {parameters_.begin(), parameters_.end()}; }
std::vector<NamedTensor> Module::own_buffers() const { return {buffers_.begin(), buffers_.end()}; }

std::vector<NamedTensor> Module::parameters() const {
  std::vector<NamedTensor> all = own_parameters();
  for (const Child& child : children_)
    for (const NamedTensor& below : child.module->parameters()) all.push_back({join(child.name, below.name), below.tensor});
  return all;
}

std::vector<NamedTensor> Module::buffers() const {
  std::vector<NamedTensor> all = own_buffers();
  for (const Child& child : children_)
    for (const NamedTensor& below : child.module->buffers()) all.push_back({join(child.name, below.name), below.tensor});
  return all;
}

void Module::train(bool on) {
  training_ = on;
  for (const Child& child : children_) child.module->train(on);
}

void Module::begin_step(uint64_t seed, uint32_t step) {
  uint32_t ordinal = 0;
  for (const auto& [name, module] : modules()) module->on_step(seed, step, ordinal++);
}

Watch Module::watch(std::string_view path) {
  Module& module = at(path);
  auto capture = module.capture_.lock();
  if (!capture) {
    capture = std::make_shared<Capture>();
    module.capture_ = capture;
  }
  return Watch(std::move(capture), std::string(path));
}

bool Module::any_watched() const {
  return watched() || std::any_of(children_.begin(), children_.end(), [](const Child& child) { return child.module->any_watched(); });
}

Tensor& Module::add_parameter(std::string name, Tensor tensor) {
  tensor.set_requires_grad();
  return parameters_.emplace_back(NamedTensor{std::move(name), std::move(tensor)}).tensor;
}

Tensor& Module::add_buffer(std::string name, Tensor tensor) {
  return buffers_.emplace_back(NamedTensor{std::move(name), std::move(tensor)}).tensor;
}

}  // namespace mirilla::nn
