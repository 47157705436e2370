// SPDX-License-Identifier: MIT
// A convolution as sums of rows: the weights are transposed so that the innermost extent is that of the result, and each tap adds
// one scaled row of them. No scratch picture; one thread per row of the output.
#include <vector>

#include "kernels/cpu/common.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/products.h"

namespace mirilla::cpu {

namespace {

/// Extents of one convolution and the positions of its taps.
struct Geometry {
  int64_t pictures, height, width, channels, out_height, out_width, outputs, rows, columns;
  Conv2dSpec spec;

  Geometry(const Shape& x, const Shape& w, const Shape& y, const Conv2dSpec& how)
      : pictures(x[0]),
        height(x[1]),
        width(x[2]),
        channels(x[3]),
        out_height(y[1]),
        out_width(y[2]),
        outputs(y[3]),
        rows(w[1]),
        columns(w[2]),
        spec(how) {}

  int64_t in_row(int64_t i, int64_t r) const { return i * spec.stride - spec.padding + r * spec.dilation; }
  /// The output position whose tap r reads input position a; -1 where there is none.
  int64_t out_position(int64_t a, int64_t r, int64_t extent) const {
    const int64_t up = a + spec.padding - r * spec.dilation;
    return up >= 0 && up % spec.stride == 0 && up / spec.stride < extent ? up / spec.stride : -1;
  }
};

/// (K,R,S,C) to (R,S,C,K).
std::vector<float> outputs_innermost(const float* w, int64_t outputs, int64_t taps) {
  std::vector<float> turned(static_cast<size_t>(outputs * taps));
  for (int64_t k = 0; k < outputs; ++k) {
    for (int64_t t = 0; t < taps; ++t) turned[static_cast<size_t>(t * outputs + k)] = w[k * taps + t];
  }
  return turned;
}

/// Applied after the sums of one row of pixels: residual and ReLU.
void finish_row(const op::Conv2dBiasAddRelu& call, int64_t at, int64_t count) {
  float* y = call.y.data<float>() + at;
  if (call.residual) loops().add(y, call.residual.data<float>() + at, y, count);
  if (call.relu) loops().relu(y, y, count);
}

}  // namespace

void Products::conv2d(const op::Conv2dBiasAddRelu& call) {
  const Geometry g(call.x.shape, call.w.shape, call.y.shape, call.spec);
  const std::vector<float> w = outputs_innermost(call.w.data<float>(), g.outputs, g.rows * g.columns * g.channels);
  const auto* x = call.x.data<float>();
  auto* y = call.y.data<float>();
  const float* bias = floats(call.bias);
  const auto accumulate = loops().accumulate;
  parallel_for(g.pictures * g.out_height, [&](int64_t line) {
    const int64_t n = line / g.out_height, i = line % g.out_height;
    for (int64_t j = 0; j < g.out_width; ++j) {
      float* to = y + (line * g.out_width + j) * g.outputs;
      for (int64_t k = 0; k < g.outputs; ++k) to[k] = bias ? bias[k] : 0.f;
      for (int64_t r = 0; r < g.rows; ++r) {
        const int64_t a = g.in_row(i, r);
        if (a < 0 || a >= g.height) continue;
        for (int64_t s = 0; s < g.columns; ++s) {
          const int64_t b = g.in_row(j, s);
          if (b < 0 || b >= g.width) continue;
          const float* pixel = x + ((n * g.height + a) * g.width + b) * g.channels;
          const float* tap = w.data() + (r * g.columns + s) * g.channels * g.outputs;
          for (int64_t c = 0; c < g.channels; ++c) accumulate(tap + c * g.outputs, pixel[c], to, g.outputs);
        }
      }
    }
    finish_row(call, line * g.out_width * g.outputs, g.out_width * g.outputs);
  });
}

void Products::conv2d_backward_data(ConstView dy, ConstView w, const Conv2dSpec& spec, View dx) {
  const Geometry g(dx.shape, w.shape, dy.shape, spec);
  const auto* pdy = dy.data<float>();
  const auto* pw = w.data<float>();
  auto* pdx = dx.data<float>();
  const int64_t taps = g.rows * g.columns * g.channels;
  const auto accumulate = loops().accumulate;
  parallel_for(g.pictures * g.height, [&](int64_t line) {
    const int64_t n = line / g.height, a = line % g.height;
    for (int64_t b = 0; b < g.width; ++b) {
      float* to = pdx + (line * g.width + b) * g.channels;
      std::fill(to, to + g.channels, 0.f);
      for (int64_t r = 0; r < g.rows; ++r) {
        const int64_t i = g.out_position(a, r, g.out_height);
        if (i < 0) continue;
        for (int64_t s = 0; s < g.columns; ++s) {
          const int64_t j = g.out_position(b, s, g.out_width);
          if (j < 0) continue;
          const float* from = pdy + ((n * g.out_height + i) * g.out_width + j) * g.outputs;
          const float* tap = pw + (r * g.columns + s) * g.channels;
          for (int64_t k = 0; k < g.outputs; ++k) accumulate(tap + k * taps, from[k], to, g.channels);
        }
      }
    }
  });
}

// One thread per output channel: no two write the same weights. A row of products is summed in float and rows are added in double.
void Products::conv2d_backward_weight(ConstView x, ConstView dy, const Conv2dSpec& spec, View dw) {
  const Geometry g(x.shape, dw.shape, dy.shape, spec);
  const auto* px = x.data<float>();
  const auto* pdy = dy.data<float>();
  auto* pdw = dw.data<float>();
  const int64_t taps = g.rows * g.columns * g.channels;
  const auto accumulate = loops().accumulate;
  parallel_for(g.outputs, [&](int64_t k) {
    std::vector<double> total(static_cast<size_t>(taps));
    std::vector<float> line(static_cast<size_t>(taps));
    for (int64_t row = 0; row < g.pictures * g.out_height; ++row) {
      const int64_t n = row / g.out_height, i = row % g.out_height;
      std::fill(line.begin(), line.end(), 0.f);
      for (int64_t j = 0; j < g.out_width; ++j) {
        const float gradient = pdy[(row * g.out_width + j) * g.outputs + k];
        for (int64_t r = 0; r < g.rows; ++r) {
          const int64_t a = g.in_row(i, r);
          if (a < 0 || a >= g.height) continue;
          const int64_t left = j * g.spec.stride - g.spec.padding;
          for (int64_t s = 0; s < g.columns; ++s) {
            const int64_t b = left + s * g.spec.dilation;
            if (b < 0 || b >= g.width) continue;
            accumulate(px + ((n * g.height + a) * g.width + b) * g.channels, gradient, line.data() + (r * g.columns + s) * g.channels,
                       g.channels);
          }
        }
      }
      for (int64_t t = 0; t < taps; ++t) total[static_cast<size_t>(t)] += line[static_cast<size_t>(t)];
    }
    for (int64_t t = 0; t < taps; ++t) pdw[k * taps + t] = static_cast<float>(total[static_cast<size_t>(t)]);
  });
}

}  // namespace mirilla::cpu
