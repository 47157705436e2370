// SPDX-License-Identifier: MIT
#include <numeric>

#include "kernels/cuda/conv/own.h"
#include "kernels/cuda/parts/gather.h"
#include "kernels/cuda/parts/tile.h"
#include "kernels/cuda/vendor/vendor.h"

// dx(n,h,w,c) = sum over k and the taps (r,s) through which some y(n,p,q,k) read it, of dy(n,p,q,k) w(k,r,s,c); 0 where no y read it.
//
// Gathered, not scattered: no atomics. h was read by p through r where h = p stride - padding + r dilation. Which r are possible depends on
// h modulo stride alone (its phase): every `every`-th from the first possible one, with `every` = stride / gcd(stride, dilation). So the
// pixels of one phase, h = phase + i stride, are a product without wasted work, in which tap t = (r - first) / every of pixel i reads
//
//   p = i + (phase + padding - first dilation) / stride - t (every dilation / stride)
//
// As a product, for each of the stride x stride phases: M = pixels of the phase, N = channels c, K = (taps of the phase, filters k). A is
// gathered from dy, along K; in the weights c is contiguous, so the chunks of B run along N. FLOP: as forward. Bytes: dx once; dy and w
// through the caches. Launch: one block per tile of (pixels, channels), one layer of the grid per phase.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

// One direction of a convolution, seen from the pixels of one phase.
struct PhaseAxis {
  int first, count;  // taps
  int origin;        // the output that read pixel 0 through the first tap
  __device__ PhaseAxis(int phase, int taps, int every, const Conv2dSpec& spec) : first(0) {
    while (first < every && (phase + spec.padding - first * spec.dilation) % spec.stride != 0) ++first;
    count = first < every && first < taps ? (taps - first + every - 1) / every : 0;
    origin = count > 0 ? (phase + spec.padding - first * spec.dilation) / spec.stride : 0;
  }
};

// The weights (K,R,S,C) as the matrix ((t_h, t_w, k), c) of a phase's taps.
template <class T, bool kWide>
struct WeightsOfPhase {
  using Element = T;
  static constexpr bool kAlongK = false;
  using Row = int;        // c
  using Depth = int64_t;  // offset of w(k,r,s,0); -1 outside

  const T* weights;
  int k, r, s, c;  // their extents
  Divider filters;
  int every;
  int first_h, first_w;
  Divider taps_w;
  int extent;  // of K

  __device__ Row row(int64_t index) const { return static_cast<int>(index); }
  __device__ __forceinline__ Depth depth(int at) const {
    if (at >= extent) return -1;
    const auto [tap, filter] = filters.divide(static_cast<unsigned>(at));
    const auto [t_h, t_w] = taps_w.divide(tap);
    const int in_r = first_h + static_cast<int>(t_h) * every, in_s = first_w + static_cast<int>(t_w) * every;
    return ((static_cast<int64_t>(filter) * r + in_r) * s + in_s) * c;
  }
  __device__ __forceinline__ Pack<T> load(Row channel, Depth offset) const {
    Pack<T> chunk{};
    if (channel >= c || offset < 0) return chunk;
    if constexpr (kWide) return mirilla::MIRILLA_PLATFORM::load<Pack<T>>(weights + offset + channel);
#pragma unroll
    for (int i = 0; i < kChunk<T>; ++i)
      if (channel + i < c) chunk[i] = weights[offset + channel + i];
    return chunk;
  }
};

template <class T, bool kWide>
struct Conv2dBackwardData {
  using Element = T;
  using A = Gather<T, false, kWide>;
  using B = WeightsOfPhase<T, kWide>;

  A a;
  B b;
  int64_t rows, columns;
  Conv2dSpec spec;
  int height, width;  // of dx
  Result<T> dx;
  int phase_h, phase_w;

  __device__ void enter(unsigned layer) {
    phase_h = static_cast<int>(layer) / spec.stride;
    phase_w = static_cast<int>(layer) % spec.stride;
    const PhaseAxis along_h(phase_h, b.r, b.every, spec), along_w(phase_w, b.s, b.every, spec);
    a.origin_h = along_h.origin;
    a.origin_w = along_w.origin;
    a.taps_h = along_h.count;
    a.taps_w = b.taps_w = Divider(along_w.count);
    b.first_h = along_h.first;
    b.first_w = along_w.first;
    b.extent = along_h.count * along_w.count * b.k;
  }
  __device__ int first_depth() const { return 0; }
  __device__ int last_depth() const { return b.extent; }
  __device__ __forceinline__ void put(int64_t m, int64_t n, const typename Result<T>::Values& values) const {
    if (m >= rows || n >= columns) return;
    const auto [row, j] = a.grid_w.divide(static_cast<unsigned>(m));
    const auto [picture, i] = a.grid_h.divide(row);
    const int h = phase_h + static_cast<int>(i) * spec.stride, w = phase_w + static_cast<int>(j) * spec.stride;
    if (h >= height || w >= width) return;  // past the last pixel of a phase, where stride does not divide the picture
    dx.put(((static_cast<int64_t>(picture) * height + h) * width + w) * columns + n, values, columns - n);
  }
};

template <class T, bool kWide>
void run(Stream& stream, const ConstView& dy, const ConstView& w, const Conv2dSpec& spec, const ConvSizes& z, const View& dx) {
  const int every = spec.stride / std::gcd(spec.stride, spec.dilation), step = -(every * spec.dilation / spec.stride);
  const int grid_h = (z.h + spec.stride - 1) / spec.stride, grid_w = (z.w + spec.stride - 1) / spec.stride;
  const Divider of_phase(1);  // set by each block for its phase
  const Conv2dBackwardData<T, kWide> problem{.a = {dy.data<T>(), z.p, z.q, Divider(z.k), z.k, int64_t{z.n} * grid_h * grid_w,
                                                   Divider(grid_h), Divider(grid_w), 0, of_phase, 0, 0, 1, step, step},
                                             .b = {w.data<T>(), z.k, z.r, z.s, z.c, Divider(z.k), every, 0, 0, of_phase, 0},
                                             .rows = int64_t{z.n} * grid_h * grid_w,
                                             .columns = z.c,
                                             .spec = spec,
                                             .height = z.h,
                                             .width = z.w,
                                             .dx = result_of<T>(dx),
                                             .phase_h = 0,
                                             .phase_w = 0};
  const int64_t phases = int64_t{spec.stride} * spec.stride;
  with_tile<kWide>(problem.rows, problem.columns, phases, [&]<class Shape>() { launch_product<Shape>(stream, problem, phases); });
}

}  // namespace

void own_conv2d_backward_data(Stream& stream, const ConstView& dy, const ConstView& w, const Conv2dSpec& spec, const View& dx) {
  if (dx.numel() == 0) return;
  const ConvSizes z = conv_sizes("conv2d_backward_data", dx.shape, w.shape, dy.shape);
  dispatch(dy.dtype, "conv2d_backward_data", [&]<class T>() {
    if (chunks_fit<T>(dy.address, z.k) && chunks_fit<T>(w.address, z.c))
      run<T, true>(stream, dy, w, spec, z, dx);
    else
      run<T, false>(stream, dy, w, spec, z, dx);
  });
}

template <>
void CudaBackend::execute(const op::Conv2dBackwardData& call) {
  if (!vendor::conv2d_backward_data(stream_, call.dy, call.w, call.spec, call.dx))
    own_conv2d_backward_data(stream_, call.dy, call.w, call.spec, call.dx);
}

}  // namespace mirilla::MIRILLA_PLATFORM
