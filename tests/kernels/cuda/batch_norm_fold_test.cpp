// SPDX-License-Identifier: MIT
#include <cmath>

#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

// What the engine computes on the host, to the bit: tests/engine/fold_batch_norm_test.cpp has special values.
TEST(CudaFoldBatchNorm, RoundsTheF64FormulaOnce) {
  constexpr double kEps = 1e-5;
  for (const Shape& shape : {Shape{3, 1, 1, 1}, Shape{17, 3, 3, 64}, Shape{3, 3, 3, 517}, Shape{70000, 1, 1, 2}, Shape{0, 1, 1, 4}})
    for (const bool with_bias : {true, false}) {
      const int64_t filters = shape[0], row = filters == 0 ? 0 : shape.numel() / filters;
      Case c{.name = "fold_batch_norm",
             .in = {uniform_f32(shape, 1, -2, 2), uniform_f32({filters}, 2), uniform_f32({filters}, 3, -2, 2), uniform_f32({filters}, 4),
                    uniform_f32({filters}, 5), uniform_f32({filters}, 6, 0.1, 3)},
             .out = {room(shape), room({filters})}};
      c.run = [with_bias](Backend& backend, std::span<const ConstView> in, std::span<const View> out) {
        backend.run(op::FoldBatchNorm{.w = in[0],
                                      .conv_bias = with_bias ? in[1] : ConstView(),
                                      .weight = in[2],
                                      .bias = in[3],
                                      .running_mean = in[4],
                                      .running_var = in[5],
                                      .eps = kEps,
                                      .folded_w = out[0],
                                      .folded_bias = out[1]});
      };
      const auto got = run_on(device_under_test(), c, DType::f32);
      const auto value = [&](size_t input, int64_t i) { return double{static_cast<float>(c.in[input].values[static_cast<size_t>(i)])}; };
      for (int64_t k = 0; k < filters; ++k) {
        const double scale = value(2, k) / std::sqrt(value(5, k) + kEps);
        const volatile double moved = ((with_bias ? value(1, k) : 0.0) - value(4, k)) * scale;  // never fused with the sum
        ASSERT_EQ(got[1][static_cast<size_t>(k)], double{static_cast<float>(value(3, k) + moved)}) << k;
        for (int64_t i = k * row; i < (k + 1) * row; ++i)
          ASSERT_EQ(got[0][static_cast<size_t>(i)], double{static_cast<float>(value(0, i) * scale)}) << i;
      }
    }
}

}  // namespace
}  // namespace mirilla::test
