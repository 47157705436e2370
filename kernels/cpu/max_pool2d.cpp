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

template <>
void CpuBackend::execute(const op::MaxPool2d& call) {
  cpu::want_f32("max_pool2d", {call.x, call.y});
  const cpu::PoolWindow pool = window_of(call.x.shape, call.y.shape, call.spec);
  const auto* px = call.x.data<float>();
  auto* py = call.y.data<float>();
  auto* pi = call.index ? call.index.data<uint8_t>() : nullptr;
  const int64_t in = pool.height * pool.width * pool.channels, out = pool.out_height * pool.out_width * pool.channels;
  const auto kernel = cpu::loops().max_pool;
  parallel_picture_rows(call.x.shape[0], pool.out_height, pool.out_width * pool.channels, [&](int64_t n, int64_t begin, int64_t end) {
    kernel(pool, px + n * in, py + n * out, pi ? pi + n * out : nullptr, begin, end);
  });
}

template <>
void CpuBackend::execute(const op::MaxPool2dBackward& call) {
  cpu::want_f32("max_pool2d_backward", {call.dy, call.dx});
  const cpu::PoolWindow pool = window_of(call.dx.shape, call.dy.shape, call.spec);
  const auto* pdy = call.dy.data<float>();
  const auto* pi = call.index.data<uint8_t>();
  auto* pdx = call.dx.data<float>();
  const int64_t in = pool.height * pool.width * pool.channels, out = pool.out_height * pool.out_width * pool.channels;
  const auto kernel = cpu::loops().max_pool_backward;
  parallel_picture_rows(call.dx.shape[0], pool.height, pool.width * pool.channels, [&](int64_t n, int64_t begin, int64_t end) {
    kernel(pool, pdy + n * out, pi + n * out, pdx + n * in, begin, end);
  });
}

}  // namespace mirilla
