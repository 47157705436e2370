// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>

#include "engine/amp/precision.h"
#include "nn/modules/layers.h"

namespace mirilla::nn {

class Replayer;

/// The device and dtype of a network's input: halves for half precision.
Placement input_placement(const Module& model, amp::Precision precision);

/// Where a batch of network input is written, and with how many channels.
class InputPlace {
 public:
  /// New tensors (N,H,W,3).
  InputPlace(const Placement& placement) : placement_(placement) {}  // NOLINT: a placement says enough
  /// For the first input of works that `replayer` runs on `model`: the tensor that a replay reads, where Replayer::input has one; and
  /// padded to four channels (kernels/core/padded_pictures.h), where the input is in halves, the network takes that and the device has it.
  InputPlace(const Module& model, amp::Precision precision, const Replayer& replayer);

  Device& device() const { return placement_.device; }
  /// A tensor for n pictures of size x size. Its writer calls written().
  Tensor room(int64_t n, int64_t size) const;
  /// Says that the room holds a batch: of padded pictures, with zeros in the fourth channel.
  void written(Tensor& room) const;
  /// Writes these pictures (N,S,S,3), of any float dtype, into a room of their size.
  void fill(Tensor& room, const Tensor& pictures) const;
  /// A room with them.
  Tensor holding(const Tensor& pictures) const;

 private:
  Placement placement_;
  bool padded_ = false;
  const Replayer* replayer_ = nullptr;
};

/// A batch that is the input again and again, as in a benchmark: written once where a replay reads it.
class LastingInput {
 public:
  LastingInput() = default;
  explicit LastingInput(Tensor pictures) : pictures_(std::move(pictures)) {}
  Tensor in(const InputPlace& place);

 private:
  Tensor pictures_;                        // (N,S,S,3)
  uint64_t storage_id_ = 0, version_ = 0;  // of the room that holds them
};

}  // namespace mirilla::nn
