// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/backend.h"

namespace mirilla {

/// The reference for every other device: plain loops in f32 and f64, one file per operation, written to be read.
///
/// Sums are accumulated in f64 whatever the dtype, so an f32 result is nearly the exact value rounded once. Results do not depend on the
/// number of threads: a loop is divided among threads only where each iteration writes its own elements. It has no fused operation, so
/// running a model on it tests what the engine composes. Other dtypes than f32 and f64 throw DeviceError, except in fill, cast, and what
/// the table says is u8 or i64.
class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  bool has(Fused) const override { return false; }

  void fill(View y, double value) override;
  /// Float to integer truncates towards zero and stops at the ends of the range, NaN gives 0; i64 to u8 keeps the low 8 bits.
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

 private:
  /// Calls f.template operator()<float>() or <double>(); throws DeviceError naming the operation for any other dtype.
  template <class F>
  void compute(DType dtype, std::string_view operation, F&& f) const {
    if (dtype == DType::f32) return f.template operator()<float>();
    if (dtype == DType::f64) return f.template operator()<double>();
    throw DeviceError(fmt::format("the device 'reference' has {} for f32 and f64 and got {}", operation, name_of(dtype)),
                      "cast it to f32 first");
  }
};

}  // namespace mirilla
