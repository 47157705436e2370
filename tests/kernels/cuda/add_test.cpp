// SPDX-License-Identifier: MIT
// add, multiply, scale and add_bias: one operation in f32 and one rounding, so only that rounding is allowed.
#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaAdd : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaAdd, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

const double kNaN = std::nan(""), kInfinity = std::numeric_limits<double>::infinity();

TEST_P(CudaAdd, AddsAtEverySize) {
  for (int64_t n : awkward_sizes())
    expect_equal_to_reference({.name = "add " + std::to_string(n),
                               .in = {uniform({n}, 1), uniform({n}, 2)},
                               .out = {room({n})},
                               .run =
                                   [](Backend& b, auto in, auto out) {
                                     b.run(op::Add{in[0], in[1], out[0]});
                                   }},
                              GetParam());
}

TEST_P(CudaAdd, AddsIntoEitherOfTheTwo) {
  const Case first{.name = "a += b", .in = {uniform({777}, 1)}, .out = {uniform({777}, 2)}, .run = [](Backend& b, auto in, auto out) {
                     b.run(op::Add{out[0], in[0], out[0]});
                   }};
  Case second = first;
  second.run = [](Backend& b, auto in, auto out) { b.run(op::Add{in[0], out[0], out[0]}); };
  expect_equal_to_reference(first, GetParam());
  expect_equal_to_reference(second, GetParam());
  expect_same_in_any_order(first, GetParam());
}

TEST_P(CudaAdd, MultipliesByATensorAtEverySize) {
  for (int64_t n : awkward_sizes())
    expect_equal_to_reference({.name = "multiply " + std::to_string(n),
                               .in = {uniform({n}, 1), uniform({n}, 2)},
                               .out = {room({n})},
                               .run =
                                   [](Backend& b, auto in, auto out) {
                                     b.run(op::Multiply{in[0], in[1], out[0]});
                                   }},
                              GetParam());
}

TEST_P(CudaAdd, MultipliesByOneElementAtEverySize) {
  for (int64_t n : awkward_sizes())
    expect_equal_to_reference({.name = "multiply by one " + std::to_string(n),
                               .in = {uniform({n}, 1), uniform({}, 2)},
                               .out = {room({n})},
                               .run =
                                   [](Backend& b, auto in, auto out) {
                                     b.run(op::Multiply{in[0], in[1], out[0]});
                                   }},
                              GetParam());
}

TEST_P(CudaAdd, RoundsAnF32TimesOneElementToTheTypeOfY) {
  for (int64_t n : awkward_sizes()) {
    const Case c{.name = "multiply, f32 in " + std::to_string(n),
                 .in = {uniform_f32({n}, 1), uniform_f32({1}, 2)},
                 .out = {room({n})},
                 .run = [](Backend& b, auto in, auto out) {
                   b.run(op::Multiply{in[0], in[1], out[0]});
                 }};
    expect_equal_to_reference(c, GetParam());
    if (n == 1025) expect_same_in_any_order(c, GetParam());
  }
}

TEST_P(CudaAdd, RoundsASliceOfF32TimesOneElementToTheTypeOfY) {
  expect_equal_to_reference({.name = "multiply a slice of f32",
                             .in = {uniform_f32({4100}, 1), uniform_f32({1}, 2)},
                             .out = {room({4100})},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Multiply{tail(in[0]), in[1], tail(out[0])});
                                 }},
                            GetParam());
}

TEST_P(CudaAdd, MultipliesInPlace) {
  expect_equal_to_reference({.name = "a *= b",
                             .in = {uniform({777}, 1)},
                             .out = {uniform({777}, 2)},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Multiply{out[0], in[0], out[0]});
                                 }},
                            GetParam());
}

TEST_P(CudaAdd, ScalesAtEverySizeAndInPlace) {
  // A power of two, so that the factor in f32 is the factor; 1/3 is not exact and may cost one more rounding.
  for (int64_t n : awkward_sizes())
    expect_equal_to_reference({.name = "scale " + std::to_string(n),
                               .in = {uniform({n}, 1)},
                               .out = {room({n})},
                               .run =
                                   [](Backend& b, auto in, auto out) {
                                     b.run(op::Scale{in[0], -0.25, out[0]});
                                   }},
                              GetParam());
  expect_equal_to_reference({.name = "scale in place",
                             .in = {},
                             .out = {uniform({777}, 1)},
                             .run =
                                 [](Backend& b, auto, auto out) {
                                   b.run(op::Scale{out[0], 1.0 / 3, out[0]});
                                 },
                             .magnitudes = magnitudes_of_results},
                            GetParam(), 0x1p-24);
}

