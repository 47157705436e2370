// SPDX-License-Identifier: MIT
#include "engine/tape.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <unordered_map>

#include "engine/running.h"

namespace mirilla::tape {

namespace {

thread_local bool grad_is_enabled = true;

bool takes_part(const GradState& state) { return state.observed || (grad_is_enabled && (state.requires_grad || state.producer)); }

// The nodes that lead from a root to tensors whose gradient is wanted, newest first.
class Plan {
 public:
  Plan(const std::shared_ptr<Node>& root, const std::vector<Tensor>& targets) {
    for (const Tensor& target : targets) {
      if (!target.grad_state())
        throw Error("a gradient was requested for a tensor that the tape does not know",
                    "call set_requires_grad or tape::keep_gradient before the forward pass");
      targets_.push_back(target.grad_state().get());
    }
    visit(root);
  }

  bool wanted(const GradState* state) const {
    if (!state) return false;
    if (is_target(*state)) return true;
    const auto found = leads_.find(state->producer.get());
    return state->producer && found != leads_.end() && found->second;
  }

  // Whether this state's own gradient shall be left in grad().
  bool is_target(const GradState& state) const {
    if (targets_.empty()) return state.requires_grad || state.keep;
    return std::find(targets_.begin(), targets_.end(), &state) != targets_.end();
  }

  const std::map<uint64_t, std::shared_ptr<Node>, std::greater<>>& nodes() const { return order_; }

 private:
  // Depth first with an explicit stack: a long chain must not overflow the program's.
  void visit(const std::shared_ptr<Node>& root) {
    std::vector<std::pair<std::shared_ptr<Node>, size_t>> stack{{root, 0}};
    leads_[root.get()] = false;
    while (!stack.empty()) {
      auto& [node, next] = stack.back();
      if (next == node->inputs.size()) {
        finish(node);
        stack.pop_back();
        continue;
      }
      const auto& input = node->inputs[next++];
      if (input && input->producer && leads_.try_emplace(input->producer.get(), false).second) stack.emplace_back(input->producer, 0);
    }
  }

  void finish(const std::shared_ptr<Node>& node) {
    const bool leads = std::any_of(node->inputs.begin(), node->inputs.end(), [&](const auto& input) { return wanted(input.get()); });
    leads_[node.get()] = leads;
    if (leads) order_.emplace(node->number, node);
  }

  std::vector<const GradState*> targets_;
  std::unordered_map<const Node*, bool> leads_;
  std::map<uint64_t, std::shared_ptr<Node>, std::greater<>> order_;
};

// Gradients that have arrived and wait until their node runs.
class Pending {
 public:
  // At once where the node wants the sum: two parts would hold twice the memory until it runs. Only a leaf's may stay in halves, and only
  // if it is alone.
  void add(GradState* state, Tensor gradient) {
    Arriving& slot = slots_[state];
    if (slot.first || state->producer) gradient = as_wide_as(*state, gradient);
    if (!slot.first) {
      slot.first = std::move(gradient);
      return;
    }
    slot.first = as_wide_as(*state, std::move(slot.first));
    if (slot.second) slot = {std::move(slot).sum(), {}};
    slot.second = std::move(gradient);
    if (!state->producer || !state->producer->takes_parts) slot = {std::move(slot).sum(), {}};
  }

  Arriving take(GradState* state) {
    const auto found = slots_.find(state);
    if (found == slots_.end()) return {};
    Arriving gradient = std::move(found->second);
    slots_.erase(found);
    return gradient;
  }

