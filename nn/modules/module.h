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

/// The name of a batch norm's buffer of variances, which are never negative.
inline constexpr std::string_view kRunningVariance = "running_var";

/// The full name of a child of `prefix`: "layer1" and "conv1" give "layer1.conv1".
std::string full_name(const std::string& prefix, const std::string& name);

/// A part of a network: named children, parameters (trained) and buffers (kept). operator() is the only way to run a module, so a watch
/// sees every call; a block that runs several of its children in one fused operation reports their outputs with observe().
///
/// Several threads may run one network at the same time as long as it does not change: in evaluation, without a gradient of its parameters
/// and without watches.
///
/// Under a profiler, each run is a range with the module's full name on the timeline. In the check mode (engine/running.h) each
/// output is checked, which waits for it: the first number that is not finite stops the work with an Error that names its module, or the
/// network's input if the number was already there.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  Tensor operator()(const Tensor& x);

  /// The kind, as named in PyTorch: "Conv2d".
  virtual std::string_view kind() const = 0;

  struct Child {
    std::string name;
    std::unique_ptr<Module> module;
  };
  const std::vector<Child>& children() const { return children_; }
  /// The module at a path of names: "layer4.1.relu"; "" is this one. Throws Error that lists the children.
  Module& at(std::string_view path);
  /// Its path in the network: "layer1.0.conv1"; "" for the network itself.
  std::string path() const;
  /// Every module below and this one, depth first, parents before children, with full names; this one's is "".
  std::vector<std::pair<std::string, Module*>> modules();

  /// This module's own parameters, or also those of all modules below with full names, in the order of their declaration.
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

  /// Whether pictures (N,H,W,3) may come to it with a fourth channel of zeros, as Tensor::used_channels says: their first reader is a
  /// convolution.
  virtual bool takes_padded_pictures() const { return false; }

  /// What a file says of the architecture beside the tensors, at least "architecture"; a module that does not say otherwise gives its kind.
  virtual std::map<std::string, std::string> description() const { return {{"architecture", std::string(kind())}}; }

  /// Another network of this architecture, beside this one, with the initial values that `seed` draws; null where a module cannot make one.
  virtual std::unique_ptr<Module> made_anew(uint64_t seed) const {
    static_cast<void>(seed);
    return nullptr;
  }

  /// What is wrong with this module's own tensors, as a clause: "its weight is not finite itself", "its running_var is negative, ..."; ""
  /// if nothing is. Waits.
  std::string flaw() const;

  /// Training or evaluation, for this module and all below.
  void train(bool on = true);
  void evaluate() { train(false); }
  bool training() const { return training_.load(std::memory_order_relaxed); }

  /// Sets the random numbers of the random layers below for the coming step: (seed, number), and each layer's own ordinal as the item.
  /// A step that is recorded and run again reads its number from `place`, (1) i64 on the device, instead.
  void begin_step(uint64_t seed, uint32_t number, const Tensor& place = {});

  /// The name of a module below in this library (torchvision's name), from any of these forms:
  ///
  ///   "layer4.1.relu"             torchvision's names pass unchanged
  ///   "model[0][-2]", "head[-1]"  a number picks a child of a Sequential, from the end if negative, and for a ResNet like fastai's
  ///                               Sequential(body, head); "model" is the model itself
  ///   "0.4.0.conv1", "1.8"        the same numbers, as in the names of fastai's state dict
  ///
  /// Throws UsageError that lists the names, also for the model itself.
  std::string resolve(std::string_view name);
  /// All names that a pattern fits, in the order of modules(): '*' is any text without a dot, '**' any text, '?' one character except a
  /// dot; the part before a wildcard may be an index path: "layer*.?.relu", "model[0][-1].*", "**.bn1". A name without wildcards is
  /// passed to resolve. Throws UsageError if nothing matches.
  std::vector<std::string> matching(std::string_view pattern);

  /// Watches one module, by any name that resolve knows; "" is this one. Throws UsageError for an unknown name, and for a pattern.
  Watch watch(std::string_view name);
  /// Watches all modules that match these patterns: in the order of the patterns, then of modules(), each once.
  std::vector<Watch> watch_all(const std::vector<std::string>& patterns);
  template <std::convertible_to<std::string_view>... Patterns>
  std::vector<Watch> watch_all(const Patterns&... patterns) {
    return watch_all(std::vector<std::string>{std::string(patterns)...});
  }
  bool watched() const { return capture() != nullptr; }
  /// The storage of this module's watches, for code that runs it inside a fused operation; null if it is not watched.
  std::shared_ptr<Capture> capture() const { return capture_.load().lock(); }
  /// Whether this module or any below is watched.
  bool any_watched() const;

  /// For a block that ran this child as part of a fused operation: records `output`, a tensor made by the block, as the child's output.
  /// Does nothing if the child is not watched.
  void observe(Tensor output);

  /// A run of this module, for the profiler and the check mode. operator() makes one, and so does code that runs a module inside a fused
  /// operation.
  class Run {
   public:
    Run(const Module& module, const Tensor& x);
    /// Reports the output.
    void wrote(const Tensor& y) const;

   private:
    const Module& module_;
    std::optional<running::Scope> scope_;
  };

 protected:
  virtual Tensor forward(const Tensor& x) = 0;

  /// The child selected by `indices`, and how many of them were used, for resolve. Empty: this kind has no numbered children.
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
    Tensor place = {};  // may contain the number
  };
  virtual void on_step(const RandomStep& step, uint32_t ordinal) { static_cast<void>(step), static_cast<void>(ordinal); }

  /// Adds a child; the reference is valid as long as this module lives.
  template <class M>
  M& add(std::string name, std::unique_ptr<M> module) {
    M& reference = *module;
    take_in(name, reference);
    children_.push_back({std::move(name), std::move(module)});
    return reference;
  }
  /// References stay valid: tensors are in a deque.
  Tensor& add_parameter(std::string name, Tensor tensor);
  Tensor& add_buffer(std::string name, Tensor tensor);

 private:
  void take_in(const std::string& name, Module& child);
  std::string shown_name() const;
  Module* child(std::string_view name);
  void collect(const std::string& prefix, std::vector<std::pair<std::string, Module*>>& all);
  void forget_outputs();
  void claim(Capture& capture) const;

  std::string name_;  // its name in the parent
  const Module* parent_ = nullptr;
  std::vector<Child> children_;
  std::deque<NamedTensor> parameters_;
  std::deque<NamedTensor> buffers_;
  friend class EvaluationMode;
  std::atomic<std::weak_ptr<Capture>> capture_;
  std::atomic<bool> training_ = true;
  std::vector<EvaluationMode*> modes_;  // live ones, the oldest first
};

/// A network in evaluation mode while this object lives; the root's previous mode is then restored for all modules below: by the last of
/// several that overlap, as when two threads run one network.
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
