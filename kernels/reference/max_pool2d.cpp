// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"

namespace mirilla {

template <>
void ReferenceBackend::execute(const op::MaxPool2d& call) {
  compute(call.y.dtype, "max_pool2d", [&]<class T>() {
    const int64_t height = call.x.shape[1], width = call.x.shape[2], channels = call.x.shape[3];
    const T* const px = call.x.data<T>();
    // The winner of the window whose top left corner is (top, left), in channel c of picture n: its value and its place in the window.
    const auto winner = [&](int64_t n, int64_t top, int64_t left, int64_t c) {
      std::pair<T, int> best{T(0), -1};
      for (int i = 0; i < call.spec.window * call.spec.window; ++i) {
        const int64_t row = top + i / call.spec.window, column = left + i % call.spec.window;
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        const T value = px[((n * height + row) * width + column) * channels + c];
        if (best.second < 0 || value > best.first || std::isnan(value)) best = {value, i};
      }
      return best;
    };
    int64_t out = 0;
    for (int64_t n = 0; n < call.y.shape[0]; ++n)
      for (int64_t p = 0; p < call.y.shape[1]; ++p)
        for (int64_t q = 0; q < call.y.shape[2]; ++q)
          for (int64_t c = 0; c < channels; ++c, ++out) {
            const auto [value, place] = winner(n, p * call.spec.stride - call.spec.padding, q * call.spec.stride - call.spec.padding, c);
            call.y.data<T>()[out] = value;
            if (call.index) call.index.data<uint8_t>()[out] = static_cast<uint8_t>(place);
          }
  });
}

template <>
void ReferenceBackend::execute(const op::MaxPool2dBackward& call) {
  compute(call.dx.dtype, "max_pool2d_backward", [&]<class T>() {
    const int64_t height = call.dx.shape[1], width = call.dx.shape[2], channels = call.dx.shape[3];
    std::vector<double> total(static_cast<size_t>(call.dx.numel()));  // windows overlap: an input may win in several windows
    int64_t out = 0;
    for (int64_t n = 0; n < call.dy.shape[0]; ++n)
      for (int64_t p = 0; p < call.dy.shape[1]; ++p)
        for (int64_t q = 0; q < call.dy.shape[2]; ++q)
          for (int64_t c = 0; c < channels; ++c, ++out) {
            const int place = call.index.data<uint8_t>()[out];
            const int64_t row = p * call.spec.stride - call.spec.padding + place / call.spec.window;
            const int64_t column = q * call.spec.stride - call.spec.padding + place % call.spec.window;
            total[static_cast<size_t>(((n * height + row) * width + column) * channels + c)] += call.dy.data<T>()[out];
          }
    for (int64_t i = 0; i < call.dx.numel(); ++i) call.dx.data<T>()[i] = static_cast<T>(total[static_cast<size_t>(i)]);
  });
}

}  // namespace mirilla