 private:
  std::unordered_map<GradState*, Arriving> slots_;
};

Tensor plain_seed(const Tensor& root, const BackwardOptions& options) {
  if (options.seed) {
    if (options.seed.shape() != root.shape() || options.seed.dtype() != root.dtype())
      throw ShapeError(fmt::format("backward: expected a seed like the root ({1}), got {0}", describe(options.seed), describe(root)));
    return options.seed;
  }
  if (root.numel() != 1)
    throw ShapeError(fmt::format("backward: expected a root with one number, got the shape {}", to_string(root.shape())),
                     "reduce it to a loss, or give BackwardOptions a seed");
  return full(root.shape(), 1, root.dtype(), root.device());
}

Tensor seed_of(const Tensor& root, const BackwardOptions& options, const Factor* factor) {
  if (!factor) return plain_seed(root, options);
  if (root.dtype() != DType::f32)
    throw ShapeError(fmt::format("backward: expected f32 for a root with a factor, got {}", describe(root)),
                     "cross_entropy gives f32 for half logits");
  if (!options.seed && root.numel() == 1) return factor->value.view(root.shape());
  Tensor seed = empty_like(root);
  seed.backend().run(op::Multiply{plain_seed(root, options), factor->value, seed});
  return seed;
}

std::vector<bool> needs_of(const Node& node, const Plan& plan) {
  std::vector<bool> needs;
  for (const auto& input : node.inputs) needs.push_back(plan.wanted(input.get()));
  return needs;
}

// "the backward of conv2d in layer1.0.conv1"
std::string name_of(const Node& node) {
  return fmt::format("the backward of {}{}", node.name, node.module ? fmt::format(" in {}", *node.module) : "");
}

bool checks_gradients(const Tensor& root, const Factor* factor) {
  if (!running::checking() || root.device().recording()) return false;
  return !factor || factor->value.item() <= 1;
}

void check_gradients(const Node& node, const Gradients& gradients) {
  for (size_t i = 0; i < gradients.size(); ++i)
    running::check_finite(gradients[i], name_of(node), fmt::format("wrote the first {{}}, in the gradient of its input {}", i + 1));
}

void run(Node& node, Arriving dy, const Plan& plan, Pending& pending, bool retain, bool check) {
  std::optional<running::Scope> scope;
  if (running::names_wanted(dy.first.device())) scope.emplace(dy.first.device(), name_of(node));
  if (check) running::check_finite(dy.first, name_of(node), "was given the first {}, by the loss or as a sum of gradients that meet there");
  if (!node.backward)
    throw Error(fmt::format("backward went through '{}' before, and what it had saved is freed", node.name),
                "run the forward pass again, or give the first backward retain = true");
  const Needs needs(needs_of(node, plan));
  const Gradients gradients = node.backward(std::move(dy), needs);
  if (gradients.size() != node.inputs.size())
    throw Error(fmt::format("'{}' has {} inputs and its backward gave {} gradients", node.name, node.inputs.size(), gradients.size()));
  if (check) check_gradients(node, gradients);
  for (size_t i = 0; i < gradients.size(); ++i)
    if (needs[i] && gradients[i]) pending.add(node.inputs[i].get(), gradients[i]);
  if (!retain) node.backward = nullptr;
}

}  // namespace

Saved::Saved(const Tensor& tensor) : tensor_(tensor.detach()), version_(tensor.version()) {}

const Tensor& Saved::get() const {
  if (!tensor_) return tensor_;
  if (tensor_.version() != version_)
    throw Error(fmt::format("a tensor {} that backward needs was overwritten since the forward pass", to_string(tensor_.shape())),
                "write into a copy (clone), or run backward first");
  return tensor_;
}

Node::~Node() {
  // Without this, destroying a long chain of nodes would recurse as deeply as the chain is long.
  std::vector<std::shared_ptr<GradState>> rest = std::move(inputs);
  backward = nullptr;
  while (!rest.empty()) {
    std::shared_ptr<GradState> state = std::move(rest.back());
    rest.pop_back();
    if (!state || state.use_count() > 1 || !state->producer || state->producer.use_count() > 1) continue;
    Node& producer = *state->producer;
    producer.backward = nullptr;
    std::move(producer.inputs.begin(), producer.inputs.end(), std::back_inserter(rest));
    producer.inputs.clear();
  }
}

bool recording(std::initializer_list<Tensor> inputs) {
  return std::any_of(inputs.begin(), inputs.end(),
                     [](const Tensor& input) { return input && input.grad_state() && takes_part(*input.grad_state()); });
}

Tensor Arriving::sum() && {
  if (!second) return std::move(first);
  Tensor total = first.is_sole_owner() ? first : empty_like(first);
  total.backend().run(op::Add{first, second, total});
  return total;
}

Tensor detail::record(std::string_view name, std::initializer_list<Tensor> inputs, Tensor y, BackwardFunction backward, bool takes_parts) {
  static std::atomic<uint64_t> last{0};
  auto node = std::make_shared<Node>();
  node->name = name;
  node->module = running::name();
  node->number = last.fetch_add(1, std::memory_order_relaxed) + 1;
  node->backward = std::move(backward);
  node->takes_parts = takes_parts;
  auto state = std::make_shared<GradState>();
  state->dtype = y.dtype();
  for (const Tensor& input : inputs) {
    const bool in = input && input.grad_state() && takes_part(*input.grad_state());
    node->inputs.push_back(in ? input.grad_state() : nullptr);
    state->observed |= in && input.grad_state()->observed;
  }
  state->producer = std::move(node);
  y.set_grad_state(std::move(state));
  return y;
}

void keep_gradient(Tensor& tensor) {
  if (!tensor.grad_state()) {
    tensor.set_grad_state(std::make_shared<GradState>());
    tensor.grad_state()->dtype = tensor.dtype();
  }
  tensor.grad_state()->keep = true;
  tensor.grad_state()->observed = true;
}

Tensor alias(const Tensor& x) {
  return record("alias", {x}, x.detach(), [](const Tensor& dy) { return Gradients{dy}; });
}

Observed::Observed(Tensor tensor) : values_(tensor.detach()), version_(tensor.version()) {
  keep_gradient(tensor);
  place_ = tensor.grad_state();
  window_ = tensor.grad_state()->window;
  if (window_) return;  // already observed, as the output of an inner module
  window_ = std::make_shared<GradState>();
  window_->dtype = tensor.dtype();
  window_->keep = true;
  tensor.grad_state()->window = window_;
}

Tensor Observed::tensor() const {
  if (values_.version() != version_)
    throw Error(fmt::format("a watched tensor {} was overwritten since it was seen", to_string(values_.shape())),
                "a later operation writes in place: let it write to its own tensor, or read this one before it runs");
  Tensor tensor = values_.detach();
  const auto place = place_.lock();
  tensor.set_grad_state(place ? place : window_);
  return tensor;
}

void Observed::renew() {
  version_ = values_.version();
  window_->plain = Tensor();
}

void backward(const Tensor& root, const BackwardOptions& options) {
  const auto& state = root.grad_state();
  if (!state)
    throw Error("backward was called on a tensor that no operator recorded",
                "does anything require a gradient, and is a NoGrad scope open?");
  const Tensor seed = seed_of(root, options, options.factor.get());
  const auto deposit = [&](GradState& to, const Tensor& gradient) { accumulate(to.holder(), gradient, options.factor); };
  const NoGrad no_grad;
  Pending pending;
  pending.add(state.get(), seed);
  if (!state->producer) {
    deposit(*state, seed);
    return;
  }
  const Plan plan(state->producer, options.targets);
  const bool check = checks_gradients(root, options.factor.get());
  // A node knows its inputs; the gradient of its output is stored under the output's state.
  std::unordered_map<const Node*, std::shared_ptr<GradState>> outputs{{state->producer.get(), state}};
  std::vector<std::shared_ptr<GradState>> leaves;
  for (const auto& [number, node] : plan.nodes())
    for (const auto& input : node->inputs) {
      if (!plan.wanted(input.get())) continue;
      if (input->producer) {
        outputs.emplace(input->producer.get(), input);
      } else if (std::find(leaves.begin(), leaves.end(), input) == leaves.end()) {
        leaves.push_back(input);
      }
    }
  for (const auto& [number, node] : plan.nodes()) {
    GradState& output = *outputs.at(node.get());
    Arriving dy = pending.take(&output);
    if (!dy.first) continue;  // no gradient reached this node
    const bool target = plan.is_target(output);
    if (target || check) dy = {std::move(dy).sum(), {}};
    if (target) deposit(output, dy.first);
    run(*node, std::move(dy), plan, pending, options.retain, check);
  }
  for (const auto& leaf : leaves)
    if (const Tensor gradient = pending.take(leaf.get()).sum()) deposit(*leaf, gradient);
  // The node of a target that depends on nothing wanted has not run.
  for (const auto& [node, output] : outputs)
    if (const Tensor gradient = pending.take(output.get()).sum(); gradient && plan.is_target(*output)) deposit(*output, gradient);
}

bool grad_enabled() { return grad_is_enabled; }

NoGrad::NoGrad() : before_(grad_is_enabled) { grad_is_enabled = false; }
NoGrad::~NoGrad() { grad_is_enabled = before_; }

}  // namespace mirilla::tape
