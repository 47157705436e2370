// SPDX-License-Identifier: MIT
#include "kernels/cuda/common.h"

// y(a,c,b) = x(a,b,c): A matrices of B x C, each transposed. Elements are only moved, so only their size matters.
//
// Bytes: read n, write n elements. A block transposes squares of 32 x 32 in shared memory, so that it reads rows of x and writes rows of y;
// where B or C is below 32 (the 9 taps of a filter), the rest of its threads has nothing to do. Launch: 32 x 8 threads per block, one
// square at a time, grid-stride over the squares of all matrices.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

constexpr int kSquare = 32, kRowsAtOnce = 8;

template <class T>
__global__ void __launch_bounds__(kSquare* kRowsAtOnce)
    transpose_kernel(const T* __restrict__ x, T* __restrict__ y, int64_t matrices, int64_t rows, int64_t columns) {
  constexpr int kPitch = kSquare + (sizeof(T) < 4 ? 4 / sizeof(T) : 1);  // an odd number of words: a column lies in 32 banks
  __shared__ T square[kSquare][kPitch];
  const int64_t down = (rows + kSquare - 1) / kSquare, across = (columns + kSquare - 1) / kSquare;
  const int lane = static_cast<int>(threadIdx.x);
  for (int64_t i = blockIdx.x; i < matrices * down * across; i += gridDim.x) {
    const int64_t column = i % across * kSquare, row = i / across % down * kSquare, matrix = i / across / down * rows * columns;
#pragma unroll
    for (int k = 0; k < kSquare / kRowsAtOnce; ++k) {
      const int r = k * kRowsAtOnce + static_cast<int>(threadIdx.y);
      if (row + r < rows && column + lane < columns) square[r][lane] = x[matrix + (row + r) * columns + column + lane];
    }
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kSquare / kRowsAtOnce; ++k) {
      const int c = k * kRowsAtOnce + static_cast<int>(threadIdx.y);
      if (column + c < columns && row + lane < rows) y[matrix + (column + c) * rows + row + lane] = square[lane][c];
    }
    __syncthreads();
  }
}

template <class T>
void run_transpose(Stream& stream, const ConstView& x, const View& y) {
  const int64_t matrices = x.shape[0], rows = x.shape[1], columns = x.shape[2];
  const unsigned blocks = blocks_for(matrices * ceil_div(rows, kSquare) * ceil_div(columns, kSquare), 1);
  launch<transpose_kernel<T>>(stream, {blocks, {kSquare, kRowsAtOnce}}, static_cast<const T*>(x.address), static_cast<T*>(y.address),
                              matrices, rows, columns);
}

}  // namespace

template <>
void CudaBackend::execute(const op::Transpose& call) {
  if (call.x.numel() == 0) return;
  switch (size_of(call.x.dtype)) {
    case 1: return run_transpose<uint8_t>(stream_, call.x, call.y);
    case 2: return run_transpose<uint16_t>(stream_, call.x, call.y);
    case 4: return run_transpose<uint32_t>(stream_, call.x, call.y);
    default: return run_transpose<uint64_t>(stream_, call.x, call.y);
  }
}

}  // namespace mirilla::MIRILLA_PLATFORM
