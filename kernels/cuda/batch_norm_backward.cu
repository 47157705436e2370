// SPDX-License-Identifier: MIT
#include <utility>

#include "kernels/cuda/batch_norm_launches.h"
#include "kernels/cuda/batch_norm_pool.h"

// With g = dy, but with ReLU g = 0 where y <= 0, xhat = (x - mean) inv_std:
//
//   dbias = sum g;  dweight = sum g xhat;  dx = weight inv_std (g - 1/n dbias - 1/n xhat dweight);  dresidual = g
//
// In training both passes are one launch of resident blocks: each keeps as many rows of g and x as fit in shared memory, waits until the
// last block has merged the sums, and goes on. Else, and with MIRILLA_NORM_LAUNCHES=2, they are two: the first finds both sums, which each
// dx needs, the second dx and dresidual. Neither stores g, which would cost more than to compute it again. But where dy comes in two parts,
// the first pass stores their sum as dresidual. Behind a ReLU and a pool, g is gathered from the pool's gradient (batch_norm_pool.h).
//
// Bytes, of n elements of s bytes: read 2 n s in each pass (with ReLU n s more each from y, or n / 8 from the mask), write n s (2 n s with
// a residual). Of two parts: read 3 n s and n / 8, write n s, then read 2 n s, write n s. With given statistics dx needs no sums and no x.
// Launch: as in batch_norm_statistics.cu and batch_norm.cu.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

constexpr int kResident = 3;  // blocks per multiprocessor, with 80 registers per thread

/// Rows that a thread loads at the same time: 32 bytes per tensor.
template <class T>
constexpr int kRowsAtOnce = 4 / sizeof(T);

enum class Relu {
  none,
  by_y,
  by_mask,
  of_sum,  // by the mask too, and dy is rounded from two parts
  pooled,  // g comes through a max pool, whose places know what the ReLU let pass
};

/// The sources of g: y, mask or the second part where R needs them.
template <class T, Relu R>
struct Upstream {
  const T* dy;
  const T* y;  // of_sum: the second part
  const uint8_t* mask;
};

template <class T>
struct Upstream<T, Relu::pooled> : PooledUpstream<T> {
  const void* y;  // index, which octets need as aligned as y
};

template <class T, Relu R>
Upstream<T, R> upstream_of(const op::BatchNormBackward& call) {
  if constexpr (R == Relu::pooled)
    return {pooled_upstream<T>(call), call.index.address};
  else
    return {.dy = call.dy.data<T>(),
            .y = R == Relu::by_y     ? call.y.data<T>()
                 : R == Relu::of_sum ? call.dy2.data<T>()
                                     : nullptr,
            .mask = R == Relu::by_mask || R == Relu::of_sum ? call.mask.data<uint8_t>() : nullptr};
}

/// As kernels that load W elements at once are given it.
template <int W, class T, Relu R>
Upstream<T, R> for_loads(const Upstream<T, R>& from, int64_t rows, int64_t channels) {
  if constexpr (R == Relu::pooled)
    return {in_vectors<W, T>(from, rows, channels), from.y};
  else
    return from;
}

/// W loaded elements of g.
template <class T, int W, Relu R>
struct Gradient {
  Raw<T, W> dy, y;
  unsigned bits;

  __device__ __forceinline__ float operator[](int k) const {
    const bool passes = R == Relu::none || R == Relu::pooled || (R == Relu::by_y ? !(y[k] <= 0) : (bits >> k & 1u) != 0);
    if constexpr (R == Relu::of_sum) return passes ? widen(narrow<T>(dy[k] + y[k])) : 0.0f;
    return passes ? dy[k] : 0.0f;
  }
};

template <int W, class T, Relu R>
__device__ __forceinline__ Gradient<T, W, R> load_gradient(const Upstream<T, R>& from, int64_t at) {
  if constexpr (R == Relu::pooled) return {load_pooled<W>(from, at), {}, 0};
  Gradient<T, W, R> g{load_channels<W>(from.dy + at), {}, 0};
  if constexpr (R == Relu::by_y || R == Relu::of_sum) g.y = load_channels<W>(from.y + at);
  if constexpr (R == Relu::by_mask || R == Relu::of_sum) g.bits = static_cast<unsigned>(from.mask[at / kOctet]) >> at % kOctet;
  return g;
}

