// SPDX-License-Identifier: MIT
#include <cmath>

#include "kernels/cuda/parts/elementwise.h"

// y[i] = x[i] / (1 - p) where to_unit(key.bits(i)) >= p, else 0 (NaN where x[i] is not finite). Nothing is stored: the backward pass is the
// same call on dy.
//
// Bytes: read n, write n elements. One Philox block, ten rounds of two 32-bit products, gives the numbers of four elements.
// Launch: 256 threads per block, two 16-byte accesses per thread and tensor.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class T>
struct Dropout {
  RandomKey key;
  const int64_t* step;  // replaces key.step, or null
  uint32_t threshold;   // to_unit(bits) >= p is bits >> 8 >= threshold, since to_unit counts in steps of 2^-24
  float kept_scale;

  template <int N>
  __device__ Vector<T, N> operator()(int64_t i, const Vector<T, N>& x) const {
    static_assert(N % 4 == 0, "a vector starts at the first word of a Philox block");
    Vector<T, N> y;
    RandomKey now = key;
    if (step) now.step = static_cast<uint32_t>(*step);  // one address for all threads: a broadcast from the cache
    for (int quarter = 0; quarter < N / 4; ++quarter) {
      const auto words = now.block(static_cast<uint32_t>(i) / 4 + static_cast<uint32_t>(quarter));
      for (size_t k = 0; k < 4; ++k) {
        const int e = quarter * 4 + static_cast<int>(k);
        const float value = widen(x[e]);
        y[e] = narrow<T>((words[k] >> 8) >= threshold ? kept_scale * value : fmaf(value, 0.0f, 0.0f));
      }
    }
    return y;
  }
};

}  // namespace

template <>
void CudaBackend::execute(const op::Dropout& call) {
  const auto threshold = static_cast<uint32_t>(std::ceil(call.spec.p * 0x1p24));  // exact: multiplying by a power of two does not round
  const auto kept_scale = static_cast<float>(1 / (1 - call.spec.p));
  dispatch(call.y.dtype, "dropout", [&]<class T>() {
    map(stream_, call.y.numel(), Dropout<T>{call.spec.key, data_or_null<int64_t>(call.spec.step), threshold, kept_scale}, call.y.data<T>(),
        call.x.data<T>());
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
