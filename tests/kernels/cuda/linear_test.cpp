// SPDX-License-Identifier: MIT
#include "kernels/simt/executor.h"
#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaMatmul : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaMatmul, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

struct Sizes {
  int64_t m, n, k;
};

Case product(const Sizes& z, const MatmulSpec& spec, DType type, DType y_kind = DType::f64) {
  const Shape a = spec.transpose_a ? Shape{z.k, z.m} : Shape{z.m, z.k}, b = spec.transpose_b ? Shape{z.n, z.k} : Shape{z.k, z.n};
  Case c{.name = "matmul (" + std::to_string(z.m) + "," + std::to_string(z.k) + ") (" + std::to_string(z.k) + "," + std::to_string(z.n) +
                 ")" + (spec.transpose_a ? ", a transposed" : "") + (spec.transpose_b ? ", b transposed" : ""),
         .in = {uniform(a, 1), uniform(b, 2)},
         .out = {room({z.m, z.n}, y_kind)},
         .run = [spec](Backend& backend, auto in, auto out) {
           backend.run(op::Matmul{in[0], in[1], spec, out[0]});
         }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, type);
  return c;
}

constexpr MatmulSpec kSpecs[] = {{false, false}, {false, true}, {true, false}, {true, true}};

// Every size alone and combined with others, on both sides of each tile: 16, 64 and 128 rows, 64 and 128 columns, 16 and 32 along k.
TEST_P(CudaMatmul, EqualsTheReferenceAtEverySize) {
  const Sizes sizes[] = {{1, 1, 1},    {2, 31, 33},  {31, 2, 1},   {33, 33, 2},    {17, 200, 31}, {200, 1, 64},
                         {8, 200, 32}, {64, 64, 48}, {65, 72, 40}, {1, 1024, 512}, {32, 24, 200}, {129, 63, 200}};
  for (const Sizes& z : sizes)
    for (const MatmulSpec& spec : kSpecs) expect_equal_to_reference(product(z, spec, GetParam()), GetParam());
}

TEST_P(CudaMatmul, UsesLargeTilesToo) {
  for (const MatmulSpec& spec : kSpecs) expect_equal_to_reference(product({264, 256, 80}, spec, GetParam()), GetParam());
}

TEST_P(CudaMatmul, WritesF32FromHalves) {
  for (const Sizes& z : {Sizes{3, 5, 7}, Sizes{16, 64, 64}, Sizes{70, 72, 25}, Sizes{70, 77, 25}, Sizes{70, 136, 24}, Sizes{264, 256, 40}})
    for (const MatmulSpec& spec : kSpecs) expect_equal_to_reference(product(z, spec, GetParam(), DType::f32), GetParam());
}

// a and b are read by 16 bytes and y is written element by element, from each size of tile; with 20, 76 and 140 columns the last chunk is
// short.
TEST_P(CudaMatmul, WritesToASliceThatStartsAnywhere) {
  for (const Sizes& z :
       {Sizes{24, 64, 64}, Sizes{24, 20, 64}, Sizes{70, 72, 64}, Sizes{70, 76, 64}, Sizes{264, 136, 40}, Sizes{264, 140, 40}})
    for (const MatmulSpec& spec : kSpecs)
      for (const DType kind : {DType::f64, DType::f32}) {
        Case c = product(z, spec, GetParam(), kind);
        c.out = {room({z.m * z.n + 1}, kind)};
        c.run = [z, spec](Backend& backend, auto in, auto out) {
          backend.run(op::Matmul{in[0], in[1], spec, shifted(out[0], {z.m, z.n})});
        };
        c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, GetParam());
        expect_equal_to_reference(c, GetParam());
      }
}

TEST_P(CudaMatmul, OfNothingIsNothingAndOverNothingIsZero) {
  for (const Sizes& z : {Sizes{0, 8, 8}, Sizes{8, 0, 8}}) expect_equal_to_reference(product(z, {}, GetParam()), GetParam());
  for (const Sizes& z : {Sizes{8, 8, 0}, Sizes{3, 5, 0}, Sizes{70, 72, 0}, Sizes{264, 256, 0}})  // each size of tile
    for (const MatmulSpec& spec : kSpecs)
      for (const bool sliced : {false, true}) {
        Case c = product(z, spec, GetParam());
        if (sliced)
          c.run = [z, spec](Backend& backend, auto in, auto out) {
            const Shape a = in[0].shape, b = in[1].shape;
            backend.run(op::Matmul{shifted(in[0], a), shifted(in[1], b), spec, out[0]});
          };
        expect_equal_to_reference(c, GetParam());
      }
}

// Memory that starts at any element, like a slice: it must not be read 16 bytes at once.
TEST_P(CudaMatmul, TakesSlices) {
  constexpr int64_t kM = 9, kN = 16, kK = 32;
  Case c{.name = "matmul of slices",
         .in = {uniform({kM * kK + 1}, 1), uniform({kK * kN + 1}, 2)},
         .out = {room({kM * kN + 1})},
         .run = [](Backend& backend, auto in, auto out) {
           const auto slice = [](auto view, const Shape& shape) {
             using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<decltype(view.address)>>, const std::byte, std::byte>;
             view.address = static_cast<Byte*>(view.address) + size_of(view.dtype);
             view.shape = shape;
             return view;
           };
           backend.run(op::Fill{out[0], 0});
           backend.run(op::Matmul{slice(in[0], {kM, kK}), slice(in[1], {kK, kN}), {}, slice(out[0], {kM, kN})});
         }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, GetParam());
  expect_equal_to_reference(c, GetParam());
}

TEST_P(CudaMatmul, DoesNotDependOnTheScheduleNorOnChance) {
  for (const Sizes& z : {Sizes{8, 200, 72}, Sizes{70, 66, 50}, Sizes{256, 256, 64}}) {
    const Case c = product(z, {false, true}, GetParam());
    const auto want = run_on(device_under_test(), c, GetParam());
    for (uint64_t seed = 0; seed <= 3; ++seed) {
      simt::set_schedule_seed(seed);
      EXPECT_EQ(run_on(device_under_test(), c, GetParam()), want) << c.name << ", seed " << seed;
    }
    simt::set_schedule_seed(0);
  }
}

// One infinity or NaN affects its own row and no other: the padding of a tile takes part in no sum.
TEST_P(CudaMatmul, KeepsWhatIsNotFiniteInItsRow) {
  Case c = product({5, 7, 19}, {}, GetParam());
  c.in[0].values[2 * 19 + 3] = std::numeric_limits<double>::infinity();
  c.in[0].values[4 * 19 + 18] = std::nan("");
  c.magnitudes = [](const auto&) { return std::vector<std::vector<double>>{std::vector<double>(35, 19.0)}; };  // inputs are in [-1, 1)
  expect_equal_to_reference(c, GetParam());
}

}  // namespace
}  // namespace mirilla::test
