// SPDX-License-Identifier: MIT
#include "kernels/cuda/parts/elementwise.h"
#include "kernels/cuda/parts/index.h"

// add: y = a + b.  multiply: y = a b, b like a or one element.  scale: y = factor x.  add_bias: y = x + bias, along the last dimension.
// Each is computed in f32 and rounded once; y may be a (or x), and in add b too.
//
// Bytes: add and multiply read 2n and write n elements; with one factor, a scale or a bias: read n, write n.
// Launch: 256 threads per block, two 16-byte accesses per thread and tensor.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class T>
struct Add {
  template <int N>
  __device__ Vector<T, N> operator()(int64_t, const Vector<T, N>& a, const Vector<T, N>& b) const {
    Vector<T, N> y;
    for (int k = 0; k < N; ++k) y[k] = narrow<T>(widen(a[k]) + widen(b[k]));
    return y;
  }
};

template <class T>
struct Multiply {
  template <int N>
  __device__ Vector<T, N> operator()(int64_t, const Vector<T, N>& a, const Vector<T, N>& b) const {
    Vector<T, N> y;
    for (int k = 0; k < N; ++k) y[k] = narrow<T>(widen(a[k]) * widen(b[k]));
    return y;
  }
};

// The single factor is on the device; the host does not read it.
template <class T, class Y>
struct MultiplyByOne {
  const T* factor;
  template <int N>
  __device__ Vector<Y, N> operator()(int64_t, const Vector<T, N>& a) const {
    const float f = widen(*factor);
    Vector<Y, N> y;
    for (int k = 0; k < N; ++k) y[k] = narrow<Y>(widen(a[k]) * f);
    return y;
  }
};

template <class T>
struct Scale {
  float factor;
  template <int N>
  __device__ Vector<T, N> operator()(int64_t, const Vector<T, N>& x) const {
    Vector<T, N> y;
    for (int k = 0; k < N; ++k) y[k] = narrow<T>(factor * widen(x[k]));
    return y;
  }
};

// Index is 32 bits wide where that is enough, since a 64-bit remainder costs a hundred instructions. Whole: the channels are a multiple
// of the vector size and the bias is aligned for it; else a vector may cross the end of a row and continue at channel 0.
template <class T, class B, class Index, bool Whole>
struct AddBias {
  const B* bias;
  Index channels;
  template <int N>
  __device__ Vector<T, N> operator()(int64_t i, const Vector<T, N>& x) const {
    Index c = static_cast<Index>(i) % channels;
    Vector<B, N> b;
    if constexpr (Whole) {
      b = load<Vector<B, N>>(bias + c);
    } else {
      for (B& e : b) {
        e = bias[c];
        if (++c == channels) c = 0;
      }
    }
    Vector<T, N> y;
    for (int k = 0; k < N; ++k) y[k] = narrow<T>(widen(x[k]) + widen(b[k]));
    return y;
  }
};

template <class T, class B, class Index>
void add_bias_as(Stream& stream, const ConstView& x, const ConstView& bias, const View& y) {
  constexpr int64_t kCount = Pack<T>::size;
  const int64_t n = x.numel(), channels = channels_of(x);
  const B* const b = bias.data<B>();
  const auto c = static_cast<Index>(channels);
  if (channels % kCount == 0 && is_aligned(b, kCount * sizeof(B)))
    map(stream, n, AddBias<T, B, Index, true>{b, c}, y.data<T>(), x.data<T>());
  else
    map(stream, n, AddBias<T, B, Index, false>{b, c}, y.data<T>(), x.data<T>());
}

}  // namespace

template <>
void CudaBackend::execute(const op::Add& call) {
  dispatch(call.y.dtype, "add",
           [&]<class T>() { map(stream_, call.y.numel(), Add<T>{}, call.y.data<T>(), call.a.data<T>(), call.b.data<T>()); });
}

template <>
void CudaBackend::execute(const op::Multiply& call) {
  const int64_t n = call.y.numel();
  dispatch(call.y.dtype, "multiply", [&]<class T>() {
    if (call.b.numel() != 1)
      map(stream_, n, Multiply<T>{}, call.y.data<T>(), call.a.data<T>(), call.b.data<T>());
    else if (call.a.dtype == call.y.dtype)
      map(stream_, n, MultiplyByOne<T, T>{call.b.data<T>()}, call.y.data<T>(), call.a.data<T>());
    else
      map(stream_, n, MultiplyByOne<float, T>{call.b.data<float>()}, call.y.data<T>(), call.a.data<float>());
  });
}

template <>
void CudaBackend::execute(const op::Scale& call) {
  dispatch(call.y.dtype, "scale",
           [&]<class T>() { map(stream_, call.y.numel(), Scale<T>{static_cast<float>(call.factor)}, call.y.data<T>(), call.x.data<T>()); });
}

template <>
void CudaBackend::execute(const op::AddBias& call) {
  const bool small = counts_in_32_bits(call.x.numel());
  dispatch(call.y.dtype, "add_bias", [&]<class T>() {
    const auto with_bias = [&]<class B>() {
      if (small)
        add_bias_as<T, B, uint32_t>(stream_, call.x, call.bias, call.y);
      else
        add_bias_as<T, B, uint64_t>(stream_, call.x, call.bias, call.y);
    };
    if (call.bias.dtype == call.y.dtype)
      with_bias.template operator()<T>();
    else
      with_bias.template operator()<float>();
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
