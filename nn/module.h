// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tape.h"
#include "engine/tensor.h"

namespace mirilla::nn {

class Module;

/// A tensor and its full name: "layer1.0.conv1.weight".
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// What a watched module left behind: one output a call, in the order of the calls since the root module last began to run.
struct Capture {
  std::vector<Tensor> outputs;
  std::vector<size_t> places;  // each output's among those of all watched modules
};

/// A window into a module, as long as the handle lives. A module without a handle keeps nothing; no callback is stored anywhere.
class Watch {
 public:
  explicit Watch(std::shared_ptr<Capture> capture, std::string name) : capture_(std::move(capture)), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  /// How often the module ran since the root last began.
  size_t calls() const { return capture_->outputs.size(); }
  /// The module's output at its call number `call`. Throws Error where there was none.
  Tensor activation(size_t call = 0) const;
  /// The gradient of that output, after tape::backward. Throws Error where none came.
  Tensor gradient(size_t call = 0) const;
  /// How many outputs of watched modules came before this one since the root last began: sorts several watches into the order of
  /// execution, a module's children before itself. Throws Error where there was no such call.
  size_t place(size_t call = 0) const;

 private:
  void check(size_t call) const;

  std::shared_ptr<Capture> capture_;
  std::string name_;
};

/// A part of a network: named children, parameters (trained) and buffers (kept). operator() is the only way a module runs, so a watch
/// sees every call; a block that runs several of its children in one fused operation leaves their outputs through observe().
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  Tensor operator()(const Tensor& x);

  /// The kind, as PyTorch calls it: "Conv2d".
  virtual std::string_view kind() const = 0;

  struct Child {
    std::string name;
    std::unique_ptr<Module> module;
  };
  const std::vector<Child>& children() const { return children_; }
  /// The module at a path of names: "layer4.1.relu"; "" is this one. Throws Error naming the children there are.
  Module& at(std::string_view path);
  /// Every module below and this one, depth first, parents before children, with full names; this one's is "".
  std::vector<std::pair<std::string, Module*>> modules();

  /// This module's own, or all below too with full names, in the order of their declaration.
  std::vector<NamedTensor> own_parameters() const;
  std::vector<NamedTensor> parameters() const;
  std::vector<NamedTensor> own_buffers() const;
  std::vector<NamedTensor> buffers() const;

  /// Training or evaluation, for this module and all below.
  void train(bool on = true);
  void evaluate() { train(false); }
  bool training() const { return training_; }

  /// Tells the random layers below which numbers are theirs in the coming step: (seed, step), and each layer's own ordinal as the item.
  void begin_step(uint64_t seed, uint32_t step);

  /// Watches the module at `path`.
  Watch watch(std::string_view path);
  bool watched() const { return !capture_.expired(); }
  /// Whether this module or any below is watched.
  bool any_watched() const;

  /// For a block that ran this child as part of a fused operation: leaves `output` as the child's. Nothing happens where nobody watches.
  void observe(Tensor output);

 protected:
  virtual Tensor forward(const Tensor& x) = 0;
  virtual void on_step(uint64_t seed, uint32_t step, uint32_t ordinal) {
    static_cast<void>(seed), static_cast<void>(step), static_cast<void>(ordinal);
  }

  /// Takes a child in; the reference lives as long as this module.
  template <class M>
  M& add(std::string name, std::unique_ptr<M> module) {
    M& reference = *module;
    children_.push_back({std::move(name), std::move(module)});
    return reference;
  }
  /// References stay valid: tensors live in a deque.
  Tensor& add_parameter(std::string name, Tensor tensor);
  Tensor& add_buffer(std::string name, Tensor tensor);

 private:
  void collect(const std::string& prefix, std::vector<std::pair<std::string, Module*>>& all);
  void forget_outputs();

  std::vector<Child> children_;
  std::deque<NamedTensor> parameters_;
  std::deque<NamedTensor> buffers_;
  std::weak_ptr<Capture> capture_;
  bool training_ = true;
};

/// A network in evaluation mode while this object lives; the mode the root had is put back after, for all below.
class EvaluationMode {
 public:
  explicit EvaluationMode(Module& model) : model_(model), training_(model.training()) { model.evaluate(); }
  ~EvaluationMode() { model_.train(training_); }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  Module& model_;
  bool training_;
};

}  // namespace mirilla::nn
