// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/backend.h"
#include "kernels/cuda/platform/platform.h"

namespace mirilla::MIRILLA_PLATFORM {

/// The table of hand-written kernels, f32, f16 and bf16. The same sources are the device 'cuda' on a GPU and 'simt' on the host's executor.
/// Sums are f32 and in a fixed order: results have the same bits in every run. No function waits for the device.
class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(Stream& stream) : stream_(stream) {}

  std::string_view name() const override { return kDeviceName; }
  bool has(Fused operation) const override;

  void fill(View y, double value) override;
  void cast(ConstView x, View y) override;
  void add(ConstView a, ConstView b, View y) override;
  void multiply(ConstView a, ConstView b, View y) override;
  void scale(ConstView x, double factor, View y) override;
  void relu(ConstView x, View y) override;
  void relu_backward(ConstView dy, ConstView y, View dx) override;
  void dropout(ConstView x, const DropoutSpec& spec, View y) override;

  void sum(ConstView x, View y) override;
  void sum_rows(ConstView x, View y) override;
  void argmax(ConstView x, View y) override;

  void matmul(ConstView a, ConstView b, const MatmulSpec& spec, View y) override;
  void add_bias(ConstView x, ConstView bias, View y) override;
  void conv2d(ConstView x, ConstView w, ConstView bias, const Conv2dSpec& spec, View y) override;
  void conv2d_backward_data(ConstView dy, ConstView w, const Conv2dSpec& spec, View dx) override;
  void conv2d_backward_weight(ConstView x, ConstView dy, const Conv2dSpec& spec, View dw) override;

  void batch_norm_statistics(const BatchNormStatistics& call) override;
  void batch_norm_apply(const BatchNormApply& call) override;
  void batch_norm_backward(const BatchNormBackward& call) override;
  void max_pool2d(ConstView x, const Pool2dSpec& spec, View y, View index) override;
  void max_pool2d_backward(ConstView dy, ConstView index, const Pool2dSpec& spec, View dx) override;
  void adaptive_avg_pool2d(ConstView x, View y) override;
  void adaptive_avg_pool2d_backward(ConstView dy, View dx) override;
  void adaptive_max_pool2d(ConstView x, View y, View index) override;
  void adaptive_max_pool2d_backward(ConstView dy, ConstView index, View dx) override;
  void concat(ConstView a, ConstView b, View y) override;
  void split(ConstView y, View a, View b) override;
  void transpose(ConstView x, View y) override;

  void softmax(ConstView x, View y) override;
  void cross_entropy(ConstView logits, ConstView targets, View losses, View dlogits) override;

  void check_finite(std::span<const ConstView> gradients, View state) override;
  void adam(std::span<const AdamTensor> tensors, const AdamSpec& spec, ConstView scaler_state) override;
  void update_scale(View state, const ScalerSpec& spec) override;
  void augment(const Augment& call) override;
  void grad_cam(ConstView activation, ConstView gradient, View weights, View map) override;

  void adaptive_concat_pool2d(ConstView x, View y, View index) override;
  void adaptive_concat_pool2d_backward(ConstView dy, ConstView index, View dx) override;
  void conv2d_bias_add_relu(const Conv2dBiasAddRelu& call) override;

  Stream& stream() { return stream_; }

 private:
  Stream& stream_;
};

}  // namespace mirilla::MIRILLA_PLATFORM
