// SPDX-License-Identifier: MIT
#include "nn/modules/module.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <mutex>

namespace mirilla::nn {

namespace {

// The depth of nested module runs in this thread; at 0 a new pass begins and earlier outputs are dropped.
thread_local int running_depth = 0;
// The unique number of this thread's pass, and how many outputs it has stored in watches.
thread_local uint64_t pass = 0;
thread_local size_t observed = 0;
// Lives as long as the pass, if the pass runs a watched module.
thread_local std::shared_ptr<const int> pass_token;

std::mutex evaluation_modes;  // guards each module's list of them

struct Depth {
  Depth() {
    static std::atomic<uint64_t> passes{0};
    if (running_depth++ > 0) return;
    pass = passes.fetch_add(1, std::memory_order_relaxed) + 1;
    observed = 0;
  }
  ~Depth() {
    if (--running_depth == 0) pass_token = nullptr;
  }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;
};

}  // namespace

std::string full_name(const std::string& prefix, const std::string& name) { return prefix.empty() ? name : prefix + "." + name; }

Tensor Module::operator()(const Tensor& x) {
  const Depth depth;
  if (running_depth == 1) forget_outputs();
  const Run run(*this, x);
  Tensor y = forward(x);
  run.wrote(y);
  if (!watched()) return y;
  y = tape::alias(y);  // y may be x itself, or a child's output: what is kept for this module must not be shared with another tensor
  observe(y);
  return y;
}

Module::Run::Run(const Module& module, const Tensor& x) : module_(module) {
  if (!running::names_wanted(x.device())) return;
  if (running::checking() && !running::name())
    running::check_finite(x, fmt::format("the input of {}", module.shown_name()), "holds the first {}",
                          "it existed before the network ran");
  scope_.emplace(x.device(), module.shown_name());
}

void Module::Run::wrote(const Tensor& y) const {
  if (!running::checking() || y.device().recording() || !running::first_not_finite(y)) return;
  running::check_finite(y, module_.shown_name(), "wrote the first {} (forward)", module_.flaw());
}

std::string Module::flaw() const {
  for (const auto* own : {&parameters_, &buffers_})
    for (const NamedTensor& tensor : *own)
      if (running::first_not_finite(tensor.tensor)) return fmt::format("its {} is not finite itself", tensor.name);
  for (const NamedTensor& tensor : buffers_) {
    if (tensor.name != kRunningVariance) continue;
    const std::vector<double> values = tensor.tensor.to_doubles();
    if (std::any_of(values.begin(), values.end(), [](double value) { return value < 0; }))
      return fmt::format("its {} is negative, and a variance never is", tensor.name);
  }
  return {};
}

std::string Module::path() const { return parent_ ? full_name(parent_->path(), name_) : std::string(); }

std::string Module::shown_name() const { return parent_ ? path() : std::string(kind()); }

void Module::take_in(const std::string& name, Module& child) {
  child.name_ = name;
  child.parent_ = this;
}

// Two passes would mix their outputs in one list.
void Module::claim(Capture& capture) const {
  if (!pass_token && running_depth > 0) pass_token = std::make_shared<const int>();
  const std::lock_guard lock(capture.mutex);
  const std::shared_ptr<const int> other = capture.running.lock();
  if (other && other != pass_token)
    throw Error(fmt::format("{} is watched, but two threads run it at once", shown_name()),
                "run it in one thread at a time, or give each thread its own network; without watches they may share one");
  capture.running = pass_token;
}

void Module::observe(Tensor output) {
  const auto mine = capture();
  if (!mine) return;
  claim(*mine);
  if (mine->pass != pass) mine->calls.clear();  // for a module that is not a child of the root: nothing else clears them
  mine->pass = pass;
  mine->calls.push_back({.output = tape::Observed(std::move(output)), .place = observed++});
}

void Module::forget_outputs() {
  if (const auto mine = capture()) {
    claim(*mine);
    mine->calls.clear();
  }
  for (const Child& child : children_) child.module->forget_outputs();
}

EvaluationMode::EvaluationMode(Module& model) : model_(model) {
  const std::lock_guard lock(evaluation_modes);
  model_.modes_.push_back(this);
  found_ = model_.training();
  model_.evaluate();
}

EvaluationMode::~EvaluationMode() {
  const std::lock_guard lock(evaluation_modes);
  auto& modes = model_.modes_;
  const auto mine = std::find(modes.begin(), modes.end(), this), next = mine + 1;
  if (next == modes.end()) {
    model_.train(found_);
  } else {
    (*next)->found_ = found_;  // it began later and still needs evaluation; it restores the mode from before both
  }
  modes.erase(mine);
}

Module& Module::at(std::string_view path) {
  if (path.empty()) return *this;
  const size_t dot = path.find('.');
  const std::string_view first = path.substr(0, dot);
  Module* const below = child(first);
  if (!below) {
    std::vector<std::string> names;
    for (const Child& c : children_) names.push_back(c.name);
    throw Error(fmt::format("a {} has no child '{}'", kind(), first),
                names.empty() ? "it has none" : fmt::format("it has {}", fmt::join(names, ", ")));
  }
  return below->at(dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1));
}

Module* Module::child(std::string_view name) {
  const auto found = std::find_if(children_.begin(), children_.end(), [&](const Child& c) { return c.name == name; });
  return found == children_.end() ? nullptr : found->module.get();
}

void Module::collect(const std::string& prefix, std::vector<std::pair<std::string, Module*>>& all) {
  all.emplace_back(prefix, this);
  for (const Child& child : children_) child.module->collect(full_name(prefix, child.name), all);
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
    for (const NamedTensor& below : child.module->parameters()) all.push_back({full_name(child.name, below.name), below.tensor});
  return all;
}

std::vector<NamedTensor> Module::buffers() const {
  std::vector<NamedTensor> all = own_buffers();
  for (const Child& child : children_)
    for (const NamedTensor& below : child.module->buffers()) all.push_back({full_name(child.name, below.name), below.tensor});
  return all;
}

void Module::train(bool on) {
  training_ = on;
  for (const Child& child : children_) child.module->train(on);
}

void Module::begin_step(uint64_t seed, uint32_t number, const Tensor& place) {
  uint32_t ordinal = 0;
  for (const auto& [name, module] : modules()) module->on_step({.seed = seed, .number = number, .place = place}, ordinal++);
}

Watch Module::watch(std::string_view name) {
  std::string path = name.empty() ? std::string() : resolve(name);
  Module& module = at(path);
  std::weak_ptr<Capture> before = module.capture_.load();
  auto capture = before.lock();
  while (!capture) {
    capture = std::make_shared<Capture>();
    if (!module.capture_.compare_exchange_strong(before, capture)) capture = before.lock();  // another thread was first
  }
  return Watch(std::move(capture), std::move(path));
}

std::vector<Watch> Module::watch_all(const std::vector<std::string>& patterns) {
  std::vector<std::string> names;
  for (const std::string& pattern : patterns)
    for (std::string& name : matching(pattern))
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  std::vector<Watch> watches;
  for (const std::string& name : names) watches.push_back(watch(name));
  return watches;
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
