// SPDX-License-Identifier: MIT
#include <limits>
#include <type_traits>
#include <utility>

#include "kernels/cuda/parts/elementwise.h"

// fill: y = value.  cast: y = x in y's dtype, any of f32, f16, bf16, u8, i64 to any. Float to float rounds to nearest even; float to
// integer truncates towards zero and stops at the ends of the range, NaN gives 0; i64 to u8 keeps the low 8 bits.
//
// Bytes: fill writes n elements; cast reads n and writes n. Bandwidth kernels.
// Launch: 256 threads per block, two accesses per thread and tensor, of 16 bytes for the wider of the two types.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class T>
inline constexpr bool kIsHalf = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
template <class T>
inline constexpr bool kIsInteger = std::is_same_v<T, uint8_t> || std::is_same_v<T, int64_t>;

// To f32 for a second rounding, to 11 or 8 bits: it truncates to 24 bits and sets the last bit if anything was cut off, so that both
// roundings together give the result of one.
__device__ __forceinline__ float round_to_odd(int64_t x) {
  uint64_t magnitude = x < 0 ? uint64_t{0} - static_cast<uint64_t>(x) : static_cast<uint64_t>(x);
  float unit = x < 0 ? -1.0f : 1.0f;
  while (magnitude >> 24) {
    magnitude = (magnitude >> 1) | (magnitude & 1);
    unit *= 2;
  }
  return static_cast<float>(magnitude) * unit;
}

template <class To>
__device__ __forceinline__ To truncated(float x) {
  constexpr To kLeast = std::numeric_limits<To>::min(), kMost = std::numeric_limits<To>::max();
  if (x != x) return 0;
  if (x <= static_cast<float>(kLeast)) return kLeast;
  if (x >= static_cast<float>(kMost)) return kMost;  // for i64 that is 2^63, the first value that does not fit
  return static_cast<To>(x);
}

template <class To, class From>
__device__ __forceinline__ To convert(From x) {
  if constexpr (std::is_same_v<To, From>) {
    return x;
  } else if constexpr (kIsInteger<From>) {
    if constexpr (kIsHalf<To> && sizeof(From) > 1)
      return narrow<To>(round_to_odd(x));
    else if constexpr (kIsHalf<To>)
      return narrow<To>(static_cast<float>(x));
    else
      return static_cast<To>(x);
  } else if constexpr (kIsInteger<To>) {
    return truncated<To>(widen(x));
  } else {
    return narrow<To>(widen(x));
  }
}

template <class To>
struct Convert {
  template <class From, int N>
  __device__ Vector<To, N> operator()(int64_t, const Vector<From, N>& x) const {
    Vector<To, N> y;
    for (int k = 0; k < N; ++k) y[k] = convert<To>(x[k]);
    return y;
  }
};

template <class T>
struct Fill {
  static constexpr int kCount = 16 / sizeof(T);
  T value;
  __device__ Vector<T, kCount> operator()(int64_t) const {
    Vector<T, kCount> y;
    for (T& e : y) e = value;
    return y;
  }
};

template <class F>
void dispatch_with_integers(DType dtype, std::string_view operation, F&& f) {
  switch (dtype) {
    case DType::u8: return f.template operator()<uint8_t>();
    case DType::i64: return f.template operator()<int64_t>();
    default: return dispatch(dtype, operation, std::forward<F>(f));
  }
}

}  // namespace

template <>
void CudaBackend::execute(const op::Fill& call) {
  dispatch_with_integers(call.y.dtype, "fill", [&]<class T>() {
    T element{};
    if constexpr (kIsHalf<T>)
      element = T(static_cast<float>(call.value));
    else
      element = static_cast<T>(call.value);
    map(stream_, call.y.numel(), Fill<T>{element}, call.y.data<T>());
  });
}

template <>
void CudaBackend::execute(const op::Cast& call) {
  if (call.x.numel() == 0) return;
  dispatch_with_integers(call.x.dtype, "cast", [&]<class From>() {
    dispatch_with_integers(call.y.dtype, "cast", [&]<class To>() {
      if constexpr (std::is_same_v<From, To>)
        stream_.copy(call.y.address, call.x.address, static_cast<size_t>(call.x.numel()) * sizeof(From));
      else
        map(stream_, call.x.numel(), Convert<To>{}, call.y.data<To>(), call.x.data<From>());
    });
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
