// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/cuda/parts/packed_winner.h"
#include "kernels/cuda/parts/pictures.h"

/// Max pools with windows of 3 x 3 every 2 pixels, as in ResNet.
///
/// A thread goes down `rows` rows of y and finds the winner of three neighbours in each row of x once: where windows overlap, it is that of
/// one's last row and of the next one's first. Threads side by side share columns through the first cache.
namespace mirilla::MIRILLA_PLATFORM {

struct Pooling {
  Pictures x, y;
  int window, stride, padding;
};

inline Pooling pooling(const ConstView& x, const ConstView& y, const Pool2dSpec& spec) {
  return {pictures(x), pictures(y), spec.window, spec.stride, spec.padding};
}

inline constexpr int kSide = 3, kStep = 2;    // window and stride; the padding is then 0 or 1
inline constexpr int kMostRowsPerThread = 8;  // of y: its thread then reads 17 rows of x, one of which another thread reads too

/// How many rows of y a thread takes: as many as leave every multiprocessor a few blocks, and a grid that is not too high.
inline int rows_per_thread(const Pictures& y, int vector) {
  constexpr int64_t kBlocksPerMultiprocessor = 4;
  const LaunchShape shape = shape_for(y, vector);
  const int64_t blocks = int64_t{shape.grid.x} * y.height * y.count;
  const int64_t rows = std::clamp<int64_t>(blocks / (facts().multiprocessors * kBlocksPerMultiprocessor), 1, kMostRowsPerThread);
  return static_cast<int>(std::max(rows, ceil_div(y.height, kLargestGridSide)));
}

inline LaunchShape shape_down(const Pictures& y, int vector, int rows) {
  LaunchShape shape = shape_for(y, vector);
  shape.grid.y = static_cast<unsigned>(ceil_div(y.height, rows));
  return shape;
}

/// The running thread's part of y and index (where kIndex). values_of(channel) gives a function from (offset in x, place) to the Winner of
/// N channels there, finish(winner) sees each before it is stored.
///
/// A row or column outside of the picture is replaced by its neighbour inside, with the neighbour's place: a pixel that meets itself
/// changes nothing, so there is no branch for it, and padding cannot win. Only the first and the last of a window's three can be outside.
template <class Winner, int N, class T, class ValuesOf, class Finish>
__device__ __forceinline__ void pool_down(const Pooling& p, int rows, T* __restrict__ y, uint8_t* __restrict__ index,
                                          const ValuesOf& values_of, const Finish& finish) {
  for_each_column<N>(p.y, [&](int n, int column, int channel) {
    const auto at = values_of(channel);
    const int left = column * kStep - p.padding, first = max(left, 0), last = min(left + kSide - 1, p.x.width - 1);
    const int64_t pitch = int64_t{p.x.width} * p.x.channels;
    const int to_middle = (left + 1 - first) * p.x.channels, to_last = (last - first) * p.x.channels;
    const auto across = [&](int64_t from, int place) {
      Winner best = at(from, place + first - left);
      best.meet(at(from + to_middle, place + 1));
      best.meet(at(from + to_last, place + last - left));
      return best;
    };
    const int begin = static_cast<int>(blockIdx.y) * rows, end = min(begin + rows, p.y.height);
    int64_t out = p.y.at(n, begin, column) + channel;
    const int64_t picture = p.x.at(n, 0, first) + channel;
    Winner best;  // of the rows of the window so far; not before the first
#pragma unroll 1
    for (int row = begin;; ++row) {
      const int top = row * kStep - p.padding, shared = min(max(top, 0), p.x.height - 1);
      Winner edge = across(picture + shared * pitch, 0);
      edge.move_places((shared - top) * kSide);
      if (row > begin) {
        best.meet(edge, kStep * kSide);
        finish(best);
        best.store_to(y + out, index + out);
        out += int64_t{p.y.width} * p.y.channels;
        if (row == end) break;
      }
      best = edge;
      best.meet(across(picture + (top + 1) * pitch, kSide));
    }
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
