// SPDX-License-Identifier: MIT
#include <limits>

#include "kernels/cuda/common.h"

// softmax: y = exp(x - max x) / sum exp(x - max x), over the last dimension of (N,C).
// cross_entropy: losses (N) = log sum exp(logits) - logits[target];  dlogits (N,C) = (softmax(logits) - onehot(target)) / N; both f32,
// forward and backward in one launch. The host does not check targets: a target outside 0..C-1 makes its loss and its gradient NaN, and
// no memory outside the tensors is read.
//
// Bytes: read and write N C elements; a row is read three times, the second and third from the cache.
// Launch: one warp per row, so that no block has to wait.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();

struct Row {
  float largest, sum;  // max x, and the sum of exp(x - max x): its largest term is 1, so it cannot overflow
};

// The running warp's row. The maximum drops a NaN, and the sum brings it back.
template <class T>
__device__ __forceinline__ Row look_at(const T* __restrict__ x, int64_t channels, int lane) {
  Row row{kNegativeInfinity, 0};
  for (int64_t c = lane; c < channels; c += kWarpSize) row.largest = fmaxf(row.largest, widen(x[c]));
  row.largest = warp_max(row.largest);
  for (int64_t c = lane; c < channels; c += kWarpSize) row.sum += expf(widen(x[c]) - row.largest);
  row.sum = warp_sum(row.sum);
  return row;
}

template <class T>
__global__ void softmax_kernel(const T* __restrict__ x, int64_t rows, int64_t channels, T* __restrict__ y) {
  const int64_t n = thread_in_grid() / kWarpSize;
  if (n >= rows) return;  // true for a whole warp or for none of it
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  x += n * channels;
  y += n * channels;
  const Row row = look_at(x, channels, lane);
  for (int64_t c = lane; c < channels; c += kWarpSize) y[c] = narrow<T>(expf(widen(x[c]) - row.largest) / row.sum);
}

template <class T>
__global__ void cross_entropy_kernel(const T* __restrict__ logits, const int64_t* __restrict__ targets, int64_t rows, int64_t channels,
                                     float* __restrict__ losses, float* __restrict__ dlogits) {
  const int64_t n = thread_in_grid() / kWarpSize;
  if (n >= rows) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const T* const x = logits + n * channels;
  const int64_t target = targets[n];
  const bool known = target >= 0 && target < channels;
  const Row row = look_at(x, channels, lane);
  if (lane == 0) losses[n] = known ? logf(row.sum) + (row.largest - widen(x[target])) : std::numeric_limits<float>::quiet_NaN();
  if (!dlogits) return;
  const float sum = known ? row.sum : std::numeric_limits<float>::quiet_NaN();
  const auto items = static_cast<float>(rows);
  for (int64_t c = lane; c < channels; c += kWarpSize) {
    const float probability = expf(widen(x[c]) - row.largest) / sum;
    dlogits[n * channels + c] = (probability - (c == target ? 1.0f : 0.0f)) / items;
  }
}

unsigned blocks_of_rows(int64_t rows) { return static_cast<unsigned>(ceil_div(rows, kBlock / kWarpSize)); }

}  // namespace

template <>
void CudaBackend::execute(const op::Softmax& call) {
  const int64_t rows = call.x.shape[0], channels = call.x.shape[1];
  if (call.x.numel() == 0) return;
  dispatch(call.x.dtype, "softmax", [&]<class T>() {
    launch<softmax_kernel<T>>(stream_, {blocks_of_rows(rows), kBlock}, call.x.data<T>(), rows, channels, call.y.data<T>());
  });
}

template <>
void CudaBackend::execute(const op::CrossEntropy& call) {
  const int64_t rows = call.logits.shape[0], channels = call.logits.shape[1];
  if (rows == 0) return;
  dispatch(call.logits.dtype, "cross_entropy", [&]<class T>() {
    launch<cross_entropy_kernel<T>>(stream_, {blocks_of_rows(rows), kBlock}, call.logits.data<T>(), call.targets.data<int64_t>(), rows,
                                    channels, call.losses.data<float>(), data_or_null<float>(call.dlogits));
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
