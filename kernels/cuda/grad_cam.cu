// SPDX-License-Identifier: MIT
#include <bit>

#include "kernels/cuda/parts/elementwise.h"
#include "kernels/cuda/parts/pictures.h"

// weights (N,C) = mean of gradient over (h,w);  map (N,h,w) = sum_c weights_c activation_c. Both outputs are f32, sums have a fixed order.
//
// Bytes: read gradient and activation once, write the two small outputs.
// Launch: weights  256 threads per block as (channels, pixels), summed through shared memory.
//         map      one warp per pixel.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class T>
__global__ void grad_cam_weights_kernel(const T* __restrict__ gradient, Pictures p, float* __restrict__ weights) {
  __shared__ float room[kBlock];
  const int pixels = p.height * p.width, channel = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  const int n = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  float sum = 0;
  if (channel < p.channels)
    for (int pixel = static_cast<int>(threadIdx.y); pixel < pixels; pixel += static_cast<int>(blockDim.y))
      sum += widen(gradient[p.at(n, 0, pixel) + channel]);
  room[thread] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && channel < p.channels) {
    for (int group = 1; group < static_cast<int>(blockDim.y); ++group) sum += room[group * static_cast<int>(blockDim.x) + thread];
    weights[static_cast<int64_t>(n) * p.channels + channel] = sum / static_cast<float>(pixels);
  }
}

template <class T, int N>
__global__ void grad_cam_map_kernel(const T* __restrict__ activation, const float* __restrict__ weights, Pictures p,
                                    float* __restrict__ map) {
  const int64_t pixels = static_cast<int64_t>(p.height) * p.width, pixel = thread_in_grid() / kWarpSize;
  if (pixel >= p.count * pixels) return;  // true for a whole warp or for none of it
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  weights += pixel / pixels * p.channels;
  float sum = 0;
  for (int c = lane * N; c < p.channels; c += kWarpSize * N) {
    const auto values = widen(load<Vector<T, N>>(activation + pixel * p.channels + c));
    for (int k = 0; k < N; ++k) sum += weights[c + k] * values[k];
  }
  sum = warp_sum(sum);
  if (lane == 0) map[pixel] = sum;
}

}  // namespace

template <>
void CudaBackend::execute(const op::GradCam& call) {
  const Pictures p = pictures(call.activation);
  if (call.activation.numel() == 0) return;
  dispatch(call.activation.dtype, "grad_cam", [&]<class T>() {
    const unsigned lanes = std::min(64u, std::bit_ceil(static_cast<unsigned>(p.channels)));
    const unsigned groups = std::min(kBlock / lanes, std::bit_ceil(static_cast<unsigned>(p.height * p.width)));
    const LaunchShape shape{{static_cast<unsigned>(p.count), static_cast<unsigned>(ceil_div(p.channels, lanes))}, {lanes, groups}};
    launch<grad_cam_weights_kernel<T>>(stream_, shape, call.gradient.data<T>(), p, call.weights.data<float>());
    const auto blocks = static_cast<unsigned>(ceil_div(call.map.numel(), kBlock / kWarpSize));
    dispatch_vector<T>(p.channels, is_aligned(call.activation.address, 16), [&]<int N>() {
      launch<grad_cam_map_kernel<T, N>>(stream_, {blocks, kBlock}, call.activation.data<T>(),
                                        static_cast<const float*>(call.weights.data<float>()), p, call.map.data<float>());
    });
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
