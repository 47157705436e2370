// SPDX-License-Identifier: MIT
#include "kernels/cuda/parts/tile.h"
#include "kernels/cuda/parts/tile_operands.h"
#include "kernels/cuda/vendor/vendor.h"

// y (M,N) = op(a) op(b), op(a) (M,K) and op(b) (K,N); y is like the inputs, or f32.
//
// FLOP: 2 M N K, f16 and bf16 on tensor cores, f32 by fused multiply-adds. Bytes: y once; each tile of y reads its rows of a and its
// columns of b, so a is read N / tile times and b M / tile times, mostly from the second-level cache. Launch: one block per tile of y
// (tile.h), neighbours along N first so that they share their rows of a. On a GPU cuBLASLt runs the products that it can (vendor/gemm.h);
// these kernels run the rest.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

template <class T, bool kTransposeA, bool kTransposeB, bool kWide>
struct Matmul {
  using Element = T;
  using A = MatrixOperand<T, !kTransposeA, kWide>;
  using B = MatrixOperand<T, kTransposeB, kWide>;

  A a;
  B b;
  int64_t rows, columns;
  int depth;
  Result<T, true> y;

  __device__ void enter(unsigned) {}
  __device__ int first_depth() const { return 0; }
  __device__ int last_depth() const { return depth; }
  __device__ void put(int64_t m, int64_t n, const typename Result<T, true>::Values& values) const {
    if (m < rows && n < columns) y.put(m * columns + n, values, columns - n);
  }
};

template <class T, bool kTransposeA, bool kTransposeB, bool kWide>
void run_product(Stream& stream, const ConstView& a, const ConstView& b, int depth, const View& y) {
  const int64_t rows = y.shape[0], columns = y.shape[1];
  const Matmul<T, kTransposeA, kTransposeB, kWide> problem{{a.data<T>(), rows, depth}, {b.data<T>(), columns, depth}, rows, columns, depth,
                                                           result_of<T, true>(y)};
  with_tile<kWide>(rows, columns, 1, [&]<class Shape>() { launch_product<Shape>(stream, problem); });
}

template <bool kValue>
using Constant = std::bool_constant<kValue>;

// Calls f(Constant<value>()).
template <class F>
void with_constant(bool value, F&& f) {
  if (value)
    f(Constant<true>());
  else
    f(Constant<false>());
}

}  // namespace

template <>
void CudaBackend::execute(const op::Matmul& call) {
  if (call.y.numel() == 0 || vendor::matmul(stream_, call.a, call.b, call.spec, call.y)) return;
  const int64_t depth = call.a.shape[call.spec.transpose_a ? 0 : 1];
  if (depth > kMaxDepth) throw DeviceError(fmt::format("matmul: the inner extent {} is too large for {}", depth, kDeviceName));
  dispatch(call.a.dtype, "matmul", [&]<class T>() {
    const bool wide = chunks_fit<T>(call.a.address, call.a.shape[1]) && chunks_fit<T>(call.b.address, call.b.shape[1]);
    with_constant(call.spec.transpose_a, [&](auto transpose_a) {
      with_constant(call.spec.transpose_b, [&](auto transpose_b) {
        with_constant(wide, [&](auto is_wide) {
          run_product<T, transpose_a, transpose_b, is_wide>(stream_, call.a, call.b, static_cast<int>(depth), call.y);
        });
      });
    });
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
