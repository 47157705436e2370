// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/tape.h"
#include "engine/tensor.h"

namespace mirilla::nn {

/// The outputs of a watched module, one per call, in the order of the calls, of the current or the last pass.
struct Capture {
  struct Call {
    tape::Observed output;
    size_t place = 0;  // among the outputs of all watched modules
  };
  std::vector<Call> calls;
  uint64_t pass = 0;
  const uint64_t id = next_id();  // counted from 1 and never reused

  std::mutex mutex;                  // guards the members below
  std::weak_ptr<const int> running;  // the pass that fills it now

 private:
  static uint64_t next_id();
};

/// A watch on a module, as long as the handle (or a copy of it) lives. It holds the module's outputs and their gradients and nothing
/// else of a pass; a module without a handle keeps nothing, and no callback is stored anywhere. A new pass of the root module starts again;
/// a pass that ended with an exception leaves the finished calls.
///
/// A model and its watches belong to one thread at a time: a second thread that runs it meanwhile gets an Error.
class Watch {
 public:
  explicit Watch(std::shared_ptr<Capture> capture, std::string name) : capture_(std::move(capture)), name_(std::move(name)) {}

  /// The module's name in torchvision, whatever name was requested: "layer4.1.relu".
  const std::string& name() const { return name_; }
  /// How often the module ran since the start of the root's last pass.
  size_t calls() const { return capture_->calls.size(); }
  /// The module's output at call number `call`, in its original dtype. It is on the tape as long as something computed from it
  /// is, so it may be a target of tape::backward, or an auxiliary loss may start from it. Throws Error if there was no such call, or if
  /// a later operation overwrote the output.
  Tensor activation(size_t call = 0) const;
  /// The gradient of this output at the last tape::backward, like Tensor::grad: without the scale of a GradScaler, f32 for an f16 output
  /// under one. Throws Error if there is none.
  Tensor gradient(size_t call = 0) const;
  /// How many outputs of watched modules came before this one in the root's last pass: sorts several watches in order of
  /// execution, a module's children before itself. Throws Error if there was no such call.
  size_t place(size_t call = 0) const { return at(call).place; }

 private:
  const Capture::Call& at(size_t call) const;

  std::shared_ptr<Capture> capture_;
  std::string name_;
};

/// tape::backward to every call of the watched modules and to nothing else: it stops at the earliest one and computes no parameter's
/// gradient. Inside tape::NoGrad tape::backward alone does the same. `options.targets` are targets as well.
void backward_to(std::span<const Watch> watches, const Tensor& root, tape::BackwardOptions options = {});

}  // namespace mirilla::nn
