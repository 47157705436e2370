// SPDX-License-Identifier: MIT
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

namespace {

cpu::PoolWindow window_of(const Shape& x, const Shape& y, const Pool2dSpec& spec) {
  return {.height = x[1],
          .width = x[2],
          .channels = x[3],
          .out_height = y[1],
          .out_width = y[2],
          .window = spec.window,
          .stride = spec.stride,
          .padding = spec.padding};
}

/// Calls f(picture, first row, past the last row) for the rows of all pictures, shared among the threads.
template <class F>
void parallel_picture_rows(int64_t pictures, int64_t height, int64_t row_elements, F&& f) {
  cpu::parallel_rows(pictures * height, row_elements, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t picture = begin / height, first = begin % height, count = std::min(height - first, end - begin);
      f(picture, first, first + count);
      begin += count;
    }
  });
}

}  // namespace

void CpuBackend::max_pool2d(ConstView x, const Pool2dSpec& spec, View y, View index) {
  cpu::want_f32("max_pool2d", {x, y});
  const cpu::PoolWindow pool = window_of(x.shape, y.shape, spec);
  const auto* px = x.data<float>();
  auto* py = y.data<float>();
  auto* pi = index.data<uint8_t>();
  const int64_t in = pool.height * pool.width * pool.channels, out = pool.out_height * pool.out_width * pool.channels;
  const auto kernel = cpu::loops().max_pool;
  parallel_picture_rows(x.shape[0], pool.out_height, pool.out_width * pool.channels,
                        [&](int64_t n, int64_t begin, int64_t end) { kernel(pool, px + n * in, py + n * out, pi + n * out, begin, end); });
}

void CpuBackend::max_pool2d_backward(ConstView dy, ConstView index, const Pool2dSpec& spec, View dx) {
  cpu::want_f32("max_pool2d_backward", {dy, dx});
  const cpu::PoolWindow pool = window_of(dx.shape, dy.shape, spec);
  const auto* pdy = dy.data<float>();
  const auto* pi = index.data<uint8_t>();
  auto* pdx = dx.data<float>();
  const int64_t in = pool.height * pool.width * pool.channels, out = pool.out_height * pool.out_width * pool.channels;
  const auto kernel = cpu::loops().max_pool_backward;
  parallel_picture_rows(dx.shape[0], pool.height, pool.width * pool.channels, [&](int64_t n, int64_t begin, int64_t end) {
    kernel(pool, pdy + n * out, pi + n * out, pdx + n * in, begin, end);
  });
}

}  // namespace mirilla
