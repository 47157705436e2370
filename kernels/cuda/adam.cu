// SPDX-License-Identifier: MIT
#include <array>
#include <vector>

#include "kernels/cuda/parts/elementwise.h"

// One optimizer step of all tensors:
//
//   check_finite   state[2] = 1 where a gradient contains an infinity or a NaN, else 0
//   adam           where state[2] is 0: g *= state[1];  p *= 1 - lr wd;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
//                  p -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps);  copy = p, rounded
//   update_scale   the scale's next value
//
// Bytes: check_finite reads n gradients, f32 or halves; adam reads these and 3n, and writes 3n elements of f32, and n halves.
// Launch: a network has many small tensors and few large ones, so all of them are cut into chunks of one size, one chunk per block:
// every multiprocessor is busy to the end, and there is one launch. The table of tensors is passed as the kernel's argument; 32,764 bytes
// is the limit of CUDA 12.1 and later; more tensors than fit take another launch.
//
// Nothing here waits for the host: whether to skip, the unscaling factor and t are read on the device, and so are rates given by address.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

constexpr int kWidth = 4;   // f32 values per 16-byte access
constexpr int kRounds = 4;  // accesses per thread and tensor
constexpr int kChunk = kBlock * kWidth * kRounds;

// Tensors, and the number of the first block of each.
template <class Entry, int kMost>
struct Table {
  Entry entries[kMost];
  unsigned first_block[kMost];
  int count = 0;
  unsigned blocks = 0;

  void add(const Entry& entry, int64_t n) {
    entries[count] = entry;
    first_block[count++] = blocks;
    blocks += static_cast<unsigned>(ceil_div(n, kChunk));
  }
  bool full() const { return count == kMost; }

  // The last tensor whose first block is this one or an earlier one.
  __device__ int tensor_of(unsigned block) const {
    int low = 0, high = count;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (first_block[middle] <= block)
        low = middle;
      else
        high = middle;
    }
    return low;
  }
};

struct Gradient {
  const void* values;
  int64_t n;
  DType dtype;
  bool aligned;
};
using GradientTable = Table<Gradient, 1000>;

struct Parameter {
  float* p;
  const void* g;
  float *m, *v;
  void* copy;
  int64_t* step;
  int64_t n;
  const double* rate_at;  // null: rate
  double rate, decay;     // lr, wd
  DType gradient_type, copy_type;
  bool aligned;
};
using ParameterTable = Table<Parameter, 340>;
static_assert(sizeof(GradientTable) <= 32000 && sizeof(ParameterTable) <= 32000);

template <class T, bool Aligned>
__device__ bool all_finite(const T* values, int64_t n, int64_t begin) {
  bool finite = true;
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
    const int64_t i = begin + (round * kBlock + static_cast<int>(threadIdx.x)) * kWidth;
    if (i >= n) break;
    const auto v = load_where<Vector<T, kWidth>, Aligned>(values + i, n - i);  // elements past the end read as 0
    for (int k = 0; k < kWidth; ++k) finite = finite && isfinite(widen(v[k]));
  }
  return finite;
}

template <class T>
__device__ bool all_finite(const Gradient& g, int64_t begin) {
  const T* const values = static_cast<const T*>(g.values);
  return g.aligned ? all_finite<T, true>(values, g.n, begin) : all_finite<T, false>(values, g.n, begin);
}

__global__ void clear_overflow_kernel(float* state) { state[2] = 0; }

// Every thread that sees an overflow writes the same 1, so the order does not matter.
__global__ void check_finite_kernel(const __grid_constant__ GradientTable table, float* state) {
  const int tensor = table.tensor_of(blockIdx.x);
  const Gradient& g = table.entries[tensor];
  const int64_t begin = static_cast<int64_t>(blockIdx.x - table.first_block[tensor]) * kChunk;
  bool finite = true;
  if (g.dtype == DType::f32)
    finite = all_finite<float>(g, begin);
  else if (g.dtype == DType::f16)
    finite = all_finite<Half>(g, begin);
  else
    finite = all_finite<BFloat16>(g, begin);
  if (!finite) atomicExch(&state[2], 1.0f);
}

