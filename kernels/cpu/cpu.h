// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kernels/core/backend.h"

namespace mirilla {

namespace cpu {
class Products;
}

/// The fast host path: convolutions and matrix products by oneDNN where the build found it, everything else by OpenMP and SIMD loops of
/// our own, chosen at run time for AVX2 or AVX-512 (`MIRILLA_CPU_ISA=baseline|avx2|avx512` overrides).
///
/// Computes in f32; f16, bf16, u8 and i64 where the table of operations allows them (fill, cast, indices, labels, pictures). f64 exists on
/// the reference device only and is refused here. Every fused entry but relu_mask is present. Each call is finished when it returns. A sum
/// is always taken in the same order for the same number of threads, so a repeated run gives the same bits, also inside an OpenMP region.
/// Several threads may compute at once, each on values of its own; convolutions and products take turns.
class CpuBackend : public Backend {
 public:
  CpuBackend();
  ~CpuBackend() override;
  CpuBackend(const CpuBackend&) = delete;
  CpuBackend& operator=(const CpuBackend&) = delete;

  std::string_view name() const override { return "cpu"; }
  bool has(Fused operation) const override;
  void forget(uint64_t storage_id) override;

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

  void conv2d_bias_add_relu(const Conv2dBiasAddRelu& call) override;
  void adaptive_concat_pool2d(ConstView x, View y, View index) override;
  void adaptive_concat_pool2d_backward(ConstView dy, ConstView index, View dx) override;

 private:
  std::unique_ptr<cpu::Products> products_;
};

/// "2 threads, AVX-512, oneDNN 3.2.0"; without oneDNN "2 threads, AVX-512, no oneDNN: convolutions will be slow".
std::string cpu_description();

}  // namespace mirilla
