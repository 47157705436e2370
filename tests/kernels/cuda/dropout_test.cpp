// SPDX-License-Identifier: MIT
#include "kernels/core/philox.h"
#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaDropout : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaDropout, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

Case dropout(int64_t n, double p) {
  const DropoutSpec spec{.p = p, .key = {.seed = 0x123456789abcdef, .purpose = Purpose::kDropout, .step = 3, .item = 2}};
  return {.name = "dropout " + std::to_string(n) + ", p = " + std::to_string(p),
          .in = {uniform({n}, 1, 0.5, 1)},
          .out = {room({n})},
          .run = [spec](Backend& b, auto in, auto out) {
            b.run(op::Dropout{in[0], spec, out[0]});
          }};
}

// 1 / (1 - p) is a power of two, so there is only one rounding: an element dropped by one device and kept by the other would be off by 0.5
// or more.
TEST_P(CudaDropout, KeepsWhatTheReferenceKeepsAtEverySize) {
  for (int64_t n : awkward_sizes())
    for (double p : {0.0, 0.5, 0.75}) expect_equal_to_reference(dropout(n, p), GetParam());
}

// The scale is rounded to f32 before it is used: half a unit of f32 more.
TEST_P(CudaDropout, KeepsThemAtAProbabilityThatF32DoesNotHold) {
  for (double p : {0.1, 0.3, 1e-9, 1 - 1e-9}) {
    Case c = dropout(4099, p);
    c.magnitudes = magnitudes_of_results;
    expect_equal_to_reference(c, GetParam(), 0x1p-24);
  }
}

// A draw equal to p keeps its element.
TEST_P(CudaDropout, KeepsADrawThatIsExactlyP) {
  const RandomKey key{.seed = 0x123456789abcdef, .purpose = Purpose::kDropout, .step = 3, .item = 2};
  for (uint32_t i : {0u, 3u, 6u}) {
    const auto got = run_on(device_under_test(), dropout(9, double{to_unit(key.bits(i))}), GetParam());
    EXPECT_NE(got[0][i], 0) << i;
  }
}

TEST_P(CudaDropout, DropsEverythingAtOne) {
  const auto got = run_on(device_under_test(), dropout(257, 1), GetParam());
  for (const double y : got[0]) EXPECT_EQ(y, 0);
}

TEST_P(CudaDropout, KeepsTheSameOnASliceThatStartsAnywhere) {
  Case c = dropout(1024, 0.5);
  c.run = [run = c.run](Backend& b, auto in, auto out) {
    const std::vector<ConstView> inputs{tail(in[0])};
    const std::vector<View> outputs{tail(out[0])};
    run(b, inputs, outputs);
  };
  expect_equal_to_reference(c, GetParam());
}

// A replayed step reads its number from the device.
TEST_P(CudaDropout, TakesTheStepFromTheDevice) {
  for (int64_t n : {5, 4099, 8209})
    for (const bool slice : {false, true}) {
      Case c = dropout(n, 0.5);
      c.in.push_back({{1}, {7}, DType::i64});
      c.run = [=](Backend& b, auto in, auto out) {
        DropoutSpec spec{.p = 0.5, .key = {.seed = 0x123456789abcdef, .purpose = Purpose::kDropout, .step = 3, .item = 2}};
        spec.step = in[1];
        b.run(op::Dropout{slice ? tail(in[0]) : in[0], spec, slice ? tail(out[0]) : out[0]});
      };
      expect_equal_to_reference(c, GetParam());
    }
}

TEST_P(CudaDropout, DoesNotDependOnTheOrderOfThreads) { expect_same_in_any_order(dropout(4099, 0.5), GetParam()); }

TEST_P(CudaDropout, OfNothingIsNothing) { expect_equal_to_reference(dropout(0, 0.5), GetParam()); }

}  // namespace
}  // namespace mirilla::test
