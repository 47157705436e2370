// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <concepts>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/running.h"
#include "engine/tensor.h"
#include "nn/modules/watch.h"

namespace mirilla::nn {

class EvaluationMode;
class Module;

/// A tensor and its full name: "layer1.0.conv1.weight".
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// What a batch norm calls the buffer of its variances, none of which is ever negative.
inline constexpr std::string_view kRunningVariance = "running_var";

/// The name of a part of `prefix`: "layer1" and "conv1" give "layer1.conv1".
std::string full_name(const std::string& prefix, const std::string& name);

/// A part of a network: named children, parameters (trained) and buffers (kept). operator() is the only way a module runs, so a watch
/// sees every call; a block that runs several of its children in one fused operation leaves their outputs through observe().
///
/// Several threads may run one network at a time as long as nothing of it changes: in evaluation, without a gradient of its parameters and
/// without watches.
///
/// While a profiler looks on, each run is a range of the module's full name on its timeline. In the check mode (engine/running.h) each
/// output is waited for and looked at: the first number that is not finite stops the work with an Error that names who wrote it, or the
/// network's input where it was there before.
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
  /// Where it is in the network it belongs to: "layer1.0.conv1"; "" for the network itself.
  std::string path() const;
  /// Every module below and this one, depth first, parents before children, with full names; this one's is "".
  std::vector<std::pair<std::string, Module*>> modules();

  /// This module's own, or all below too with full names, in the order of their declaration.
  std::vector<NamedTensor> own_parameters() const;
  std::vector<NamedTensor> parameters() const;
  std::vector<NamedTensor> own_buffers() const;
  std::vector<NamedTensor> buffers() const;

  /// The parameters in groups, from the input to the output: each group has its own learning rate, and freezing leaves out all but the
  /// last. A network that does not say otherwise trains as one group, of which nothing freezes.
  virtual std::vector<std::vector<NamedTensor>> parameter_groups() const { return {parameters()}; }

  /// What this module makes of the last output of one of its children: the rest of its forward. No function where the rest does not follow
  /// from that output alone (a shortcut goes around the child), or where a kind of module does not say. For explanations that change a
  /// layer's output (nn/explain/run_after.h), and to tell the main path of a network from what lies beside it.
  using Rest = std::function<Tensor(const Tensor& output)>;
  virtual Rest rest_after(std::string_view child) {
    static_cast<void>(child);
    return {};
  }

  /// What a file says of the architecture beside the tensors, at least "architecture"; a module that does not say otherwise gives its kind.
  virtual std::map<std::string, std::string> description() const { return {{"architecture", std::string(kind())}}; }

  /// Another network of this architecture, beside this one, with the initial values that `seed` draws; null where a module cannot make one.
  virtual std::unique_ptr<Module> made_anew(uint64_t seed) const {
    static_cast<void>(seed);
    return nullptr;
  }

  /// What is wrong with this module's own tensors, in a clause: "its weight is not finite itself", "its running_var is negative, ..."; ""
  /// for nothing. Waits.
  std::string flaw() const;

  /// Training or evaluation, for this module and all below.
  void train(bool on = true);
  void evaluate() { train(false); }
  bool training() const { return training_.load(std::memory_order_relaxed); }

  /// Tells the random layers below which numbers are theirs in the coming step: (seed, number), and each layer's own ordinal as the item.
  /// A step that is recorded to be run again reads its number from `place`, (1) i64 on the device, instead.
  void begin_step(uint64_t seed, uint32_t number, const Tensor& place = {});

  /// This library's name for a module below, torchvision's, whatever it is called by:
  ///
  ///   "layer4.1.relu"             torchvision's names pass unchanged
  ///   "model[0][-2]", "head[-1]"  a number picks a child of a Sequential, from its end where it is negative, and of a ResNet as fastai's
  ///                               Sequential(body, head) would; "model" is the model itself
  ///   "0.4.0.conv1", "1.8"        the same numbers, as they stand in the names of fastai's state dict
  ///
  /// Throws UsageError with the names there are, also for the model itself.
  std::string resolve(std::string_view name);
  /// All names that a pattern fits, in the order of modules(): '*' is any text without a dot, '**' any text, '?' one character but a dot;
  /// what stands before a wildcard may be an index path: "layer*.?.relu", "model[0][-1].*", "**.bn1". A name without wildcards is
  /// resolve's. Throws UsageError where nothing fits.
  std::vector<std::string> matching(std::string_view pattern);

