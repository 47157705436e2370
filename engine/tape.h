// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/gradient_factor.h"
#include "engine/tensor.h"

/// The gradient tape: operators record what they did, backward reads it in reverse.
///
/// An operator computes y and records a node: its name, its inputs, and a function from dy to the inputs' gradients. Nodes are numbered as
/// they are recorded, so descending numbers are a topological order. Backward frees each node's function, and with it everything it
/// saved, as soon as it has run.
namespace mirilla::tape {

/// Which inputs' gradients are wanted, in the order of the inputs.
class Needs {
 public:
  explicit Needs(std::vector<bool> needs) : needs_(std::move(needs)) {}
  bool operator[](size_t input) const { return needs_[input]; }

 private:
  std::vector<bool> needs_;
};

/// The gradient that arrives at a node. Where it comes by two paths or more, nodes that say so when they are recorded get its last sum
/// undone, as two parts, and can add them in a pass of their own.
struct Arriving {
  Tensor first, second;  // alike; without a second tensor the first is all of it

  /// The whole gradient: op::Add of the parts, in place where nobody else holds the first.
  Tensor sum() &&;
};

/// One gradient per input, in order, each like its input; no tensor where there is none. That of an f32 input may be in halves, where the
/// device made it so (Backend::rounds): it is widened before anything is added to it, another node reads it, or grad() gives it.
using Gradients = std::vector<Tensor>;
using BackwardFunction = std::function<Gradients(Arriving dy, const Needs& needs)>;

/// A tensor kept for the backward pass, with its version. It is kept without its place on the tape, so an operator may save its own output.
class Saved {
 public:
  Saved() = default;
  explicit Saved(const Tensor& tensor);
  /// Throws Error if the storage was written to since.
  const Tensor& get() const;
  explicit operator bool() const { return static_cast<bool>(tensor_); }

 private:
  Tensor tensor_;
  uint64_t version_ = 0;
};

/// No tensor saves as nothing.
inline Saved save(const Tensor& tensor) { return tensor ? Saved(tensor) : Saved(); }

/// What the tape knows about one tensor.
struct GradState {
  DType dtype = DType::f32;              // of the tensor
  bool requires_grad = false;            // a leaf that accumulates its gradient
  bool keep = false;                     // watched: keeps the gradient that passes
  bool observed = false;                 // watched, or computed from something watched: recorded even under NoGrad
  Tensor grad;                           // as it came: times its factor, if the pass had one, and of f32 perhaps in halves
  std::shared_ptr<const Factor> factor;  // of the pass that it came from
  Tensor plain;                          // plain_gradient, once somebody asked
  std::shared_ptr<Node> producer;        // null for a leaf
  std::shared_ptr<GradState> window;     // of an Observed: holds the gradient in place of this state, and outlives the tape

  /// The state that holds the gradient.
  GradState& holder() { return window ? *window : *this; }
  void clear() {
    grad = plain = Tensor();
    factor = nullptr;
  }
};

struct Node {
  std::string name;
  std::shared_ptr<const std::string> module;  // the module that ran it, if names are needed: engine/running.h
  uint64_t number = 0;
  std::vector<std::shared_ptr<GradState>> inputs;  // null where no gradient can be wanted
  BackwardFunction backward;                       // empty once it has run
  bool takes_parts = false;                        // else what arrives has no second part

  ~Node();  // unlinks long chains without recursion
};

/// Whether an operator on these inputs has to be recorded: gradients are on and one of them requires its gradient, or one of them is
/// watched.
bool recording(std::initializer_list<Tensor> inputs);

namespace detail {
Tensor record(std::string_view name, std::initializer_list<Tensor> inputs, Tensor y, BackwardFunction backward, bool takes_parts = false);
}

/// Records that `y` was computed from `inputs` (no tensor for an absent one) and returns y. `backward` takes (dy), (dy, needs) or, for a
/// gradient in parts, (Arriving, needs), and returns Gradients, one per input. Nothing is recorded where recording(inputs) is false.
template <class F>
Tensor record(std::string_view name, std::initializer_list<Tensor> inputs, Tensor y, F backward) {
  if (!recording(inputs)) return y;
  if constexpr (std::invocable<F&, Arriving, const Needs&>) {
    return detail::record(name, inputs, std::move(y), std::move(backward), true);
  } else if constexpr (std::invocable<F&, const Tensor&, const Needs&>) {
    return detail::record(name, inputs, std::move(y),
                          [f = std::move(backward)](const Arriving& dy, const Needs& n) { return f(dy.first, n); });
  } else {
    return detail::record(name, inputs, std::move(y), [f = std::move(backward)](const Arriving& dy, const Needs&) { return f(dy.first); });
  }
}

/// Keeps the gradient that passes through this tensor at the next backward: read it with grad(). Everything computed from the tensor from
/// now on is recorded even if nothing requires a gradient, or under NoGrad.
void keep_gradient(Tensor& tensor);

/// The same values as a separate tensor, so that keeping its gradient does not keep that of x. Backward: dx = dy, the same tensor.
Tensor alias(const Tensor& x);

/// A tensor under keep_gradient, held from outside the tape: keeps its values and its gradient as long as it lives, and nothing that it
/// was computed from.
class Observed {
 public:
  /// Puts the tensor under keep_gradient.
  explicit Observed(Tensor tensor);
  /// The tensor: at its place on the tape as long as a later node needs it (or the tensor itself lives), and after that
  /// only its values; its gradient in both cases. Throws Error if the storage was written to since.
  Tensor tensor() const;

  /// For a replay, which wrote new values and a new gradient of the same pass there: accepts the current contents as observed.
  void renew();

 private:
  Tensor values_;  // off the tape
  uint64_t version_;
  std::weak_ptr<GradState> place_;
  std::shared_ptr<GradState> window_;
};

struct BackwardOptions {
  Tensor seed = {};  // d(objective)/d(root), like root; may be absent for one element: then 1
  std::vector<Tensor> targets =
      {};  // compute only these gradients, and nothing that does not lead to them; empty: every leaf and kept tensor
  std::shared_ptr<const Factor> factor = {};  // the seed is multiplied by it, and grad() divides by it: see amp::GradScaler::factor
  bool retain = false;                        // keep the saved tensors, for another backward through the same nodes
};

/// Fills grad() of the leaves and kept tensors that `root` was computed from. A leaf's gradient is added to its old value, a kept one
/// replaced. Throws Error where root was not recorded, or its nodes were freed by an earlier backward.
///
/// In the check mode (engine/running.h) each gradient is checked as soon as it is written. Under a factor above 1 none is: gradients that
/// overflow there are expected, and whoever chose the factor has to look for them and lower it; at 1 the factor cannot be blamed.
void backward(const Tensor& root, const BackwardOptions& options = {});

bool grad_enabled();

/// While it lives, this thread records nothing except what is watched.
class NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

}  // namespace mirilla::tape