// The values of AdamSpec that are given by value.
struct Decays {
  double beta1, beta2, eps;
};

// The factors shared by all elements of a tensor.
struct Factors {
  float beta1, beta2, rest1, rest2, eps;
  float rate, keep, inv_correction, unscale;
};

template <class T, bool Aligned>
__device__ void store_copy(void* copy, int64_t i, const Vector<float, kWidth>& p, int64_t count) {
  store_where<Aligned>(static_cast<T*>(copy) + i, narrow_all<T>(p), count);
}

template <class T, bool Aligned>
__device__ Vector<float, kWidth> widened(const void* from, int64_t i, int64_t count) {
  const auto held = load_where<Vector<T, kWidth>, Aligned>(static_cast<const T*>(from) + i, count);
  Vector<float, kWidth> wide;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) wide[k] = widen(held[k]);
  return wide;
}

template <bool Aligned>
__device__ Vector<float, kWidth> gradient_at(const Parameter& t, int64_t i, int64_t count) {
  if (t.gradient_type == DType::f32) return widened<float, Aligned>(t.g, i, count);
  return t.gradient_type == DType::f16 ? widened<Half, Aligned>(t.g, i, count) : widened<BFloat16, Aligned>(t.g, i, count);
}

template <bool Aligned>
__device__ void step_chunk(const Parameter& t, const Factors& f, int64_t begin) {
  using V = Vector<float, kWidth>;
  for (int round = 0; round < kRounds; ++round) {
    const int64_t i = begin + (round * kBlock + static_cast<int>(threadIdx.x)) * kWidth;
    if (i >= t.n) break;
    const int64_t count = t.n - i;
    V p = load_where<V, Aligned>(t.p + i, count);
    const V g = gradient_at<Aligned>(t, i, count);
    V m = load_where<V, Aligned>(t.m + i, count), v = load_where<V, Aligned>(t.v + i, count);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float gradient = g[k] * f.unscale;
      m[k] = f.beta1 * m[k] + f.rest1 * gradient;
      v[k] = f.beta2 * v[k] + f.rest2 * (gradient * gradient);
      p[k] = p[k] * f.keep - f.rate * (m[k] / (sqrtf(v[k] * f.inv_correction) + f.eps));
    }
    store_where<Aligned>(t.p + i, p, count);
    store_where<Aligned>(t.m + i, m, count);
    store_where<Aligned>(t.v + i, v, count);
    if (!t.copy) continue;
    if (t.copy_type == DType::f16)
      store_copy<Half, Aligned>(t.copy, i, p, count);
    else
      store_copy<BFloat16, Aligned>(t.copy, i, p, count);
  }
}

// 1 - beta^t in f64: f32 would lose most of its digits where the difference is small.
__global__ void __launch_bounds__(kBlock)
    adam_kernel(const __grid_constant__ ParameterTable table, Decays spec, const double* momentum_at, const float* state) {
  __shared__ Factors shared;
  if (state && state[2] != 0) return;  // the same for every thread of the grid
  const int tensor = table.tensor_of(blockIdx.x);
  const Parameter& t = table.entries[tensor];
  if (threadIdx.x == 0) {
    const auto time = static_cast<double>(*t.step + 1);
    const double rate = t.rate_at ? *t.rate_at : t.rate;
    const double beta1 = momentum_at ? *momentum_at : spec.beta1;
    shared = {.beta1 = static_cast<float>(beta1),
              .beta2 = static_cast<float>(spec.beta2),
              .rest1 = static_cast<float>(1 - beta1),
              .rest2 = static_cast<float>(1 - spec.beta2),
              .eps = static_cast<float>(spec.eps),
              .rate = static_cast<float>(static_cast<float>(rate) / (1 - pow(beta1, time))),
              .keep = static_cast<float>(1 - rate * t.decay),
              .inv_correction = static_cast<float>(1 / (1 - pow(spec.beta2, time))),
              .unscale = state ? state[1] : 1.0f};
  }
  __syncthreads();
  const Factors f = shared;
  const int64_t begin = static_cast<int64_t>(blockIdx.x - table.first_block[tensor]) * kChunk;
  if (t.aligned)
    step_chunk<true>(t, f, begin);
  else
    step_chunk<false>(t, f, begin);
}