/// The same for an octet that may reach past the tensor's end.
template <bool Aligned, class T, Relu R>
__device__ __forceinline__ Gradient<T, kOctet, R> load_gradient_octet(const Upstream<T, R>& from, int64_t at, int64_t count) {
  if constexpr (Aligned) return load_gradient<kOctet>(from, at);
  if constexpr (R == Relu::pooled) {
    return {load_pooled_octet(from, at, count), {}, 0};
  }
  Gradient<T, kOctet, R> g{load_octet<false>(from.dy + at, count), {}, 0};
  if constexpr (R == Relu::by_y) g.y = load_octet<false>(from.y + at, count);
  if constexpr (R == Relu::by_mask) g.bits = from.mask[at / kOctet];
  return g;
}

/// g, which narrows without rounding.
template <class T, int W, Relu R>
__device__ __forceinline__ void store_gradient(T* address, const Gradient<T, W, R>& g) {
  if constexpr (W == kOctet) {
    Octet wide;
#pragma unroll
    for (int k = 0; k < W; ++k) wide[k] = g[k];
    store_octet<true>(address, wide, W);
  } else {
    *address = narrow<T>(g[0]);
  }
}

// --- The sums ----------------------------------------------------------------------------------------------------------------------------

template <int W>
struct Sums {
  Vector<float, W> g, moved;  // sums of g and of g (x - mean)

  __device__ void merge(const Sums& other) {
#pragma unroll
    for (int c = 0; c < W; ++c) {
      g[c] += other.g[c];
      moved[c] += other.moved[c];
    }
  }
  template <class T, Relu R>
  __device__ __forceinline__ void add(const Gradient<T, W, R>& gradient, const Raw<T, W>& x, const Vector<float, W>& mean) {
#pragma unroll
    for (int c = 0; c < W; ++c) {
      const float each = gradient[c];
      g[c] += each;
      moved[c] = fmaf(each, x[c] - mean[c], moved[c]);
    }
  }
};

/// Where blocks leave their sums.
struct Parts {
  float* values;  // (parts, 2, C): sums of g, of g (x - mean)
  int64_t rows, stretch, channels;

  __device__ __forceinline__ float* at(int part, int c) const { return values + int64_t{2} * part * channels + c; }
  __device__ __forceinline__ Sums<1> load(int part, int c) const {
    const float* const from = at(part, c);
    return {{from[0]}, {from[channels]}};
  }
  __device__ __forceinline__ void store(int part, int c, const Sums<1>& sums) const {
    float* const to = at(part, c);
    to[0] = sums.g[0];
    to[channels] = sums.moved[0];
  }
  __device__ __forceinline__ Parts of_classes() const { return *this; }
};

/// The results of the sums: the gradients of bias and weight, and dx = weight inv_std (g - offset - slope (x - mean)).
struct Gradients {
  float *dbias, *dweight, *offset, *slope;  // each may be null

  __device__ __forceinline__ void write(int c, const Sums<1>& all, float inv_std, float n) const {
    const float of_weight = all.moved[0] * inv_std;
    if (dbias) dbias[c] = all.g[0];
    if (dweight) dweight[c] = of_weight;
    if (offset) offset[c] = all.g[0] / n;
    if (slope) slope[c] = of_weight * inv_std / n;
  }
};

