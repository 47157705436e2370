// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "engine/pinned.h"
#include "engine/tensor.h"

namespace mirilla::nn {

/// Losses on their way from the device to the host. Each is copied to pinned memory in the device's order of work; the host takes those
/// that have arrived and continues. On a host device, whose work is done when a call returns, each is there at once.
class LateLosses {
 public:
  explicit LateLosses(Device& device);
  /// Waits for losses in flight, since their memory is freed.
  ~LateLosses();
  LateLosses(const LateLosses&) = delete;
  LateLosses& operator=(const LateLosses&) = delete;

  struct Loss {
    int64_t step = 0;
    double value = 0;
  };

  /// Starts the copy of a loss: () f32 | f64, which later work of the device may overwrite. Waits only if as many are
  /// in flight as there is room for, for the first of them.
  void send(int64_t step, const Tensor& loss);
  /// The losses that have arrived since the last call, in the order they were sent. Does not wait.
  std::vector<Loss> arrived();
  /// The same, after waiting for all.
  std::vector<Loss> all();

 private:
  struct Sent {
    int64_t step;
    size_t place;
    DType dtype;
    std::unique_ptr<DeviceMark> mark;
  };
  void take_first();

  PinnedMemory memory_;
  std::deque<Sent> under_way_;
  std::vector<Loss> arrived_;
  size_t next_ = 0;
};

}  // namespace mirilla::nn
