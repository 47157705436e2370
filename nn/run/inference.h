// SPDX-License-Identifier: MIT
#pragma once

#include "engine/amp/precision.h"
#include "nn/run/input_place.h"
#include "nn/run/replay.h"

namespace mirilla::nn {

/// A network's logits in evaluation mode, without the tape: batch after batch, eagerly or replayed, with the same bits. The weights may
/// change in between.
class Inference {
 public:
  /// Puts the model into evaluation mode while this lives.
  explicit Inference(Module& model, amp::Precision precision = amp::Precision::fp32, const ReplayOptions& replay = {});

  /// (N,classes); the next call may overwrite it. Does not wait, except on a device without op::FoldBatchNorm to fold batch
  /// norms whose values changed.
  Tensor operator()(const Tensor& input);

  /// Where the next batch is best written.
  InputPlace input_place() const { return {model_, precision_, replayer_}; }

  Module& model() { return model_; }
  amp::Precision precision() const { return precision_; }
  const Replayer::Counts& counts() const { return replayer_.counts(); }

 private:
  Module& model_;
  EvaluationMode mode_;
  amp::Precision precision_;
  Replayer replayer_;
};

}  // namespace mirilla::nn
