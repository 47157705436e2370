// SPDX-License-Identifier: MIT
#include "kernels/cuda/batch_norm_apply.h"

// y = (x - mean) inv_std weight + bias, then + residual, then max(., 0), and its mask, and the value before the residual for a
// watch: all from one read.
//
// Bytes, of n elements of s bytes: read n s (2 n s with a residual), write n s (2 n s when watched), n / 8 for the mask. In two operations,
// sum and ReLU would read three times n s more and write twice n s more.
// Launch: blocks of up to 256 threads, eight channels per thread along x, rows along y (batch_norm.h); where octets are not possible, one
// thread for eight consecutive elements, whatever their channels.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class T>
__global__ void __launch_bounds__(kBlock, kApplyResident) apply_rows_kernel(Apply<T> call) {
  constexpr int kRows = kApplyRows<T>;
  const int channel = first_channel<kOctet>();
  if (channel >= call.channels) return;
  const ApplyFactors factors = apply_factors<true>(call, channel);
  for (Walk walk = Walk::in_turns(call.rows, call.channels, channel); walk.left > 0; walk.go(kRows)) {
    ApplyOperands<T> operands[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k)
      if (k < walk.left) operands[k] = load_apply<true>(call, walk.at + k * walk.step, kOctet);
#pragma unroll
    for (int k = 0; k < kRows; ++k)
      if (k < walk.left) apply_octet<true>(call, factors, operands[k], walk.at + k * walk.step, kOctet);
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) apply_flat_kernel(Apply<T> call) {
  const int64_t n = call.rows * call.channels;
  for (int64_t at = thread_in_grid() * kOctet; at < n; at += threads_in_grid() * kOctet) {
    const ApplyFactors factors = apply_factors<false>(call, at % call.channels);
    apply_octet<false>(call, factors, load_apply<false>(call, at, n - at), at, n - at);
  }
}

}  // namespace

template <>
void CudaBackend::execute(const op::BatchNormApply& call) {
  const int64_t n = call.x.numel();
  if (n == 0) return;
  dispatch(call.x.dtype, "batch_norm_apply", [&]<class T>() {
    const Apply<T> apply = apply_of<T>(call);
    if (in_octets(apply)) {
      const RowBlock block(apply.channels, kOctet);
      const dim3 grid(block.blocks_down(apply.rows, kApplyRows<T>, kApplyResident), block.blocks_across);
      launch<apply_rows_kernel<T>>(stream_, {grid, block.threads}, apply);
    } else {
      launch<apply_flat_kernel<T>>(stream_, {blocks_for(n, kBlock * kOctet), kBlock}, apply);
    }
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