/// From the sums of this block's threads to the results: the last block of a column of the grid writes them, and true is returned in it.
/// All threads of the block must call it.
template <int W>
__device__ __forceinline__ bool finish(Sums<W>& mine, const Parts& parts, int channel, unsigned* counters, const float* inv_std,
                                       const Gradients& out) {
  __shared__ Sums<W> room[kBlock / 2];
  merge_rows(mine, room);
  if (threadIdx.y == 0 && channel < parts.channels) {
    const auto part = static_cast<int>(blockIdx.x);
    store(parts.at(part, channel), mine.g);
    store(parts.at(part, channel) + parts.channels, mine.moved);
  }
  const int first = channel - static_cast<int>(threadIdx.x) * W;
  const int end = static_cast<int>(min(int64_t{first} + int64_t{blockDim.x} * W, parts.channels));
  return merge_parts<Sums<1>>(parts, first, end, counters,
                              [&](int c, const Sums<1>& all) { out.write(c, all, inv_std[c], static_cast<float>(parts.rows)); });
}

template <int W, class T, Relu R>
__global__ void __launch_bounds__(kBlock, kResident)
    sums_kernel(Upstream<T, R> from, const T* __restrict__ x, const float* __restrict__ mean, const float* __restrict__ inv_std,
                Parts parts, unsigned first_column, unsigned* counters, Gradients out, T* g_of_sum) {
  constexpr int kRows = kRowsAtOnce<T>;
  const int64_t channels = parts.channels;
  const int channel = first_channel<W>(first_column);
  Sums<W> mine{};
  if (channel < channels) {
    Vector<float, W> middle;
    for (int c = 0; c < W; ++c) middle[c] = mean[channel + c];
    for (Walk walk = Walk::in_stretch(parts.rows, parts.stretch, channels, channel); walk.left > 0; walk.go(kRows)) {
      Gradient<T, W, R> g[kRows];
      Raw<T, W> value[kRows];
#pragma unroll
      for (int k = 0; k < kRows; ++k) {
        if (k >= walk.left) continue;
        g[k] = load_gradient<W>(from, walk.at + k * walk.step);
        value[k] = load_channels<W>(x + walk.at + k * walk.step);
      }
#pragma unroll
      for (int k = 0; k < kRows; ++k) {
        if (k >= walk.left) continue;
        mine.add(g[k], value[k], middle);
        if constexpr (R == Relu::of_sum) store_gradient(g_of_sum + walk.at + k * walk.step, g[k]);
      }
    }
  }
  finish(mine, parts, channel, counters, inv_std, out);
}

template <class T, Relu R>
void find_sums(Stream& stream, const Upstream<T, R>& from, const op::BatchNormBackward& call, const Gradients& out) {
  T* const g_of_sum = R == Relu::of_sum ? call.dresidual.data<T>() : nullptr;
  const T* const x = call.x.data<T>();
  const float *const mean = call.mean.data<float>(), *const inv_std = call.inv_std.data<float>();
  const int64_t rows = rows_of(call.x), channels = channels_of(call.x);
  const auto run = [&]<int W>() {
    const RowBlock block(channels, W);
    const Stretches stretches(rows, block, kRowsAtOnce<T>, kResident);
    const Scratch scratch(stream, size_t{2} * stretches.count * static_cast<size_t>(channels) * sizeof(float));
    const Parts parts{scratch.as<float>(), rows, stretches.stretch, channels};
    for_column_groups(block, [&](unsigned first, unsigned count) {
      launch<sums_kernel<W, T, R>>(stream, {dim3(stretches.count, count), block.threads}, for_loads<W>(from, rows, channels), x, mean,
                                   inv_std, parts, first, stream.counters(), out, g_of_sum);
    });
  };
  if (in_octets(channels, {from.dy, from.y, x, g_of_sum}))
    run.template operator()<kOctet>();
  else
    run.template operator()<1>();
}

// --- dx and dresidual --------------------------------------------------------------------------------------------------------------------

template <class T, Relu R>
struct Back {
  Upstream<T, R> from;
  const T* x;                            // null where dx does not need it
  const float *mean, *inv_std, *weight;  // null without dx
  const float *offset, *slope;           // null where the statistics were given
  T *dx, *dresidual;                     // each may be null
  int64_t rows, channels;
};

struct Factors {
  Octet mean, factor, offset, slope;
};