// A separate launch, since every block of adam_kernel has to read the same t.
__global__ void count_steps_kernel(const __grid_constant__ ParameterTable table, const float* state) {
  if (state && state[2] != 0) return;
  for (int i = static_cast<int>(threadIdx.x); i < table.count; i += static_cast<int>(blockDim.x)) ++*table.entries[i].step;
}

__global__ void update_scale_kernel(float* state, ScalerSpec spec) { step_scaler(state, spec); }

void step_all(Stream& stream, const ParameterTable& table, const AdamSpec& spec, const float* state) {
  const Decays decays{spec.beta1, spec.beta2, spec.eps};
  if (table.blocks > 0) launch<adam_kernel>(stream, {table.blocks, kBlock}, table, decays, data_or_null<double>(spec.momentum), state);
  if (table.count > 0) launch<count_steps_kernel>(stream, {1, kBlock}, table, state);
}

Parameter entry_of(const AdamTensor& tensor) {
  size_t access = 0;  // bytes of the gradient
  dispatch(tensor.gradient.dtype, "adam", [&]<class T>() { access = sizeof(T) * kWidth; });
  const Parameter entry{.p = tensor.parameter.data<float>(),
                        .g = tensor.gradient.address,
                        .m = tensor.m.data<float>(),
                        .v = tensor.v.data<float>(),
                        .copy = tensor.copy.address,
                        .step = tensor.step.data<int64_t>(),
                        .n = tensor.parameter.numel(),
                        .rate_at = data_or_null<double>(tensor.rate),
                        .rate = tensor.learning_rate,
                        .decay = tensor.weight_decay,
                        .gradient_type = tensor.gradient.dtype,
                        .copy_type = tensor.copy.dtype,
                        .aligned = is_aligned(tensor.parameter.address, 16) && is_aligned(tensor.gradient.address, access) &&
                                   is_aligned(tensor.m.address, 16) && is_aligned(tensor.v.address, 16) &&
                                   is_aligned(tensor.copy.address, 8)};
  if (entry.copy && entry.copy_type != DType::f16 && entry.copy_type != DType::bf16) no_such(entry.copy_type, "adam's copy");
  return entry;
}

}  // namespace

template <>
void CudaBackend::execute(const op::CheckFinite& call) {
  auto* const flags = call.state.data<float>();
  launch<clear_overflow_kernel>(stream_, {1, 1}, flags);
  GradientTable table;
  const auto flush = [&] {
    if (table.blocks > 0) launch<check_finite_kernel>(stream_, {table.blocks, kBlock}, table, flags);
    table = {};
  };
  for (const ConstView& gradient : call.gradients) {
    dispatch(gradient.dtype, "check_finite", [&]<class T>() {
      table.add({gradient.address, gradient.numel(), gradient.dtype, is_aligned(gradient.address, sizeof(T) * kWidth)}, gradient.numel());
    });
    if (table.full()) flush();
  }
  flush();
}

template <>
void CudaBackend::execute(const op::Adam& call) {
  const float* const state = data_or_null<float>(call.scaler_state);
  ParameterTable table;
  for (const AdamTensor& tensor : call.tensors) {
    table.add(entry_of(tensor), tensor.parameter.numel());
    if (!table.full()) continue;
    step_all(stream_, table, call.spec, state);
    table = {};
  }
  step_all(stream_, table, call.spec, state);
}

template <>
void CudaBackend::execute(const op::UpdateScale& call) {
  launch<update_scale_kernel>(stream_, {1, 1}, call.state.data<float>(), call.spec);
}

}  // namespace mirilla::MIRILLA_PLATFORM
