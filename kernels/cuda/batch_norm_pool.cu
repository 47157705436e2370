// SPDX-License-Identifier: MIT
#include "kernels/cuda/batch_norm.h"
#include "kernels/cuda/parts/pool_down.h"

// y = the largest of each window of 3 x 3 of max((x - mean) inv_std weight + bias, 0), rounded to the type before the windows are compared;
// index (u8, where wanted) its place, or kNoPlace where y <= 0, through which no gradient passes.
//
// Bytes, of n elements of x of s bytes: read n s, write n s / 4 and, where wanted, n / 4. In two operations, norm and pool would write and
// read n s more each. An element is normalised 1.6 times, where windows overlap: arithmetic is what there is plenty of.
// Launch: as max_pool2d.cu's (parts/pool_down.h); the eight channels' numbers stay in registers, about 100 for halves with places, so that
// two blocks run on a multiprocessor (for three, 24 bytes a thread would go to memory).
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class T>
struct Norm {
  const T* x;
  const float *mean, *inv_std, *weight, *bias;
};

/// The norm and ReLU of N channels, with the roundings of batch_norm.cu.
template <class T, int N>
struct Activation {
  const T* x;
  Vector<float, N> mean, factor, bias;

  __device__ __forceinline__ Activation(const Norm<T>& norm, int channel) : x(norm.x) {
#pragma unroll
    for (int k = 0; k < N; ++k) {
      mean[k] = norm.mean[channel + k];
      factor[k] = norm.inv_std[channel + k] * norm.weight[channel + k];
      bias[k] = norm.bias[channel + k];
    }
  }
  __device__ __forceinline__ Vector<float, N> at(int64_t offset) const {
    Vector<float, N> v = widen(load<Vector<T, N>>(x + offset));
#pragma unroll
    for (int k = 0; k < N; ++k) {
      v[k] = fmaf(v[k] - mean[k], factor[k], bias[k]);
      if (v[k] < 0) v[k] = 0;  // written so that NaN stays NaN
    }
    return v;
  }
};

template <class T, int N, bool kIndex>
__global__ void __launch_bounds__(kBlock)
    norm_pool_kernel(Norm<T> norm, Pooling p, int rows, T* __restrict__ y, uint8_t* __restrict__ index) {
  using Winner = PackedWinner<T, N, kIndex>;
  pool_down<Winner, N>(
      p, rows, y, index,
      [&](int channel) {
        return
            [activation = Activation<T, N>(norm, channel)](int64_t offset, int place) { return Winner::of(activation.at(offset), place); };
      },
      [](Winner& winner) { winner.replace_places_of_zeros(op::BatchNormReluMaxPool2d::kNoPlace); });
}

template <class T, int N, bool kIndex>
void pool(Stream& stream, const op::BatchNormReluMaxPool2d& call) {
  const Pooling p = pooling(call.x, call.y, call.spec);
  const int rows = rows_per_thread(p.y, N);
  const Norm<T> norm{call.x.data<T>(), call.mean.data<float>(), call.inv_std.data<float>(), call.weight.data<float>(),
                     call.bias.data<float>()};
  launch<norm_pool_kernel<T, N, kIndex>>(stream, shape_down(p.y, N, rows), norm, p, rows, call.y.data<T>(),
                                         data_or_null<uint8_t>(call.index));
}

}  // namespace

template <>
void CudaBackend::execute(const op::BatchNormReluMaxPool2d& call) {
  if (call.y.numel() == 0) return;
  dispatch(call.y.dtype, "batch_norm_relu_max_pool2d", [&]<class T>() {
    const bool aligned = is_aligned(call.x.address, 16) && is_aligned(call.y.address, 16) && is_aligned(call.index.address, 16 / sizeof(T));
    dispatch_vector<T>(channels_of(call.y), aligned, [&]<int N>() {
      if (call.index)
        pool<T, N, true>(stream_, call);
      else
        pool<T, N, false>(stream_, call);
    });
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
