// SPDX-License-Identifier: MIT
#include "kernels/emulate/library/loops.h"

#include "kernels/emulate/library/work.h"

namespace mirilla::emulate {

namespace {

void add_scaled(float* __restrict__ sums, const float* __restrict__ values, float scale, int64_t count) {
  for (int64_t i = 0; i < count; ++i) sums[i] += scale * values[i];
}

std::vector<float> zeros(int64_t count) { return std::vector<float>(static_cast<size_t>(count)); }

// The index of the i-th part.
int64_t part(const Sums& sums, int64_t i, int64_t count) { return sums.reversed ? count - 1 - i : i; }

void round_sums(const Sums& sums, float* values, int64_t count) {
  if (sums.rounded_to != DType::f32) round_to(sums.rounded_to, {values, static_cast<size_t>(count)});
}

// The row or column of x under a tap of the window at an output's row or column; -1 in the padding.
int64_t under(const ConvShape& shape, int axis, int64_t output, int64_t tap, int64_t extent) {
  const int64_t at = output * shape.stride[axis] - shape.padding[axis] + tap * shape.dilation[axis];
  return at < extent ? at : -1;
}

// The output's row or column whose window has this tap over a row or column of x; -1 for none.
int64_t over(const ConvShape& shape, int axis, int64_t input, int64_t tap, int64_t extent) {
  const int64_t at = input + shape.padding[axis] - tap * shape.dilation[axis];
  return at >= 0 && at % shape.stride[axis] == 0 && at / shape.stride[axis] < extent ? at / shape.stride[axis] : -1;
}

// (k,r,s,c) to (r,s,c,k).
std::vector<float> filters_innermost(const ConvShape& shape, const float* w) {
  const int64_t window = shape.r * shape.s * shape.c;
  std::vector<float> turned = zeros(window * shape.k);
  for (int64_t k = 0; k < shape.k; ++k) {
    for (int64_t i = 0; i < window; ++i) turned[static_cast<size_t>(i * shape.k + k)] = w[k * window + i];
  }
  return turned;
}

}  // namespace

std::vector<float> conv_forward(const ConvShape& shape, const float* x, const float* w, const Sums& sums) {
  const std::vector<float> turned = filters_innermost(shape, w);
  std::vector<float> y = zeros(shape.n * shape.p * shape.q * shape.k);
  const int64_t taps = shape.r * shape.s;
  float* out = y.data();
  for (int64_t n = 0; n < shape.n; ++n) {
    for (int64_t p = 0; p < shape.p; ++p) {
      for (int64_t q = 0; q < shape.q; ++q, out += shape.k) {
        for (int64_t i = 0; i < taps; ++i) {
          const int64_t tap = part(sums, i, taps);
          const int64_t row = under(shape, 0, p, tap / shape.s, shape.h), column = under(shape, 1, q, tap % shape.s, shape.w);
          if (row < 0 || column < 0) continue;
          const float* const in = x + ((n * shape.h + row) * shape.w + column) * shape.c;
          const float* const weights = turned.data() + tap * shape.c * shape.k;
          for (int64_t c = 0; c < shape.c; ++c) add_scaled(out, weights + c * shape.k, in[c], shape.k);
          round_sums(sums, out, shape.k);
        }
      }
    }
  }
  return y;
}

std::vector<float> conv_backward_data(const ConvShape& shape, const float* dy, const float* w, const Sums& sums) {
  std::vector<float> dx = zeros(shape.n * shape.h * shape.w * shape.c);
  const int64_t taps = shape.r * shape.s;
  float* out = dx.data();
  for (int64_t n = 0; n < shape.n; ++n) {
    for (int64_t h = 0; h < shape.h; ++h) {
      for (int64_t column = 0; column < shape.w; ++column, out += shape.c) {
        for (int64_t i = 0; i < taps; ++i) {
          const int64_t tap = part(sums, i, taps);
          const int64_t p = over(shape, 0, h, tap / shape.s, shape.p), q = over(shape, 1, column, tap % shape.s, shape.q);
          if (p < 0 || q < 0) continue;
          const float* const gradient = dy + ((n * shape.p + p) * shape.q + q) * shape.k;
          for (int64_t k = 0; k < shape.k; ++k) add_scaled(out, w + (k * taps + tap) * shape.c, gradient[k], shape.c);
          round_sums(sums, out, shape.c);
        }
      }
    }
  }
  return dx;
}

std::vector<float> conv_backward_filter(const ConvShape& shape, const float* x, const float* dy, const Sums& sums) {
  const int64_t taps = shape.r * shape.s;
  std::vector<float> dw = zeros(shape.k * taps * shape.c);
  for (int64_t k = 0; k < shape.k; ++k) {
    float* const out = dw.data() + k * taps * shape.c;
    for (int64_t i = 0; i < shape.n; ++i) {
      const int64_t n = part(sums, i, shape.n);
      for (int64_t p = 0; p < shape.p; ++p) {
        for (int64_t q = 0; q < shape.q; ++q) {
          const float gradient = dy[((n * shape.p + p) * shape.q + q) * shape.k + k];
          for (int64_t tap = 0; tap < taps; ++tap) {
            const int64_t row = under(shape, 0, p, tap / shape.s, shape.h), column = under(shape, 1, q, tap % shape.s, shape.w);
            if (row < 0 || column < 0) continue;
            add_scaled(out + tap * shape.c, x + ((n * shape.h + row) * shape.w + column) * shape.c, gradient, shape.c);
          }
        }
      }
      round_sums(sums, out, taps * shape.c);
    }
  }
  return dw;
}

std::vector<float> product(int64_t m, int64_t n, int64_t k, const float* a, const float* b) {
  std::vector<float> d = zeros(m * n);
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t l = 0; l < k; ++l) add_scaled(d.data() + j * m, a + l * m, b[l + j * k], m);
  }
  return d;
}

}  // namespace mirilla::emulate
