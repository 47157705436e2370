// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "engine/pinned.h"
#include "engine/tensor.h"

namespace mirilla::nn {

/// Losses on their way from the device to the host. Each goes to pinned memory in the device's order of work; the host takes those that
/// have come and goes on. On a host device, whose work is done when a call returns, each comes at once.
class LateLosses {
 public:
  explicit LateLosses(Device& device);
  /// Waits for those under way, whose memory goes.
  ~LateLosses();
  LateLosses(const LateLosses&) = delete;
  LateLosses& operator=(const LateLosses&) = delete;

  struct Loss {
    int64_t step = 0;
    double value = 0;
  };

  /// Sends one on its way: () f32 | f64, which may be overwritten by what the device is given afterwards. Waits only where as many are
  /// under way as there is room for, for the first of them.
  void send(int64_t step, const Tensor& loss);
  /// Those that came since this was last asked, in the order they were sent. Does not wait.
  std::vector<Loss> arrived();
  /// The same after waiting for all.
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
