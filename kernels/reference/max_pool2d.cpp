// SPDX-License-Identifier: MIT
#include <cmath>
#include <vector>

#include "kernels/reference/reference.h"

namespace mirilla {

void ReferenceBackend::max_pool2d(ConstView x, const Pool2dSpec& spec, View y, View index) {
  compute(y.dtype, "max_pool2d", [&]<class T>() {
    const int64_t height = x.shape[1], width = x.shape[2], channels = x.shape[3];
    const T* const px = x.data<T>();
    // The winner of the window whose top left corner is (top, left), in channel c of picture n: its value and its place in the window.
    const auto winner = [&](int64_t n, int64_t top, int64_t left, int64_t c) {
      std::pair<T, int> best{T(0), -1};
      for (int i = 0; i < spec.window * spec.window; ++i) {
        const int64_t row = top + i / spec.window, column = left + i % spec.window;
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        const T value = px[((n * height + row) * width + column) * channels + c];
        if (best.second < 0 || value > best.first || std::isnan(value)) best = {value, i};
      }
      return best;
    };
    int64_t out = 0;
    for (int64_t n = 0; n < y.shape[0]; ++n)
      for (int64_t p = 0; p < y.shape[1]; ++p)
        for (int64_t q = 0; q < y.shape[2]; ++q)
          for (int64_t c = 0; c < channels; ++c, ++out) {
            const auto [value, place] = winner(n, p * spec.stride - spec.padding, q * spec.stride - spec.padding, c);
            y.data<T>()[out] = value;
            index.data<uint8_t>()[out] = static_cast<uint8_t>(place);
          }
  });
}

void ReferenceBackend::max_pool2d_backward(ConstView dy, ConstView index, const Pool2dSpec& spec, View dx) {
  compute(dx.dtype, "max_pool2d_backward", [&]<class T>() {
    const int64_t height = dx.shape[1], width = dx.shape[2], channels = dx.shape[3];
    std::vector<double> total(static_cast<size_t>(dx.numel()));  // windows overlap: an input may win in several windows
    int64_t out = 0;
    for (int64_t n = 0; n < dy.shape[0]; ++n)
      for (int64_t p = 0; p < dy.shape[1]; ++p)
        for (int64_t q = 0; q < dy.shape[2]; ++q)
          for (int64_t c = 0; c < channels; ++c, ++out) {
            const int place = index.data<uint8_t>()[out];
            const int64_t row = p * spec.stride - spec.padding + place / spec.window;
            const int64_t column = q * spec.stride - spec.padding + place % spec.window;
            total[static_cast<size_t>(((n * height + row) * width + column) * channels + c)] += dy.data<T>()[out];
          }
    for (int64_t i = 0; i < dx.numel(); ++i) dx.data<T>()[i] = static_cast<T>(total[static_cast<size_t>(i)]);
  });
}

}  // namespace mirilla
