// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "engine/amp/grad_scaler.h"
#include "engine/amp/precision.h"
#include "engine/pinned.h"
#include "nn/run/input_place.h"
#include "nn/run/loss.h"
#include "nn/run/replay.h"
#include "nn/train/optimizer.h"

namespace mirilla::nn {

struct TrainingStepOptions {
  amp::Precision precision = amp::Precision::fp32;
  uint64_t seed = 0;           // for the dropout
  int64_t classes = 0;         // that the labels are of: the network has to give as many logits; 0: the caller's promise
  const Loss* loss = nullptr;  // outlives the step; null: plain cross entropy
  ReplayOptions replay = {};
};

/// One training step after another: forward, loss, backward, optimizer; eagerly, or recorded and replayed. Both give the same bits.
///
/// Does not wait for the device unless it is several steps behind: labels, rates and the step's number are copied through pinned
/// memory, each step's in its own slot.
class TrainingStep {
 public:
  /// The optimizer must be that of the model's parameters. Both must outlive this.
  TrainingStep(Module& model, Optimizer& optimizer, const TrainingStepOptions& options = {});

  struct Step {
    Tensor input;                     // (N,H,W,3) normalised, on the model's device; halves for a network in half precision; or padded
    std::span<const int64_t> labels;  // (N), each a class of the model; not checked here
    Rates rates;
    int64_t number = 0;                 // of the step: keys the dropout
    amp::GradScaler* scaler = nullptr;  // in fp16
  };
  /// Returns the loss, (); the next step may overwrite it. The model must be in training mode. No gradient is left.
  Tensor operator()(const Step& step);

  /// The same without the optimizer: fills the gradients.
  Tensor forward_backward(const Tensor& input, std::span<const int64_t> labels, const amp::GradScaler* scaler);

  /// Where the next step's input is best written.
  InputPlace input_place() const { return {model_, options_.precision, replayer_}; }

  /// How often steps ran eagerly, were recorded or replayed.
  const Replayer::Counts& counts() const { return replayer_.counts(); }

 private:
  /// Sends the host's values of a step through one slot of the ring; absent parts are not sent.
  void send(std::span<const int64_t> labels, Tensor& targets, const Step* step);
  std::byte* turn_for(size_t bytes);
  Tensor backward_from(const Tensor& input, const Tensor& targets, const amp::GradScaler* scaler);
  /// The body of a step, run or recorded: rates and number from where send() put them, where a replay needs that, else by value.
  Tensor run(const std::vector<Tensor>& inputs, const Step& step);

  Module& model_;
  Optimizer& optimizer_;
  TrainingStepOptions options_;
  Device& device_;
  std::unique_ptr<PinnedRing> ring_;
  Tensor rates_, number_;  // where a replayed step reads them; no tensors where nothing is replayed
  Replayer replayer_;
};

}  // namespace mirilla::nn
