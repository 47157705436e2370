// SPDX-License-Identifier: MIT
#include "kernels/devices.h"
#include "kernels/simt/executor.h"
#include "tests/kernels/cuda/support.h"

namespace mirilla::test {
namespace {

Case transposed(const Shape& x, DType kind) {
  return {.name = "transpose of " + to_string(x),
          .in = {kind == DType::f64 ? uniform(x, 1) : integers(x, 1, 200, kind)},
          .out = {room({x[0], x[2], x[1]}, kind)},
          .run = [](Backend& b, auto in, auto out) {
            b.run(op::Transpose{in[0], out[0]});
          }};
}

const Shape kShapes[] = {{1, 1, 1},  {2, 1, 5},   {1, 31, 33},   {3, 32, 32}, {2, 33, 31}, {64, 3, 49},
                         {16, 8, 9}, {1, 65, 40}, {200, 40, 40}, {0, 3, 4},   {2, 0, 4},   {5, 2, 0}};

TEST(CudaTranspose, TurnsEachMatrixOfAnyType) {
  for (const Shape& x : kShapes) {
    for (DType type : float_types()) expect_equal_to_reference(transposed(x, DType::f64), type);
    for (DType kind : {DType::u8, DType::i64}) expect_equal_to_reference(transposed(x, kind), DType::f32);
  }
}

TEST(CudaTranspose, DoesNotDependOnTheSchedule) {
  const Case c = transposed({5, 40, 70}, DType::f64);
  const auto want = run_on(device_under_test(), c, DType::f32);
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    simt::set_schedule_seed(seed);
    EXPECT_EQ(run_on(device_under_test(), c, DType::f32), want) << seed;
  }
  simt::set_schedule_seed(0);
}

// The two host devices agree with the formula written out.
TEST(Transpose, IsTheFormulaOnTheHost) {
  const Case c = transposed({2, 3, 5}, DType::i64);
  for (const char* name : {"reference", "cpu"}) {
    const auto y = run_on(open_device(name), c, DType::f32)[0];
    for (size_t m = 0; m < 2; ++m)
      for (size_t row = 0; row < 3; ++row)
        for (size_t column = 0; column < 5; ++column)
          EXPECT_EQ(y[(m * 5 + column) * 3 + row], c.in[0].values[(m * 3 + row) * 5 + column]) << name;
  }
}

}  // namespace
}  // namespace mirilla::test