template <bool Aligned, class T, Relu R>
__device__ __forceinline__ Factors factors_of(const Back<T, R>& call, int64_t channel) {
  Factors f{};
  if (!call.dx) return f;
  f.factor = of_channels<Aligned>(call.inv_std, channel, call.channels);
  const Octet weight = of_channels<Aligned>(call.weight, channel, call.channels);
  for (int k = 0; k < kOctet; ++k) f.factor[k] *= weight[k];
  if (!call.x) return f;
  f.mean = of_channels<Aligned>(call.mean, channel, call.channels);
  f.offset = of_channels<Aligned>(call.offset, channel, call.channels);
  f.slope = of_channels<Aligned>(call.slope, channel, call.channels);
  return f;
}

template <class T, Relu R>
struct Operands {
  Gradient<T, kOctet, R> g;
  Raw<T, kOctet> x;
};

template <bool Aligned, class T, Relu R>
__device__ __forceinline__ Operands<T, R> load_operands(const Back<T, R>& call, int64_t at, int64_t count) {
  Operands<T, R> o{load_gradient_octet<Aligned>(call.from, at, count), {}};
  if (call.x) o.x = load_octet<Aligned>(call.x + at, count);
  return o;
}

template <bool Aligned, class T, Relu R>
__device__ __forceinline__ void back_octet(const Back<T, R>& call, const Factors& f, const Operands<T, R>& o, int64_t at, int64_t count) {
  Octet g;
#pragma unroll
  for (int k = 0; k < kOctet; ++k) g[k] = o.g[k];
  if (call.dresidual) store_octet<Aligned>(call.dresidual + at, g, count);
  if (!call.dx) return;
#pragma unroll
  for (int k = 0; k < kOctet; ++k) {
    if (call.x) g[k] = fmaf(-f.slope[k], o.x[k] - f.mean[k], g[k] - f.offset[k]);
    g[k] *= f.factor[k];
  }
  store_octet<Aligned>(call.dx + at, g, count);
}

template <class T, Relu R>
__global__ void __launch_bounds__(kBlock, kResident) back_rows_kernel(Back<T, R> call, const T* dy) {
  call.from.dy = dy;
  constexpr int kRows = kRowsAtOnce<T>;
  const int channel = first_channel<kOctet>();
  if (channel >= call.channels) return;
  const Factors factors = factors_of<true>(call, channel);
  for (Walk walk = Walk::in_turns(call.rows, call.channels, channel); walk.left > 0; walk.go(kRows)) {
    Operands<T, R> operands[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k)
      if (k < walk.left) operands[k] = load_operands<true>(call, walk.at + k * walk.step, kOctet);
#pragma unroll
    for (int k = 0; k < kRows; ++k)
      if (k < walk.left) back_octet<true>(call, factors, operands[k], walk.at + k * walk.step, kOctet);
  }
}

template <class T, Relu R>
__global__ void __launch_bounds__(kBlock) back_flat_kernel(Back<T, R> call, const T* dy) {
  call.from.dy = dy;
  const int64_t n = call.rows * call.channels;
  for (int64_t at = thread_in_grid() * kOctet; at < n; at += threads_in_grid() * kOctet) {
    const Factors factors = factors_of<false>(call, at % call.channels);
    back_octet<false>(call, factors, load_operands<false>(call, at, n - at), at, n - at);
  }
}

template <class T, Relu R>
void go_back(Stream& stream, Back<T, R> back) {
  // dy is an argument of its own: the account of a step sees that it is read.
  if (in_octets(back.channels, {back.from.dy, back.from.y, back.x, back.dx, back.dresidual})) {
    const RowBlock block(back.channels, kOctet);
    const dim3 grid(block.blocks_down(back.rows, kRowsAtOnce<T>, kResident), block.blocks_across);
    back.from = for_loads<kOctet>(back.from, back.rows, back.channels);
    const T* const dy = std::exchange(back.from.dy, nullptr);
    launch<back_rows_kernel<T, R>>(stream, {grid, block.threads}, back, dy);
  } else {
    back.from = for_loads<1>(back.from, back.rows, back.channels);
    const T* const dy = std::exchange(back.from.dy, nullptr);
    launch<back_flat_kernel<T, R>>(stream, {blocks_for(back.rows * back.channels, kBlock * kOctet), kBlock}, back, dy);
  }
}

