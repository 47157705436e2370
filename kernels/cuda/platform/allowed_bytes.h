// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace mirilla::cuda {

/// How much dynamic shared memory one kernel was allowed on each GPU. CUDA wants more than 48 KB to be requested, per kernel and GPU; once
/// is enough, as the request costs a call. Several threads may use it.
class AllowedBytes {
 public:
  /// Calls request() if `bytes` are more than this GPU allowed so far. If it throws, nothing was allowed.
  template <class F>
  void want(int gpu, size_t bytes, F request) {
    const auto at = static_cast<size_t>(gpu);
    if (at >= kGpus) return request();
    if (bytes <= allowed_[at].load(std::memory_order_relaxed)) return;
    request();
    allowed_[at].store(bytes, std::memory_order_relaxed);
  }

 private:
  static constexpr size_t kGpus = 16;  // of further ones nothing is remembered
  std::array<std::atomic<size_t>, kGpus> allowed_{};
};

}  // namespace mirilla::cuda
