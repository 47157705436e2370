// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"

namespace mirilla {

namespace {

// The inputs that cell `i` of `cells` covers along a side of `length`: [begin, end). Cells may overlap.
struct Span {
  int64_t begin, end;
};

Span span_of(int64_t i, int64_t length, int64_t cells) { return {i * length / cells, ((i + 1) * length + cells - 1) / cells}; }

// Calls f(offset of y(n,i,j,c), rows, columns, n, c) for every element of y (N,h,w,C), pooled from x (N,H,W,C), in memory order.
template <class F>
void for_each_cell(const Shape& x, const Shape& y, F&& f) {
  int64_t out = 0;
  for (int64_t n = 0; n < y[0]; ++n)
    for (int64_t i = 0; i < y[1]; ++i)
      for (int64_t j = 0; j < y[2]; ++j)
        for (int64_t c = 0; c < y[3]; ++c, ++out) f(out, span_of(i, x[1], y[1]), span_of(j, x[2], y[2]), n, c);
}

template <class T>
void store(const std::vector<double>& from, T* to) {
  for (size_t i = 0; i < from.size(); ++i) to[i] = static_cast<T>(from[i]);
}

}  // namespace

template <>
void ReferenceBackend::execute(const op::AdaptiveAvgPool2d& call) {
  compute(call.y.dtype, "adaptive_avg_pool2d", [&]<class T>() {
    const int64_t height = call.x.shape[1], width = call.x.shape[2], channels = call.x.shape[3];
    for_each_cell(call.x.shape, call.y.shape, [&](int64_t out, Span rows, Span columns, int64_t n, int64_t c) {
      double total = 0;
      for (int64_t row = rows.begin; row < rows.end; ++row)
        for (int64_t column = columns.begin; column < columns.end; ++column)
          total += call.x.data<T>()[((n * height + row) * width + column) * channels + c];
      call.y.data<T>()[out] = static_cast<T>(total / static_cast<double>((rows.end - rows.begin) * (columns.end - columns.begin)));
    });
  });
}

template <>
void ReferenceBackend::execute(const op::AdaptiveAvgPool2dBackward& call) {
  compute(call.dx.dtype, "adaptive_avg_pool2d_backward", [&]<class T>() {
    const int64_t height = call.dx.shape[1], width = call.dx.shape[2], channels = call.dx.shape[3];
    std::vector<double> total(static_cast<size_t>(call.dx.numel()));
    for_each_cell(call.dx.shape, call.dy.shape, [&](int64_t out, Span rows, Span columns, int64_t n, int64_t c) {
      const double area = static_cast<double>((rows.end - rows.begin) * (columns.end - columns.begin));
      for (int64_t row = rows.begin; row < rows.end; ++row)
        for (int64_t column = columns.begin; column < columns.end; ++column)
          total[static_cast<size_t>(((n * height + row) * width + column) * channels + c)] += call.dy.data<T>()[out] / area;
    });
    store(total, call.dx.data<T>());
  });
}

template <>
void ReferenceBackend::execute(const op::AdaptiveMaxPool2d& call) {
  compute(call.y.dtype, "adaptive_max_pool2d", [&]<class T>() {
    const int64_t height = call.x.shape[1], width = call.x.shape[2], channels = call.x.shape[3];
    for_each_cell(call.x.shape, call.y.shape, [&](int64_t out, Span rows, Span columns, int64_t n, int64_t c) {
      T best = 0;
      int64_t place = -1;
      for (int64_t row = rows.begin; row < rows.end; ++row)
        for (int64_t column = columns.begin; column < columns.end; ++column) {
          const T value = call.x.data<T>()[((n * height + row) * width + column) * channels + c];
          if (place >= 0 && !(value > best) && !std::isnan(value)) continue;
          best = value;
          place = row * width + column;
        }
      call.y.data<T>()[out] = best;
      call.index.data<int64_t>()[out] = place;
    });
  });
}

template <>
void ReferenceBackend::execute(const op::AdaptiveMaxPool2dBackward& call) {
  compute(call.dx.dtype, "adaptive_max_pool2d_backward", [&]<class T>() {
    const int64_t plane = call.dx.shape[1] * call.dx.shape[2], channels = call.dx.shape[3];
    std::vector<double> total(static_cast<size_t>(call.dx.numel()));
    for_each_cell(call.dx.shape, call.dy.shape, [&](int64_t out, Span, Span, int64_t n, int64_t c) {
      total[static_cast<size_t>((n * plane + call.index.data<int64_t>()[out]) * channels + c)] += call.dy.data<T>()[out];
    });
    store(total, call.dx.data<T>());
  });
}

}  // namespace mirilla
