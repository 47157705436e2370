// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/batch_norm.h"

/// What a batch norm computes of eight elements once the statistics are known, for every kernel that does: batch_norm.cu says what.
namespace mirilla::MIRILLA_PLATFORM {

inline constexpr int kApplyResident = 3;  // blocks per multiprocessor, with 80 registers per thread

/// Rows that a thread loads at the same time: 32 bytes per tensor.
template <class T>
inline constexpr int kApplyRows = 4 / sizeof(T);

template <class T>
struct Apply {
  const T *x, *residual;  // residual, normalized and mask may be null
  const float *mean, *inv_std, *weight, *bias;
  T *y, *normalized;
  uint8_t* mask;
  bool relu;
  int64_t rows, channels;
};

struct ApplyFactors {
  Octet mean, factor, bias;
};

template <bool Aligned, class T>
__device__ __forceinline__ ApplyFactors apply_factors(const Apply<T>& call, int64_t channel) {
  ApplyFactors f{of_channels<Aligned>(call.mean, channel, call.channels), of_channels<Aligned>(call.inv_std, channel, call.channels),
                 of_channels<Aligned>(call.bias, channel, call.channels)};
  const Octet weight = of_channels<Aligned>(call.weight, channel, call.channels);
  for (int k = 0; k < kOctet; ++k) f.factor[k] *= weight[k];
  return f;
}

/// Eight loaded elements.
template <class T>
struct ApplyOperands {
  Raw<T, kOctet> x, residual;
};

template <bool Aligned, class T>
__device__ __forceinline__ ApplyOperands<T> load_apply(const Apply<T>& call, int64_t at, int64_t count) {
  ApplyOperands<T> o{load_octet<Aligned>(call.x + at, count), {}};
  if (call.residual) o.residual = load_octet<Aligned>(call.residual + at, count);
  return o;
}

/// Elements at .. at + 7, of which `count` exist. fmaf fixes the roundings: the compiler might fuse in one variant and not in
/// the other, and a watch would change bits.
template <bool Aligned, class T>
__device__ __forceinline__ void apply_octet(const Apply<T>& call, const ApplyFactors& f, const ApplyOperands<T>& o, int64_t at,
                                            int64_t count) {
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
Apply<T> apply_of(const op::BatchNormApply& call) {
  return {.x = call.x.data<T>(),
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
}

/// Whether each of its tensors can be accessed in octets.
template <class T>
bool in_octets(const Apply<T>& apply) {
  return in_octets(apply.channels, {apply.x, apply.residual, apply.y, apply.normalized});
}

}  // namespace mirilla::MIRILLA_PLATFORM
