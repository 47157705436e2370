// SPDX-License-Identifier: MIT
#include "kernels/cuda/conv/own.h"
#include "kernels/cuda/parts/gather.h"
#include "kernels/cuda/parts/tile.h"
#include "kernels/cuda/vendor/vendor.h"

// dw(k,r,s,c) = sum over n,p,q of dy(n,p,q,k) x(the input that y(n,p,q,k) read through tap (r,s), c); dw is like x, or f32.
//
// As a product: M = filters k, N = taps (r,s,c), K = pixels (n,p,q). In neither operand are pixels contiguous: the chunks of A, dy as it is
// in memory, run along the filters, those of B, gathered from x, along the taps.
// dw is small and there are many pixels, so the pixels are cut into enough parts to keep the device busy. Each part writes its sums in f32;
// a second kernel adds the parts, in order. FLOP: as forward. Bytes: dy N / tile times, x for each tap M / tile times, mostly from the
// caches; the parts' sums written and read once. Launch: one block per tile of (filters, taps), one layer of the grid per part; then 256
// threads per block, one element per thread.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class T, bool kWide>
struct Conv2dBackwardWeight {
  using Element = T;
  using A = MatrixOperand<T, false, kWide>;
  using B = Gather<T, true, kWide>;

  A a;
  B b;
  int64_t rows, columns;
  int pixels_in_part;
  Result<T, true> dw;  // of all parts, one after the other
  int part;

  __device__ void enter(unsigned layer) { part = static_cast<int>(layer); }
  __device__ int first_depth() const { return part * pixels_in_part; }
  __device__ int last_depth() const { return min(a.extent, (part + 1) * pixels_in_part); }
  __device__ __forceinline__ void put(int64_t m, int64_t n, const typename Result<T, true>::Values& values) const {
    if (m < rows && n < columns) dw.put((part * rows + m) * columns + n, values, columns - n);
  }
};

// y[i] = the sum of parts[p n + i], p = 0, 1, ...
template <class Y>
__global__ void add_parts_kernel(const float* __restrict__ parts, int count, int64_t n, Y* __restrict__ y) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    float sum = 0;
#pragma unroll 4
    for (int p = 0; p < count; ++p) sum += parts[p * n + i];
    y[i] = narrow<Y>(sum);
  }
}

constexpr int kFewestPixels = 256;  // in a part: with fewer, writing the sums costs as much as computing them

template <class Shape, class T, bool kWide>
void run_in_parts(Stream& stream, Conv2dBackwardWeight<T, kWide> problem, const View& dw) {
  const int64_t pixels = problem.a.extent, wanted = ceil_div(2 * facts().multiprocessors, tiles_of<Shape>(problem.rows, problem.columns));
  const int64_t at_most = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, pixels / kFewestPixels));
  const int64_t in_part = ceil_div(ceil_div(pixels, at_most), kTileDepth<T>) * kTileDepth<T>;  // whole tiles
  const int64_t parts = std::max<int64_t>(1, ceil_div(pixels, std::max<int64_t>(1, in_part)));
  problem.pixels_in_part = static_cast<int>(in_part);
  if (parts == 1) return launch_product<Shape>(stream, problem);
  const int64_t n = dw.numel();
  const Scratch scratch(stream, static_cast<size_t>(parts * n) * sizeof(float));
  problem.dw = {scratch.as<float>(), true, chunks_fit<T>(scratch.as<float>(), problem.columns)};
  launch_product<Shape>(stream, problem, parts);
  const auto add_parts = [&]<class Y>() {
    launch<add_parts_kernel<Y>>(stream, {blocks_for(n, kBlock), kBlock}, scratch.as<float>(), static_cast<int>(parts), n, dw.data<Y>());
  };
  if (dw.dtype == DType::f32)
    add_parts.template operator()<float>();
  else
    add_parts.template operator()<T>();
}

template <class T, bool kWide>
void run(Stream& stream, const ConstView& x, const ConstView& dy, const Conv2dSpec& spec, const ConvSizes& z, const View& dw) {
  const Conv2dBackwardWeight<T, kWide> problem{.a = {dy.data<T>(), z.k, z.pixels_out()},
                                               .b = gather_from<T, true, kWide>(x.data<T>(), z, spec),
                                               .rows = z.k,
                                               .columns = z.taps(),
                                               .pixels_in_part = 0,
                                               .dw = result_of<T, true>(dw),
                                               .part = 0};
  const int64_t parts = std::max(1, z.pixels_out() / kFewestPixels);
  with_tile<kWide>(problem.rows, problem.columns, parts, [&]<class Shape>() { run_in_parts<Shape>(stream, problem, dw); });
}

}  // namespace

void own_conv2d_backward_weight(Stream& stream, const ConstView& x, const ConstView& dy, const Conv2dSpec& spec, const View& dw) {
  if (dw.numel() == 0) return;
  const ConvSizes z = conv_sizes("conv2d_backward_weight", x.shape, dw.shape, dy.shape);
  dispatch(x.dtype, "conv2d_backward_weight", [&]<class T>() {
    if (chunks_fit<T>(x.address, z.c) && chunks_fit<T>(dy.address, z.k))
      run<T, true>(stream, x, dy, spec, z, dw);
    else
      run<T, false>(stream, x, dy, spec, z, dw);
  });
}

bool CudaBackend::rounds(const op::Conv2dBackwardWeight& call) { return vendor::rounds(stream_, call); }

template <>
void CudaBackend::execute(const op::Conv2dBackwardWeight& call) {
  if (!vendor::conv2d_backward_weight(stream_, call.x, call.dy, call.spec, call.dw))
    own_conv2d_backward_weight(stream_, call.x, call.dy, call.spec, call.dw);
}

}  // namespace mirilla::MIRILLA_PLATFORM
