// SPDX-License-Identifier: MIT
#include "kernels/cuda/common.h"

// scale(k) = weight(k) / sqrt(running_var(k) + eps);  folded_w(k,...) = w(k,...) scale(k);
// folded_bias(k) = bias(k) + (conv_bias(k) - running_mean(k)) scale(k)
//
// In f64, so that the result has the bits of the host's fold_batch_norm: products and sums are kept apart, since a GPU would fuse them and
// a host does not. Once per change of the weights, so speed hardly matters: 11 million elements of ResNet18, and a slow f64 unit does one
// product for each.
// Bytes: reads and writes w. Launch: one block of 256 threads per filter, each thread every 256th of its weights.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

struct Fold {
  const float* w;
  const float* conv_bias;  // null: none
  const float *weight, *bias, *mean, *var;
  double eps;
  int64_t row;  // weights of a filter
};

__global__ void __launch_bounds__(kBlock) fold_batch_norm_kernel(Fold f, float* folded_w, float* folded_bias) {
  const int64_t k = blockIdx.x;
  const double scale = static_cast<double>(f.weight[k]) / sqrt(static_cast<double>(f.var[k]) + f.eps);
  for (int64_t i = threadIdx.x; i < f.row; i += kBlock)
    folded_w[k * f.row + i] = static_cast<float>(static_cast<double>(f.w[k * f.row + i]) * scale);
  if (threadIdx.x != 0) return;
  const double centred = (f.conv_bias ? static_cast<double>(f.conv_bias[k]) : 0.0) - static_cast<double>(f.mean[k]);
  folded_bias[k] = static_cast<float>(__dadd_rn(static_cast<double>(f.bias[k]), __dmul_rn(centred, scale)));
}

}  // namespace

template <>
void CudaBackend::execute(const op::FoldBatchNorm& call) {
  const int64_t filters = call.w.shape[0];
  if (filters == 0) return;
  const Fold fold{.w = call.w.data<float>(),
                  .conv_bias = data_or_null<float>(call.conv_bias),
                  .weight = call.weight.data<float>(),
                  .bias = call.bias.data<float>(),
                  .mean = call.running_mean.data<float>(),
                  .var = call.running_var.data<float>(),
                  .eps = call.eps,
                  .row = call.w.numel() / filters};
  launch<fold_batch_norm_kernel>(stream_, {static_cast<unsigned>(filters), kBlock}, fold, call.folded_w.data<float>(),
                                 call.folded_bias.data<float>());
}

}  // namespace mirilla::MIRILLA_PLATFORM
