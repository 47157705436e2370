// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <span>
#include <type_traits>

#include "kernels/simt/executor.h"

/// CUDA C++ as the host's compiler can read it: qualifiers, built-in indices, barriers, warp functions, atomics. Included by .cu files
/// only, through kernels/cuda/platform. Anything missing here does not exist on the executor; __activemask never will, since its
/// result is not defined by the program.
///
/// The qualifiers have to be macros: elsewhere they are keywords.
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __constant__ static const
/// A block runs on one thread of the host from start to end, so memory of that thread is shared by the block.
#define __shared__ static thread_local
#undef assert
#define assert(condition) ((condition) ? void() : ::mirilla::simt::device_assert(#condition, ::std::source_location::current()))

namespace mirilla::simt {

inline constexpr int kWarp = 32;

// --- Barriers ---------------------------------------------------------------------------------------------------------------------------

using Where = std::source_location;

/// Every thread of the block must arrive, from the same line; a thread that has ended or waits elsewhere is an error.
inline void __syncthreads(Where where = Where::current()) { block_barrier(BarrierKind::plain, 0, where); }
inline int __syncthreads_count(int predicate, Where where = Where::current()) {
  return block_barrier(BarrierKind::count, predicate != 0, where);
}
inline int __syncthreads_and(int predicate, Where where = Where::current()) {
  return block_barrier(BarrierKind::all, predicate != 0, where);
}
inline int __syncthreads_or(int predicate, Where where = Where::current()) {
  return block_barrier(BarrierKind::any, predicate != 0, where);
}

// --- Warp functions: every lane in the mask must arrive, with the same mask, from the same line
// -----------------------------------------

/// Each lane passes a T; the last to arrive runs f(std::span<T*, 32>) once for the warp, with a null pointer for a lane that is not in the
/// mask.
template <class T, class F>
void warp_collective(unsigned mask, T& mine, F f, Where where = Where::current()) {
  const auto all = [](void* function, void** lanes) {
    T* typed[kWarp];
    for (int i = 0; i < kWarp; ++i) typed[i] = static_cast<T*>(lanes[i]);
    (*static_cast<F*>(function))(std::span<T*, kWarp>(typed));
  };
  join_warp(mask, &mine, &f, all, where);
}

inline void __syncwarp(unsigned mask = ~0u, Where where = Where::current()) {
  int nothing = 0;
  warp_collective(
      mask, nothing, [](std::span<int*, kWarp>) {}, where);
}

namespace detail {
template <class T>
struct Shuffled {
  T value;
  int source;  // a lane
  T result;
};

template <class T>
T shuffle(unsigned mask, T value, int source, Where where) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 2));
  Shuffled<T> mine{value, source, value};
  warp_collective(
      mask, mine,
      [](std::span<Shuffled<T>*, kWarp> lanes) {
        for (Shuffled<T>* lane : lanes) {
          if (!lane) continue;
          const Shuffled<T>* const from = lanes[static_cast<size_t>(lane->source)];
          if (!from) fail("a shuffle reads a lane that is not in its mask");
          lane->result = from->value;
        }
      },
      where);
  return mine.result;
}

inline int lane_of_thread() { return thread_in_block() % kWarp; }
}  // namespace detail

/// `width` is a power of two; the warp is divided into groups of that many lanes.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = kWarp, Where where = Where::current()) {
  const int lane = detail::lane_of_thread();
  return detail::shuffle(mask, value, (lane & ~(width - 1)) + (source & (width - 1)), where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = kWarp, Where where = Where::current()) {
  const int lane = detail::lane_of_thread(), source = lane ^ lanes;
  return detail::shuffle(mask, value, source / width == lane / width ? source : lane, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = kWarp, Where where = Where::current()) {
  const int lane = detail::lane_of_thread();
  return detail::shuffle(mask, value, lane % width + static_cast<int>(delta) < width ? lane + static_cast<int>(delta) : lane, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = kWarp, Where where = Where::current()) {
  const int lane = detail::lane_of_thread();
  return detail::shuffle(mask, value, lane % width - static_cast<int>(delta) >= 0 ? lane - static_cast<int>(delta) : lane, where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, Where where = Where::current()) {
  struct Vote {
    bool yes;
    unsigned ballot;
  } mine{predicate != 0, 0};
  warp_collective(
      mask, mine,
      [](std::span<Vote*, kWarp> lanes) {
        unsigned ballot = 0;
        for (int i = 0; i < kWarp; ++i)
          if (lanes[static_cast<size_t>(i)] && lanes[static_cast<size_t>(i)]->yes) ballot |= 1u << i;
        for (Vote* lane : lanes)
          if (lane) lane->ballot = ballot;
      },
      where);
  return mine.ballot;
}
inline int __any_sync(unsigned mask, int predicate, Where where = Where::current()) { return __ballot_sync(mask, predicate, where) != 0; }
inline int __all_sync(unsigned mask, int predicate, Where where = Where::current()) {
  return __ballot_sync(mask, predicate, where) == mask;
}

// --- Atomics: blocks run on several threads of the host, so these are atomic on the host too
// -------------------------------------------------------------

template <class T>
T atomicAdd(T* address, T value) {
  return std::atomic_ref<T>(*address).fetch_add(value, std::memory_order_relaxed);
}
/// Counts from 0 to `last` and begins again.
inline unsigned atomicInc(unsigned* address, unsigned last) {
  const std::atomic_ref<unsigned> counter(*address);
  unsigned before = counter.load(std::memory_order_relaxed);
  while (!counter.compare_exchange_weak(before, before >= last ? 0 : before + 1, std::memory_order_relaxed)) {}
  return before;
}
template <class T>
T atomicExch(T* address, T value) {
  return std::atomic_ref<T>(*address).exchange(value, std::memory_order_relaxed);
}
template <class T>
T atomicCAS(T* address, T expected, T value) {
  std::atomic_ref<T>(*address).compare_exchange_strong(expected, value, std::memory_order_acq_rel);
  return expected;
}
template <class T>
T atomicMax(T* address, T value) {
  T before = std::atomic_ref<T>(*address).load(std::memory_order_relaxed);
  while (before < value && !std::atomic_ref<T>(*address).compare_exchange_weak(before, value)) {}
  return before;
}
template <class T>
T atomicMin(T* address, T value) {
  T before = std::atomic_ref<T>(*address).load(std::memory_order_relaxed);
  while (value < before && !std::atomic_ref<T>(*address).compare_exchange_weak(before, value)) {}
  return before;
}
template <class T>
T atomicOr(T* address, T value) {
  return std::atomic_ref<T>(*address).fetch_or(value, std::memory_order_relaxed);
}
inline void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }
inline void __threadfence_block() {}

// --- Arithmetic and loads
// -----------------------------------------------------------------------------------------------------------------

template <class T>
T __ldg(const T* address) {
  check_aligned(address, alignof(T));
  return *address;
}
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((uint64_t{a} * b) >> 32); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline float __fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
using std::fmaf;
using std::fmaxf;
using std::fminf;
using std::isfinite;
using std::pow;
using std::sqrt;
template <class T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}

// --- Vectors
// ------------------------------------------------------------------------------------------------------------------------------

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

}  // namespace mirilla::simt