  /// Watches one module, by any name that resolve knows; "" is this one. Throws UsageError for an unknown name, and for a pattern.
  Watch watch(std::string_view name);
  /// Watches all modules that these patterns fit: in the order of the patterns, then of modules(), each once.
  std::vector<Watch> watch_all(const std::vector<std::string>& patterns);
  template <std::convertible_to<std::string_view>... Patterns>
  std::vector<Watch> watch_all(const Patterns&... patterns) {
    return watch_all(std::vector<std::string>{std::string(patterns)...});
  }
  bool watched() const { return capture() != nullptr; }
  /// What the watches of this module see, for whoever runs it by other means; none where nobody watches.
  std::shared_ptr<Capture> capture() const { return capture_.load().lock(); }
  /// Whether this module or any below is watched.
  bool any_watched() const;

  /// For a block that ran this child as part of a fused operation: leaves `output`, a tensor of the block's own, as the child's. Nothing
  /// happens where nobody watches.
  void observe(Tensor output);

  /// A run of this module, for those who look on: operator() makes one, and so does whoever runs a module inside a fused operation.
  class Run {
   public:
    Run(const Module& module, const Tensor& x);
    /// Says what came out.
    void wrote(const Tensor& y) const;

   private:
    const Module& module_;
    std::optional<running::Scope> scope_;
  };

 protected:
  virtual Tensor forward(const Tensor& x) = 0;

  /// The child that numbers mean, and how many of `indices` were needed to say so: for resolve. None: this kind has no numbered children.
  struct Indexed {
    std::string child;
    size_t used = 1;
  };
  virtual std::optional<Indexed> indexed(std::span<const int> indices) const {
    static_cast<void>(indices);
    return std::nullopt;
  }

  struct RandomStep {
    uint64_t seed = 0;
    uint32_t number = 0;
    Tensor place = {};  // may hold the number
  };
  virtual void on_step(const RandomStep& step, uint32_t ordinal) { static_cast<void>(step), static_cast<void>(ordinal); }

  /// Takes a child in; the reference lives as long as this module.
  template <class M>
  M& add(std::string name, std::unique_ptr<M> module) {
    M& reference = *module;
    take_in(name, reference);
    children_.push_back({std::move(name), std::move(module)});
    return reference;
  }
  /// References stay valid: tensors live in a deque.
  Tensor& add_parameter(std::string name, Tensor tensor);
  Tensor& add_buffer(std::string name, Tensor tensor);

 private:
  void take_in(const std::string& name, Module& child);
  std::string shown_name() const;
  Module* child(std::string_view name);
  void collect(const std::string& prefix, std::vector<std::pair<std::string, Module*>>& all);
  void forget_outputs();
  void claim(Capture& capture) const;

  std::string name_;  // as the parent calls it
  const Module* parent_ = nullptr;
  std::vector<Child> children_;
  std::deque<NamedTensor> parameters_;
  std::deque<NamedTensor> buffers_;
  friend class EvaluationMode;
  std::atomic<std::weak_ptr<Capture>> capture_;
  std::atomic<bool> training_ = true;
  std::vector<EvaluationMode*> modes_;  // that live, the oldest first
};

/// A network in evaluation mode while this object lives; the mode the root had is put back after, for all below: by the last of several
/// that overlap, as they do where two threads run one network.
class EvaluationMode {
 public:
  explicit EvaluationMode(Module& model);
  ~EvaluationMode();
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  Module& model_;
  bool found_ = false;  // whether it was training
};

}  // namespace mirilla::nn
