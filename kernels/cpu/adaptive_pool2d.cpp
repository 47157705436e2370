// SPDX-License-Identifier: MIT
#include <cstring>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"

namespace mirilla {

namespace {

/// The cells of an adaptive pool: (H,W) cut into (h,w), cell i from floor(i H/h) to ceil((i+1) H/h).
struct Cells {
  int64_t pictures, height, width, channels, rows, columns;

  Cells(const Shape& x, const Shape& y) : pictures(x[0]), height(x[1]), width(x[2]), channels(x[3]), rows(y[1]), columns(y[2]) {}

  static int64_t begin(int64_t cell, int64_t extent, int64_t cells) { return cell * extent / cells; }
  static int64_t end(int64_t cell, int64_t extent, int64_t cells) { return ((cell + 1) * extent + cells - 1) / cells; }
  int64_t top(int64_t i) const { return begin(i, height, rows); }
  int64_t bottom(int64_t i) const { return end(i, height, rows); }
  int64_t left(int64_t j) const { return begin(j, width, columns); }
  int64_t right(int64_t j) const { return end(j, width, columns); }
  int64_t area(int64_t i, int64_t j) const { return (bottom(i) - top(i)) * (right(j) - left(j)); }
  /// The first cell that contains position a, and one past the last.
  static int64_t first(int64_t a, int64_t extent, int64_t cells) { return std::max<int64_t>(0, a * cells / extent - 1); }
  static int64_t last(int64_t a, int64_t extent, int64_t cells) { return std::min(cells, (a + 1) * cells / extent + 1); }
};

/// Addresses of a pool's results: `pitch` floats from cell to cell; max and index, or average, may be null.
struct Results {
  float* max;
  int64_t* index;
  float* average;
  int64_t pitch;
};

void pool_cells(const Cells& cells, const float* x, const Results& to) {
  const cpu::Loops& loops = cpu::loops();
  const int64_t channels = cells.channels, pitch = cells.width * channels;
  cpu::parallel_for(cells.pictures * cells.rows * cells.columns, [&](int64_t cell) {
    const int64_t n = cell / (cells.rows * cells.columns), i = cell / cells.columns % cells.rows, j = cell % cells.columns;
    const int64_t top = cells.top(i), left = cells.left(j), rows = cells.bottom(i) - top, columns = cells.right(j) - left;
    const float* corner = x + ((n * cells.height + top) * cells.width + left) * channels;
    if (to.max) {
      loops.max_cell(corner, rows, columns, channels, pitch, top * cells.width + left, cells.width, to.max + cell * to.pitch,
                     to.index + cell * channels);
    }
    if (to.average) loops.average_cell(corner, rows, columns, channels, pitch, to.average + cell * to.pitch);
  });
}

/// dx = the gradient through the average pool, or zeros without one.
void spread_average(const Cells& cells, int64_t n, const float* dy, int64_t pitch, float* dx) {
  const cpu::Loops& loops = cpu::loops();
  for (int64_t a = 0; a < cells.height; ++a) {
    for (int64_t b = 0; b < cells.width; ++b) {
      float* to = dx + ((n * cells.height + a) * cells.width + b) * cells.channels;
      std::memset(to, 0, static_cast<size_t>(cells.channels) * sizeof(float));
      if (!dy) continue;
      for (int64_t i = Cells::first(a, cells.height, cells.rows); i < Cells::last(a, cells.height, cells.rows); ++i) {
        if (a < cells.top(i) || a >= cells.bottom(i)) continue;
        for (int64_t j = Cells::first(b, cells.width, cells.columns); j < Cells::last(b, cells.width, cells.columns); ++j) {
          if (b < cells.left(j) || b >= cells.right(j)) continue;
          loops.accumulate(dy + ((n * cells.rows + i) * cells.columns + j) * pitch, 1.f / static_cast<float>(cells.area(i, j)), to,
                           cells.channels);
        }
      }
    }
  }
}

/// Adds the gradient of each cell's maximum at its winner. Pictures share no elements, so one thread per picture needs no atomics.
void scatter_max(const Cells& cells, int64_t n, const float* dy, int64_t pitch, const int64_t* index, float* dx) {
  float* picture = dx + n * cells.height * cells.width * cells.channels;
  for (int64_t cell = n * cells.rows * cells.columns; cell < (n + 1) * cells.rows * cells.columns; ++cell) {
    for (int64_t c = 0; c < cells.channels; ++c) picture[index[cell * cells.channels + c] * cells.channels + c] += dy[cell * pitch + c];
  }
}

}  // namespace

template <>
void CpuBackend::execute(const op::AdaptiveAvgPool2d& call) {
  cpu::want_f32("adaptive_avg_pool2d", {call.x, call.y});
  const Cells cells(call.x.shape, call.y.shape);
  pool_cells(cells, call.x.data<float>(), {.max = nullptr, .index = nullptr, .average = call.y.data<float>(), .pitch = cells.channels});
}

template <>
void CpuBackend::execute(const op::AdaptiveAvgPool2dBackward& call) {
  cpu::want_f32("adaptive_avg_pool2d_backward", {call.dy, call.dx});
  const Cells cells(call.dx.shape, call.dy.shape);
  const auto* pdy = call.dy.data<float>();
  auto* pdx = call.dx.data<float>();
  cpu::parallel_for(cells.pictures, [&](int64_t n) { spread_average(cells, n, pdy, cells.channels, pdx); });
}

template <>
void CpuBackend::execute(const op::AdaptiveMaxPool2d& call) {
  cpu::want_f32("adaptive_max_pool2d", {call.x, call.y});
  const Cells cells(call.x.shape, call.y.shape);
  pool_cells(cells, call.x.data<float>(),
             {.max = call.y.data<float>(), .index = call.index.data<int64_t>(), .average = nullptr, .pitch = cells.channels});
}

template <>
void CpuBackend::execute(const op::AdaptiveMaxPool2dBackward& call) {
  cpu::want_f32("adaptive_max_pool2d_backward", {call.dy, call.dx});
  const Cells cells(call.dx.shape, call.dy.shape);
  const auto* pdy = call.dy.data<float>();
  const auto* pi = call.index.data<int64_t>();
  auto* pdx = call.dx.data<float>();
  cpu::parallel_for(cells.pictures, [&](int64_t n) {
    spread_average(cells, n, nullptr, 0, pdx);
    scatter_max(cells, n, pdy, cells.channels, pi, pdx);
  });
}

template <>
void CpuBackend::execute(const op::AdaptiveConcatPool2d& call) {
  cpu::want_f32("adaptive_concat_pool2d", {call.x, call.y});
  const Cells cells(call.x.shape, call.y.shape);
  auto* py = call.y.data<float>();
  pool_cells(cells, call.x.data<float>(),
             {.max = py, .index = call.index.data<int64_t>(), .average = py + cells.channels, .pitch = 2 * cells.channels});
}

template <>
void CpuBackend::execute(const op::AdaptiveConcatPool2dBackward& call) {
  cpu::want_f32("adaptive_concat_pool2d_backward", {call.dy, call.dx});
  const Cells cells(call.dx.shape, call.dy.shape);
  const auto* pdy = call.dy.data<float>();
  const auto* pi = call.index.data<int64_t>();
  auto* pdx = call.dx.data<float>();
  cpu::parallel_for(cells.pictures, [&](int64_t n) {
    spread_average(cells, n, pdy + cells.channels, 2 * cells.channels, pdx);
    scatter_max(cells, n, pdy, 2 * cells.channels, pi, pdx);
  });
}

}  // namespace mirilla