TEST_P(CudaAdd, WorksOnSlicesThatStartAnywhere) {
  for (int64_t n : awkward_sizes())
    expect_equal_to_reference({.name = "slices of " + std::to_string(n),
                               .in = {uniform({n + 1}, 1), uniform({n + 1}, 2), uniform({1}, 3)},
                               .out = {room({n + 1}), room({n + 1}), room({n + 1}), room({n + 1})},
                               .run =
                                   [](Backend& b, auto in, auto out) {
                                     b.run(op::Add{tail(in[0]), tail(in[1]), tail(out[0])});
                                     b.run(op::Multiply{tail(in[0]), tail(in[1]), tail(out[1])});
                                     b.run(op::Scale{tail(in[0]), 2, tail(out[2])});
                                     b.run(op::Multiply{tail(in[0]), in[2], tail(out[3])});
                                   }},
                              GetParam());
}

// Each element once, also where no vector fits and several blocks share the work.
TEST_P(CudaAdd, ScalesALongSliceInPlace) {
  expect_equal_to_reference({.name = "a slice in place",
                             .in = {},
                             .out = {uniform({20001}, 1)},
                             .run =
                                 [](Backend& b, auto, auto out) {
                                   b.run(op::Scale{tail(out[0]), 2, tail(out[0])});
                                 }},
                            GetParam());
}

TEST_P(CudaAdd, TakesWhatIsNotFinite) {
  const Values x{{6}, {kNaN, kInfinity, -kInfinity, kInfinity, 0, 1}}, z{{6}, {1, -kInfinity, -kInfinity, 0, kInfinity, kNaN}};
  expect_equal_to_reference({.name = "not finite",
                             .in = {x, z},
                             .out = {room({6}), room({6})},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Add{in[0], in[1], out[0]});
                                   b.run(op::Multiply{in[0], in[1], out[1]});
                                 }},
                            GetParam());
}

TEST_P(CudaAdd, AddsABiasToRowsOfAnyLength) {
  for (int64_t channels : {1, 2, 3, 7, 8, 31, 32, 33, 64, 257})
    for (int64_t rows : {1, 2, 33}) {
      const Case c{.name = "add_bias " + std::to_string(rows) + " x " + std::to_string(channels),
                   .in = {uniform({rows, channels}, 1), uniform({channels}, 2), uniform_f32({channels}, 3), uniform({channels + 1}, 4)},
                   .out = {room({rows, channels}), room({rows, channels}), room({rows, channels})},
                   .run = [](Backend& b, auto in, auto out) {
                     b.run(op::AddBias{in[0], in[1], out[0]});
                     b.run(op::AddBias{in[0], in[2], out[1]});        // f32 beside a half x
                     b.run(op::AddBias{in[0], tail(in[3]), out[2]});  // a slice
                   }};
      expect_equal_to_reference(c, GetParam());
      if (channels == 33) expect_same_in_any_order(c, GetParam());
    }
}

// A sum and a product of two f32 are exact in f64, so that the nearest f32 is known to the bit.
TEST(CudaAdd32, RoundsOnceToTheNearest) {
  const Case c{.name = "one rounding",
               .in = {uniform({999}, 1), uniform({999}, 2, -0.3, 0.01)},
               .out = {room({999}), room({999}), room({999})},
               .run = [](Backend& b, auto in, auto out) {
                 b.run(op::Add{in[0], in[1], out[0]});
                 b.run(op::Multiply{in[0], in[1], out[1]});
                 b.run(op::Scale{in[0], 0.7f, out[2]});
               }};
  expect_equal_to_reference(c, DType::f32);  // no magnitudes: half a unit is allowed
}

// Neither x nor y may be accessed by vectors; rows of 16 are whole vectors of the bias, those of 11 are not.
TEST_P(CudaAdd, AddsABiasToASliceThatStartsAnywhere) {
  for (const int64_t channels : {16, 11}) {
    const Shape rows{40, channels};
    expect_equal_to_reference({.name = "add_bias to a slice of rows of " + std::to_string(channels),
                               .in = {uniform({rows.numel() + 1}, 1), uniform({channels}, 2), uniform_f32({channels}, 3)},
                               .out = {uniform({rows.numel() + 1}, 4), uniform({rows.numel() + 1}, 5)},
                               .run =
                                   [&](Backend& b, auto in, auto out) {
                                     b.run(op::AddBias{shifted(in[0], rows), in[1], shifted(out[0], rows)});
                                     b.run(op::AddBias{shifted(in[0], rows), in[2], shifted(out[1], rows)});
                                   }},
                              GetParam());
  }
}

TEST_P(CudaAdd, AddsABiasInPlace) {
  expect_equal_to_reference({.name = "x += bias",
                             .in = {uniform({33}, 1)},
                             .out = {uniform({2, 3, 5, 33}, 2)},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::AddBias{out[0], in[0], out[0]});
                                 }},
                            GetParam());
}

TEST_P(CudaAdd, OfNothingIsNothing) {
  expect_equal_to_reference({.name = "nothing",
                             .in = {room({0, 4}), uniform({4}, 1), uniform({1}, 2)},
                             .out = {room({0, 4})},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Add{in[0], in[0], out[0]});
                                   b.run(op::Multiply{in[0], in[2], out[0]});
                                   b.run(op::Scale{in[0], 2, out[0]});
                                   b.run(op::AddBias{in[0], in[1], out[0]});
                                 }},
                            GetParam());
}

}  // namespace
}  // namespace mirilla::test
