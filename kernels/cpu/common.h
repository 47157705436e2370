// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "kernels/core/device.h"
#include "kernels/core/view.h"
#include "kernels/host/threads.h"

namespace mirilla::cpu {

/// Elements below which a second thread costs more than it saves.
inline constexpr int64_t kGrain = 16384;

/// Calls f(i) for i in 0..count-1, on as many threads as set_host_threads allows or on fewer where OpenMP gives fewer; each thread gets one
/// contiguous range. f must not throw.
template <class F>
void parallel_for(int64_t count, F&& f) {
  const int threads = loop_threads(count);
  if (threads < 2) {
    for (int64_t i = 0; i < count; ++i) f(i);
    return;
  }
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < count; ++i) f(i);
}

/// Calls f(begin, end) for host_threads() shares of 0..n; each share but the last is a multiple of `grain`.
template <class F>
void parallel_shares(int64_t n, int64_t grain, F&& f) {
  const int64_t grains = (n + grain - 1) / grain;
  const int64_t threads = std::min<int64_t>(host_threads(), grains);
  parallel_for(threads, [&](int64_t t) { f(grains * t / threads * grain, std::min(n, grains * (t + 1) / threads * grain)); });
}

/// The same over rows of `channels` elements each.
template <class F>
void parallel_rows(int64_t rows, int64_t channels, F&& f) {
  parallel_shares(rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, channels)), f);
}

/// Throws the missing-operation error unless every present view holds f32.
void want_f32(std::string_view operation, std::initializer_list<ConstView> views);
[[noreturn]] void no_such(DType dtype, std::string_view operation);

inline int64_t channels_of(const ConstView& x) { return x.shape[-1]; }
inline int64_t rows_of(const ConstView& x) {
  int64_t rows = 1;
  for (int d = 0; d + 1 < x.shape.rank(); ++d) rows *= x.shape[d];
  return rows;
}

/// Address of f32 data, null for an absent view.
inline const float* floats(const ConstView& x) { return x ? x.data<float>() : nullptr; }
inline float* floats(const View& x) { return x ? x.data<float>() : nullptr; }

}  // namespace mirilla::cpu
