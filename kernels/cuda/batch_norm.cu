// SPDX-License-Identifier: MIT
#include "kernels/cuda/batch_norm.h"

// y = (x - mean) inv_std weight + bias, then + residual, then max(., 0), and its mask, and the value before the residual for a
// watch: all from one read.
//
// Bytes, of n elements of s bytes: read n s (2 n s with a residual), write n s (2 n s when watched), n / 8 for the mask. In two operations,
// sum and ReLU would read three times n s more and write twice n s more.
// Launch: blocks of up to 256 threads, eight channels per thread along x, rows along y (batch_norm.h); where octets are not possible, one
// thread for eight consecutive elements, whatever their channels.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

constexpr int kResident = 3;  // blocks per multiprocessor, with 80 registers per thread

/// Rows that a thread loads at the same time: 32 bytes per tensor.
template <class T>
constexpr int kRowsAtOnce = 4 / sizeof(T);

template <class T>
struct Apply {
  const T *x, *residual;  // residual, normalized and mask may be null
  const float *mean, *inv_std, *weight, *bias;
  T *y, *normalized;
  uint8_t* mask;
  bool relu;
  int64_t rows, channels;
};

struct Factors {
  Octet mean, factor, bias;
};

template <bool Aligned, class T>
__device__ __forceinline__ Factors factors_of(const Apply<T>& call, int64_t channel) {
  Factors f{of_channels<Aligned>(call.mean, channel, call.channels), of_channels<Aligned>(call.inv_std, channel, call.channels),
            of_channels<Aligned>(call.bias, channel, call.channels)};
  const Octet weight = of_channels<Aligned>(call.weight, channel, call.channels);
  for (int k = 0; k < kOctet; ++k) f.factor[k] *= weight[k];
  return f;
}

/// Eight loaded elements.
template <class T>
struct Operands {
  Raw<T, kOctet> x, residual;
};

template <bool Aligned, class T>
__device__ __forceinline__ Operands<T> load_operands(const Apply<T>& call, int64_t at, int64_t count) {
  Operands<T> o{load_octet<Aligned>(call.x + at, count), {}};
  if (call.residual) o.residual = load_octet<Aligned>(call.residual + at, count);
  return o;
}

/// Elements at .. at + 7, of which `count` exist. fmaf fixes the roundings: the compiler might fuse in one variant and not in
/// the other, and a watch would change bits.
template <bool Aligned, class T>
__device__ __forceinline__ void apply_octet(const Apply<T>& call, const Factors& f, const Operands<T>& o, int64_t at, int64_t count) {
  Octet v;
#pragma unroll
  for (int k = 0; k < kOctet; ++k) v[k] = fmaf(o.x[k] - f.mean[k], f.factor[k], f.bias[k]);
  if (call.normalized) store_octet<Aligned>(call.normalized + at, v, count);
  unsigned bits = 0;
#pragma unroll
  for (int k = 0; k < kOctet; ++k) {
    if (call.residual) v[k] += o.residual[k];
    if (call.relu && v[k] < 0) v[k] = 0;                               // written so that NaN stays NaN
    if (k < count && !(widen(narrow<T>(v[k])) <= 0)) bits |= 1u << k;  // of the stored value: it may have been rounded to 0
  }
  store_octet<Aligned>(call.y + at, v, count);
  if (call.mask) call.mask[at / kOctet] = static_cast<uint8_t>(bits);
}

template <class T>
__global__ void __launch_bounds__(kBlock, kResident) apply_rows_kernel(Apply<T> call) {
  constexpr int kRows = kRowsAtOnce<T>;
  const int channel = first_channel<kOctet>();
  if (channel >= call.channels) return;
  const Factors factors = factors_of<true>(call, channel);
  for (Walk walk = Walk::in_turns(call.rows, call.channels, channel); walk.left > 0; walk.go(kRows)) {
    Operands<T> operands[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k)
      if (k < walk.left) operands[k] = load_operands<true>(call, walk.at + k * walk.step, kOctet);
#pragma unroll
    for (int k = 0; k < kRows; ++k)
      if (k < walk.left) apply_octet<true>(call, factors, operands[k], walk.at + k * walk.step, kOctet);
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) apply_flat_kernel(Apply<T> call) {
  const int64_t n = call.rows * call.channels;
  for (int64_t at = thread_in_grid() * kOctet; at < n; at += threads_in_grid() * kOctet) {
    const Factors factors = factors_of<false>(call, at % call.channels);
    apply_octet<false>(call, factors, load_operands<false>(call, at, n - at), at, n - at);
  }
}

}  // namespace

template <>
void CudaBackend::execute(const op::BatchNormApply& call) {
  const int64_t n = call.x.numel();
  if (n == 0) return;
  dispatch(call.x.dtype, "batch_norm_apply", [&]<class T>() {
    const Apply<T> apply{.x = call.x.data<T>(),
                         .residual = data_or_null<T>(call.residual),
                         .mean = call.mean.data<float>(),
                         .inv_std = call.inv_std.data<float>(),
                         .weight = call.weight.data<float>(),
                         .bias = call.bias.data<float>(),
                         .y = call.y.data<T>(),
                         .normalized = data_or_null<T>(call.normalized),
                         .mask = data_or_null<uint8_t>(call.mask),
                         .relu = call.relu,
                         .rows = rows_of(call.x),
                         .channels = channels_of(call.x)};
    if (in_octets(apply.channels, {apply.x, apply.residual, apply.y, apply.normalized})) {
      const RowBlock block(apply.channels, kOctet);
      const dim3 grid(block.blocks_down(apply.rows, kRowsAtOnce<T>, kResident), block.blocks_across);
      launch<apply_rows_kernel<T>>(stream_, {grid, block.threads}, apply);
    } else {
      launch<apply_flat_kernel<T>>(stream_, {blocks_for(n, kBlock * kOctet), kBlock}, apply);
    }
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
