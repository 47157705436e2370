// SPDX-License-Identifier: MIT
// The three convolutions of a training step, straight from the definition
//
//   y(n,p,q,k) = bias(k) + sum over r,s,c of x(n, p stride - padding + r dilation, q stride - padding + s dilation, c) w(k,r,s,c)
//
// where x outside the picture is zero. In all three the innermost loop runs along c, which is contiguous in x and in w.
#include <vector>

#include "kernels/host/threads.h"
#include "kernels/reference/reference.h"

namespace mirilla {

namespace {

// The sizes of one convolution, under the names of the formula.
struct Sizes {
  int64_t n, h, w, c;  // x
  int64_t k, r, s;     // weights (k,r,s,c)
  int64_t p, q;        // y (n,p,q,k)
};

Sizes sizes_of(const Shape& x, const Shape& weights, const Shape& y) {
  return {x[0], x[1], x[2], x[3], weights[0], weights[1], weights[2], y[1], y[2]};
}

// Calls f(offset of x(n,row,column,0), offset of w(0,r,s,0)) for every tap of output (n,p,q) that lies inside the picture.
template <class F>
void for_each_tap(const Sizes& z, const Conv2dSpec& spec, int64_t n, int64_t p, int64_t q, F&& f) {
  for (int64_t r = 0; r < z.r; ++r) {
    const int64_t row = p * spec.stride - spec.padding + r * spec.dilation;
    if (row < 0 || row >= z.h) continue;
    for (int64_t s = 0; s < z.s; ++s) {
      const int64_t column = q * spec.stride - spec.padding + s * spec.dilation;
      if (column < 0 || column >= z.w) continue;
      f(((n * z.h + row) * z.w + column) * z.c, (r * z.s + s) * z.c);
    }
  }
}

template <class T>
double dot(const T* a, const T* b, int64_t n) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < n; ++i) total += static_cast<double>(a[i]) * b[i];
  return total;
}

template <class T>
void add_scaled(double factor, const T* x, int64_t n, double* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

// x(i), the one input row or column that output o reads through tap t, has i = o stride - padding + t dilation. Returns o, or -1 where
// there is none.
int64_t output_of(int64_t i, int64_t tap, const Conv2dSpec& spec, int64_t outputs) {
  const int64_t from = i + spec.padding - tap * spec.dilation;
  if (from < 0 || from % spec.stride != 0 || from / spec.stride >= outputs) return -1;
  return from / spec.stride;
}

}  // namespace

template <>
void ReferenceBackend::execute(const op::Conv2d& call) {
  compute(call.y.dtype, "conv2d", [&]<class T>() {
    const Sizes z = sizes_of(call.x.shape, call.w.shape, call.y.shape);
    const T* const px = call.x.data<T>();
    const T* const pw = call.w.data<T>();
    const T* const pb = call.bias ? call.bias.data<T>() : nullptr;
    T* const py = call.y.data<T>();
    const int64_t filter = z.r * z.s * z.c;
#pragma omp parallel for num_threads(loop_threads(z.n* z.p)) collapse(2)
    for (int64_t n = 0; n < z.n; ++n)
      for (int64_t p = 0; p < z.p; ++p)
        for (int64_t q = 0; q < z.q; ++q)
          for (int64_t k = 0; k < z.k; ++k) {
            double total = pb != nullptr ? pb[k] : 0;
            for_each_tap(z, call.spec, n, p, q, [&](int64_t at_x, int64_t at_w) { total += dot(px + at_x, pw + k * filter + at_w, z.c); });
            py[((n * z.p + p) * z.q + q) * z.k + k] = static_cast<T>(total);
          }
  });
}

// dx(n,h,w,c) = sum over k and the taps (r,s) through which some y(n,p,q,k) read it, of dy(n,p,q,k) w(k,r,s,c).
template <>
void ReferenceBackend::execute(const op::Conv2dBackwardData& call) {
  compute(call.dx.dtype, "conv2d_backward_data", [&]<class T>() {
    const Sizes z = sizes_of(call.dx.shape, call.w.shape, call.dy.shape);
    const T* const pdy = call.dy.data<T>();
    const T* const pw = call.w.data<T>();
    T* const pdx = call.dx.data<T>();
    const auto accumulate = [&](int64_t n, int64_t row, int64_t column, double* total) {
      for (int64_t r = 0; r < z.r; ++r)
        for (int64_t s = 0; s < z.s; ++s) {
          const int64_t p = output_of(row, r, call.spec, z.p), q = output_of(column, s, call.spec, z.q);
          if (p < 0 || q < 0) continue;
          const T* const g = pdy + ((n * z.p + p) * z.q + q) * z.k;
          for (int64_t k = 0; k < z.k; ++k) add_scaled(g[k], pw + ((k * z.r + r) * z.s + s) * z.c, z.c, total);
        }
    };
#pragma omp parallel for num_threads(loop_threads(z.n* z.h)) collapse(2)
    for (int64_t n = 0; n < z.n; ++n)
      for (int64_t row = 0; row < z.h; ++row)
        for (int64_t column = 0; column < z.w; ++column) {
          std::vector<double> total(static_cast<size_t>(z.c));
          accumulate(n, row, column, total.data());
          T* const out = pdx + ((n * z.h + row) * z.w + column) * z.c;
          for (int64_t c = 0; c < z.c; ++c) out[c] = static_cast<T>(total[static_cast<size_t>(c)]);
        }
  });
}

// dw(k,r,s,c) = sum over n,p,q of dy(n,p,q,k) x(the input that y(n,p,q,k) read through tap (r,s), c).
template <>
void ReferenceBackend::execute(const op::Conv2dBackwardWeight& call) {
  compute(call.dw.dtype, "conv2d_backward_weight", [&]<class T>() {
    const Sizes z = sizes_of(call.x.shape, call.dw.shape, call.dy.shape);
    const T* const px = call.x.data<T>();
    const T* const pdy = call.dy.data<T>();
    T* const pdw = call.dw.data<T>();
    const int64_t filter = z.r * z.s * z.c;
#pragma omp parallel for num_threads(loop_threads(z.k))
    for (int64_t k = 0; k < z.k; ++k) {
      std::vector<double> total(static_cast<size_t>(filter));
      for (int64_t n = 0; n < z.n; ++n)
        for (int64_t p = 0; p < z.p; ++p)
          for (int64_t q = 0; q < z.q; ++q) {
            const double g = pdy[((n * z.p + p) * z.q + q) * z.k + k];
            for_each_tap(z, call.spec, n, p, q, [&](int64_t at_x, int64_t at_w) { add_scaled(g, px + at_x, z.c, total.data() + at_w); });
          }
      for (int64_t i = 0; i < filter; ++i) pdw[k * filter + i] = static_cast<T>(total[static_cast<size_t>(i)]);
    }
  });
}

}  // namespace mirilla
