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

/// What a watched module left behind: one output a call, in the order of the calls, of the pass that is running or ran last.
struct Capture {
  struct Call {
    tape::Observed output;
    size_t place = 0;  // among the outputs of all watched modules
  };
  std::vector<Call> calls;
  uint64_t pass = 0;
  const uint64_t id = next_id();  // counted from 1 and never given twice

  std::mutex mutex;                  // guards what follows
  std::weak_ptr<const int> running;  // the pass that fills it now

 private:
  static uint64_t next_id();
};

/// A window into a module, as long as the handle (or a copy of it) lives. It holds the module's outputs and their gradients and nothing
/// else of a pass; a module without a handle keeps nothing, and no callback is stored anywhere. A new pass of the root module begins anew;
/// one that ended in an exception leaves the calls that were finished.
///
/// A model and its watches belong to one thread at a time: a second one that runs it meanwhile gets an Error.
class Watch {
 public:
  explicit Watch(std::shared_ptr<Capture> capture, std::string name) : capture_(std::move(capture)), name_(std::move(name)) {}

  /// As torchvision calls the module, whatever it was asked for by: "layer4.1.relu".
  const std::string& name() const { return name_; }
  /// How often the module ran since the root last began.
  size_t calls() const { return capture_->calls.size(); }
  /// The module's output at its call number `call`, in the dtype that it had. It is on the tape for as long as what was computed from it
  /// is, so it may be a target of tape::backward, or an auxiliary loss may begin there. Throws Error where there was no such call, or where
  /// a later operation overwrote the output.
  Tensor activation(size_t call = 0) const;
  /// The gradient of that output at the last tape::backward, as Tensor::grad: without the scale of a GradScaler, f32 for an f16 output
  /// under one. Throws Error where none came.
  Tensor gradient(size_t call = 0) const;
  /// How many outputs of watched modules came before this one since the root last began: sorts several watches into the order of
  /// execution, a module's children before itself. Throws Error where there was no such call.
  size_t place(size_t call = 0) const { return at(call).place; }

 private:
  const Capture::Call& at(size_t call) const;

  std::shared_ptr<Capture> capture_;
  std::string name_;
};

/// tape::backward to every call of the watched modules and to nothing else: it stops at the earliest of them and computes no parameter's
/// gradient. Inside tape::NoGrad tape::backward alone does the same. `options.targets` are targets as well.
void backward_to(std::span<const Watch> watches, const Tensor& root, tape::BackwardOptions options = {});

}  // namespace mirilla::nn