constexpr size_t kOwnShared = 9 * 1024;  // bytes of static shared memory in one launch, at most

/// g as it would be read from memory; it narrows without rounding.
template <class T, Relu R>
__device__ __forceinline__ Raw<T, kOctet> raw_of(const Gradient<T, kOctet, R>& g) {
  Vector<T, kOctet> narrowed;
#pragma unroll
  for (int k = 0; k < kOctet; ++k) narrowed[k] = narrow<T>(g[k]);
  return std::bit_cast<Raw<T, kOctet>>(detail::words_of(narrowed));
}

/// The blocks find the sums, wait for the last block of their column, and compute dx of the same rows. The first pass stores g as dresidual
/// where that is wanted (g_out), and what was not kept is read from there.
template <class T, Relu R>
__global__ void __launch_bounds__(kBlock, kResident)
    whole_back_kernel(Upstream<T, R> from, Back<T, Relu::none> call, Parts parts, unsigned* counters, Gradients out, T* g_out, int kept) {
  constexpr int kRows = kRowsAtOnce<T>;
  const int64_t channels = parts.channels;
  const int channel = first_channel<kOctet>();
  const Kept<T> rows(2 * kept);
  const Walk start = Walk::in_stretch(parts.rows, parts.stretch, channels, channel);
  Sums<kOctet> mine{};
  if (channel < channels) {
    const Octet middle = of_channels<true>(call.mean, channel, channels);
    int i = 0;
    for (Walk walk = start; walk.left > 0; walk.go(kRows), i += kRows) {
      Gradient<T, kOctet, R> g[kRows];
      Raw<T, kOctet> x[kRows];
#pragma unroll
      for (int k = 0; k < kRows; ++k) {
        if (k >= walk.left) continue;
        g[k] = load_gradient<kOctet>(from, walk.at + k * walk.step);
        x[k] = load_channels<kOctet>(call.x + walk.at + k * walk.step);
      }
#pragma unroll
      for (int k = 0; k < kRows; ++k) {
        if (k >= walk.left) continue;
        mine.add(g[k], x[k], middle);
        if (g_out) store_gradient(g_out + walk.at + k * walk.step, g[k]);
        if (!rows.has(2 * (i + k) + 1)) continue;
        rows.put(2 * (i + k), raw_of(g[k]));
        rows.put(2 * (i + k) + 1, x[k]);
      }
    }
  }
  wait_for_last(finish(mine, parts, channel, counters, call.inv_std, out), counters);
  if (channel >= channels) return;
  const Factors factors = factors_of<true>(call, channel);
  int i = 0;
  for (Walk walk = start; walk.left > 0; walk.go(1), ++i) {
    Operands<T, Relu::none> o{};
    if (rows.has(2 * i + 1)) {
      o.g.dy = rows.get(2 * i);
      o.x = rows.get(2 * i + 1);
    } else {
      o.g.dy = g_out ? load_channels<kOctet>(g_out + walk.at) : raw_of(load_gradient<kOctet>(from, walk.at));
      o.x = load_channels<kOctet>(call.x + walk.at);
    }
    back_octet<true>(call, factors, o, walk.at, kOctet);
  }
}

