// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "kernels/core/backend.h"

namespace mirilla::cpu {

/// Convolutions and matrix products of the host backend: kernels/cpu/onednn computes them with oneDNN, kernels/cpu/no_onednn with plain
/// loops; the build picks one. f32, contiguous, (N,H,W,C) and (K,R,S,C). Several threads may call; they take turns. Throws DeviceError with
/// the message of oneDNN.
class Products {
 public:
  Products();
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  void matmul(ConstView a, ConstView b, const MatmulSpec& spec, View y);
  /// bias and residual may be absent.
  void conv2d(const op::Conv2dBiasAddRelu& call);
  void conv2d_backward_data(ConstView dy, ConstView w, const Conv2dSpec& spec, View dx);
  void conv2d_backward_weight(ConstView x, ConstView dy, const Conv2dSpec& spec, View dw);

  /// Drops everything kept for a storage.
  void forget(uint64_t storage_id);

  /// How much is kept, and how often weights were reordered so far; for tests and `mirilla --version`.
  struct Statistics {
    int64_t primitives = 0, kept_weights = 0, reorders = 0;
    int64_t kept_bytes = 0, scratch_bytes = 0;
  };
  Statistics statistics() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// "oneDNN 3.2.0" or "no oneDNN: convolutions will be slow".
std::string products_library();

}  // namespace mirilla::cpu
