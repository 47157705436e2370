// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "kernels/core/backend.h"
#include "kernels/widening/scratch.h"

namespace mirilla {

/// Half precision for a host backend that computes in f32: half inputs of an operation are widened into scratch memory, the inner
/// backend computes in f32, and its results are rounded once into the half outputs. So every mix of dtypes that backend.h
/// allows works, with exactly the arithmetic that backend.h promises; a host gains no speed from it.
///
/// A call without halves is passed on unchanged: the same views, the same bits.
class WideningBackend final : public Backend {
 public:
  explicit WideningBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  std::string_view name() const override { return inner_->name(); }
  bool has(Fused operation) const override { return inner_->has(operation); }
  void forget(uint64_t storage_id) override { inner_->forget(storage_id); }

  void fill(View y, double value) override { inner_->fill(y, value); }
  void cast(ConstView x, View y) override { inner_->cast(x, y); }
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
  void transpose(ConstView x, View y) override { inner_->transpose(x, y); }  // moves elements of any type

  void softmax(ConstView x, View y) override;
  void cross_entropy(ConstView logits, ConstView targets, View losses, View dlogits) override;

  void check_finite(std::span<const ConstView> gradients, View state) override;
  void adam(std::span<const AdamTensor> tensors, const AdamSpec& spec, ConstView scaler_state) override {
    inner_->adam(tensors, spec, scaler_state);
  }
  void update_scale(View state, const ScalerSpec& spec) override { inner_->update_scale(state, spec); }
  void augment(const Augment& call) override;
  void grad_cam(ConstView activation, ConstView gradient, View weights, View map) override;

  void conv2d_bias_add_relu(const Conv2dBiasAddRelu& call) override;
  void adaptive_concat_pool2d(ConstView x, View y, View index) override;
  void adaptive_concat_pool2d_backward(ConstView dy, ConstView index, View dx) override;

 private:
  class Widened;
  template <class F>
  void run(F&& operation);

  std::unique_ptr<Backend> inner_;
  widening::ScratchPool pool_;
};

}  // namespace mirilla