/// False, and nothing is done, where one launch cannot do it.
template <class T, Relu R>
bool run_whole(Stream& stream, const Upstream<T, R>& from, const Back<T, Relu::none>& back, const Gradients& out, T* g_out) {
  if (norm_launches() == 2 || back.rows == 0) return false;
  if (!in_octets(back.channels, {from.dy, from.y, back.x, back.dx, g_out})) return false;
  const RowBlock block(back.channels, kOctet);
  const Stretches stretches(back.rows, block, kRowsAtOnce<T>, kResident);
  if (!runs_together(stream, block, stretches, kResident)) return false;
  const Scratch scratch(stream, size_t{2} * stretches.count * static_cast<size_t>(back.channels) * sizeof(float));
  Keeping<T> keeping(block, stretches, back.channels, 2, kResident, kOwnShared);
  if (!g_out) {
    const int64_t elements = keeping.read_again_bytes / (2 * static_cast<int64_t>(sizeof(T)));
    keeping.read_again_bytes += R == Relu::by_y ? elements * static_cast<int64_t>(sizeof(T)) : R == Relu::by_mask ? elements / kOctet : 0;
  }
  launch<whole_back_kernel<T, R>>(stream,
                                  {.grid = dim3(stretches.count, block.blocks_across),
                                   .block = block.threads,
                                   .shared_bytes = keeping.shared_bytes,
                                   .together = true,
                                   .read_again_bytes = keeping.read_again_bytes},
                                  from, back, Parts{scratch.as<float>(), back.rows, stretches.stretch, back.channels}, stream.counters(),
                                  out, g_out, keeping.rows);
  return true;
}

template <class T, Relu R>
void run_backward(Stream& stream, const op::BatchNormBackward& call) {
  const int64_t rows = rows_of(R == Relu::pooled ? call.x : call.dy), channels = channels_of(call.dy);
  const bool through_statistics = call.training && call.dx;
  const Scratch scratch(stream, through_statistics ? 2 * static_cast<size_t>(channels) * sizeof(float) : 0);
  auto* const offset = through_statistics ? scratch.as<float>() : nullptr;
  auto* const slope = through_statistics ? offset + channels : nullptr;
  const auto from = upstream_of<T, R>(call);
  const Gradients out{
      .dbias = data_or_null<float>(call.dbias), .dweight = data_or_null<float>(call.dweight), .offset = offset, .slope = slope};
  const Back<T, Relu::none> back{.from = {},
                                 .x = through_statistics ? call.x.data<T>() : nullptr,
                                 .mean = call.mean.data<float>(),
                                 .inv_std = call.inv_std.data<float>(),
                                 .weight = call.weight.data<float>(),
                                 .offset = offset,
                                 .slope = slope,
                                 .dx = data_or_null<T>(call.dx),
                                 .dresidual = nullptr,
                                 .rows = rows,
                                 .channels = channels};
  if constexpr (R != Relu::pooled)  // the code that gathers g, twice in one kernel, would not fit registers
    if (through_statistics && run_whole(stream, from, back, out, data_or_null<T>(call.dresidual))) return;
  if (call.dweight || call.dbias || through_statistics) find_sums(stream, from, call, out);
  if ((!call.dx && !call.dresidual) || rows == 0) return;
  constexpr bool kStored = R == Relu::of_sum;  // the sums' pass left g as dresidual
  constexpr Relu kLeft = kStored ? Relu::none : R;
  if (kStored && !call.dx) return;
  const auto left = [&] {
    if constexpr (kStored)
      return Upstream<T, kLeft>{call.dresidual.data<T>(), nullptr, nullptr};
    else
      return from;
  }();
  go_back<T, kLeft>(stream, {.from = left,
                             .x = through_statistics ? call.x.data<T>() : nullptr,
                             .mean = call.mean.data<float>(),
                             .inv_std = call.inv_std.data<float>(),
                             .weight = call.weight.data<float>(),
                             .offset = offset,
                             .slope = slope,
                             .dx = data_or_null<T>(call.dx),
                             .dresidual = kStored ? nullptr : data_or_null<T>(call.dresidual),
                             .rows = rows,
                             .channels = channels});
}

}  // namespace

template <>
void CudaBackend::execute(const op::BatchNormBackward& call) {
  if (channels_of(call.dy) == 0) return;
  dispatch(call.dy.dtype, "batch_norm_backward", [&]<class T>() {
    if (call.index)
      run_backward<T, Relu::pooled>(stream_, call);
    else if (!call.relu)
      run_backward<T, Relu::none>(stream_, call);
    else if (call.dy2)
      run_backward<T, Relu::of_sum>(stream_, call);
    else if (call.y)
      run_backward<T, Relu::by_y>(stream_, call);
    else
      run_backward<T, Relu::by_mask>(stream_, call);
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
