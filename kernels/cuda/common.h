// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "kernels/core/dtype.h"
#include "kernels/core/view.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/parts/reduce.h"
#include "kernels/cuda/parts/vector.h"
#include "kernels/cuda/platform/platform.h"

/// Shared by the files of this folder. Each file has one operation: its contract, its kernels, its launcher.
namespace mirilla::MIRILLA_PLATFORM {

inline constexpr int kBlock = 256;  // threads per block, unless a kernel has a reason for another number

/// The running thread's number in a grid of one dimension, and how many there are: a grid-stride loop covers any n.
__device__ __forceinline__ int64_t thread_in_grid() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ __forceinline__ int64_t threads_in_grid() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

/// Blocks for n pieces of work at `per_block` each: as many as needed, but at most `waves` times what fills the device; a
/// grid-stride loop does the rest. At least one.
inline unsigned blocks_for(int64_t n, int64_t per_block, int waves = 4) {
  const int64_t wanted = (n + per_block - 1) / per_block;
  const int64_t resident = int64_t{facts().multiprocessors} * (facts().threads_per_multiprocessor / kBlock);
  return static_cast<unsigned>(std::clamp<int64_t>(wanted, 1, resident * waves));
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

[[noreturn]] void no_such(DType dtype, std::string_view operation);

/// Calls f.template operator()<T>() for f32, f16, bf16; throws the missing-operation error for the rest.
template <class F>
void dispatch(DType dtype, std::string_view operation, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f16: return f.template operator()<Half>();
    case DType::bf16: return f.template operator()<BFloat16>();
    default: no_such(dtype, operation);
  }
}

inline int64_t channels_of(const ConstView& x) { return x.shape[-1]; }
inline int64_t rows_of(const ConstView& x) {
  int64_t rows = 1;
  for (int d = 0; d + 1 < x.shape.rank(); ++d) rows *= x.shape[d];
  return rows;
}

/// Address of the data, null for an absent view.
template <class T>
const T* data_or_null(const ConstView& x) {
  return x ? x.data<T>() : nullptr;
}
template <class T>
T* data_or_null(const View& x) {
  return x ? x.data<T>() : nullptr;
}

}  // namespace mirilla::MIRILLA_PLATFORM
