// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <limits>

#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

constexpr AdamSpec kSpec{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-5};
constexpr double kRate = 1e-2;

Values number(double value, DType kind) { return {{1}, {value}, kind}; }
Values scaler(double scale, double overflow) { return {{kScalerState}, {scale, 1 / scale, overflow, 3}, DType::f32}; }

// A step over tensors of these sizes. Inputs: the scaler's state, then gradients; outputs: parameter, m, v, t and the half copy of each.
struct Step {
  std::vector<int64_t> sizes;
  double scale = 1, overflow = 0;
  DType copy = DType::f16;
  DType gradient = DType::f32;  // of each second tensor
  bool rounded = false;         // their values fit in halves
  bool has_state = true;
  bool sliced = false;                 // without the first element, so that nothing is aligned
  ConstView rate = {}, momentum = {};  // in the device's memory, in place of numbers that are then wrong

  Case as_case(const std::string& name) const {
    Case c{.name = name};
    c.in.push_back(scaler(scale, overflow));
    for (size_t i = 0; i < sizes.size(); ++i) {
      c.in.push_back(uniform_f32({sizes[i]}, 10 + i, -scale, scale));
      if (i % 2 == 1 && (rounded || is_half(gradient))) {
        for (double& x : c.in.back().values) x = static_cast<float>(BFloat16(static_cast<float>(x)));  // bf16 of this size is exact in f16
        c.in.back().kind = gradient;
      }
      c.out.push_back(uniform_f32({sizes[i]}, 100 + i));
      c.out.push_back(uniform_f32({sizes[i]}, 200 + i));
      c.out.push_back(uniform_f32({sizes[i]}, 300 + i, 0, 1));
      c.out.push_back(number(static_cast<double>(i * i * 40), DType::i64));
      c.out.push_back(room({sizes[i]}, copy));
      if (overflow != 0) c.out.back().values.assign(static_cast<size_t>(sizes[i]), 0.25);
    }
    c.run = [step = *this](Backend& backend, auto in, auto out) { step.run(backend, in, out); };
    // A parameter is a difference of |p| and about the rate; m is a sum of |m| and |g|, both below 1.
    c.magnitudes = [step_of_copy = copy == DType::f16 ? 0x1p-10 : 0x1p-7](const auto& want) {
      auto magnitudes = want;
      for (size_t o = 0; o < want.size(); ++o)
        for (double& x : magnitudes[o]) x = o % 5 == 0 ? std::abs(x) + kRate : o % 5 == 1 ? 1 : std::abs(x);
      // The copy is the rounded parameter (CopiesTheParameterRounded checks this). Where f32 and f64 lie on two sides of a tie, it is
      // one unit of its type apart.
      for (size_t o = 4; o < want.size(); o += 5)
        for (double& x : magnitudes[o]) x = 1e5 * step_of_copy * std::abs(x);
      return magnitudes;
    };
    return c;
  }

  void run(Backend& backend, std::span<const ConstView> in, std::span<const View> out) const {
    std::vector<AdamTensor> tensors;
    for (size_t i = 0; i < sizes.size(); ++i) {
      AdamTensor t{.parameter = out[5 * i],
                   .gradient = in[1 + i],
                   .m = out[5 * i + 1],
                   .v = out[5 * i + 2],
                   .learning_rate = rate ? 1 : kRate,
                   .weight_decay = i % 2 == 0 ? 0.1 : 0,
                   .step = out[5 * i + 3],
                   .copy = i % 3 == 2 ? View{} : out[5 * i + 4],
                   .rate = rate};
      if (sliced) {
        t.parameter = tail(t.parameter);
        t.gradient = tail(t.gradient);
        t.m = tail(t.m);
        t.v = tail(t.v);
        if (t.copy) t.copy = tail(t.copy);
      }
      tensors.push_back(t);
    }
    AdamSpec spec = kSpec;
    if (momentum) spec.beta1 = 0.5, spec.momentum = momentum;
    if (!has_state) return backend.run(op::Adam{tensors, spec, {}});
    if (in[0].dtype == DType::f32) return backend.run(op::Adam{tensors, spec, in[0]});
    std::array<float, kScalerState> state{};  // the reference's, whose other numbers are f64; its memory is the host's
    for (size_t i = 0; i < state.size(); ++i) state[i] = static_cast<float>(in[0].data<double>()[i]);
    backend.run(op::Adam{tensors, spec, ConstView{state.data(), {kScalerState}, DType::f32, 0, 0, true}});
  }
};

TEST(CudaAdam, EqualsTheReferenceAtEverySize) {
  for (DType copy : {DType::f16, DType::bf16}) {
    const Step step{.sizes = awkward_sizes(), .scale = 1024, .copy = copy};
    expect_equal_to_reference(step.as_case("all sizes in one call"), DType::f32);
    expect_same_in_any_order(step.as_case("in any order"), DType::f32);
  }
  expect_equal_to_reference(Step{.sizes = awkward_sizes(), .has_state = false}.as_case("without a scaler"), DType::f32);
  for (DType copy : {DType::f16, DType::bf16})
    expect_equal_to_reference(Step{.sizes = {2, 33, 4099, 8193}, .scale = 4, .copy = copy, .sliced = true}.as_case("slices"), DType::f32);
  expect_equal_to_reference(Step{.sizes = {4096, 4097, 0, 5}}.as_case("around a chunk, and one without elements"), DType::f32);
}

TEST(CudaAdam, TakesMoreTensorsThanALaunchHolds) {
  expect_equal_to_reference(Step{.sizes = std::vector<int64_t>(340, 3)}.as_case("as many as a launch holds"), DType::f32);
  expect_equal_to_reference(Step{.sizes = std::vector<int64_t>(800, 3)}.as_case("and more"), DType::f32);
}

TEST(CudaAdam, TakesRateAndMomentumByAddressWithTheSameBits) {
  Device& device = device_under_test();
  const double numbers[] = {kRate, kSpec.beta1};
  auto* const memory = static_cast<double*>(device.allocate(sizeof numbers));
  device.copy_from_host(memory, numbers, sizeof numbers);
  const auto at = [](const double* address) { return ConstView{address, {1}, DType::f64, 0, 0, true}; };
  const Step by_value{.sizes = {3, 4099}}, by_address{.sizes = {3, 4099}, .rate = at(memory), .momentum = at(memory + 1)};
  EXPECT_EQ(run_on(device, by_address.as_case("by address"), DType::f32), run_on(device, by_value.as_case("by value"), DType::f32));
  device.release(memory, sizeof numbers);
}

// Beside f32 in the same launch, whole vectors or not.
TEST(CudaAdam, TakesGradientsInHalvesAsIfTheyHadBeenWidened) {
  for (const bool sliced : {false, true}) {
    Step step{.sizes = {33, 4099}, .scale = 4, .rounded = true, .sliced = sliced};
    const auto want = run_on(device_under_test(), step.as_case("f32"), DType::f32);
    for (const DType half : {DType::f16, DType::bf16}) {
      step.gradient = half;
      const auto got = run_on(device_under_test(), step.as_case("halves"), DType::f32);
      for (size_t o = 0; o < want.size(); ++o)
        for (size_t i = sliced ? 1 : 0; i < want[o].size(); ++i)  // of a slice the first element of a copy is not written
          ASSERT_EQ(got[o][i], want[o][i]) << name_of(half) << (sliced ? " sliced, " : ", ") << "output " << o << ", element " << i;
    }
  }
}

TEST(CudaAdam, RefusesAGradientOfIntegers) {
  Case c = Step{.sizes = {8, 8}, .gradient = DType::i64, .rounded = true}.as_case("integers");
  EXPECT_THROW(run_on(device_under_test(), c, DType::f32), DeviceError);
}

TEST(CudaAdam, OfNothingIsNoStep) { EXPECT_NO_THROW(device_under_test().backend().run(op::Adam{{}, kSpec, {}})); }

// No decay, no moments, no count, no copy: no bit changes.
TEST(CudaAdam, SkipsEverythingAfterAnOverflow) {
  const Case c = Step{.sizes = {1, 33, 4099}, .scale = 2, .overflow = 1}.as_case("overflow");
  const auto after = run_on(device_under_test(), c, DType::f32);
  for (size_t o = 0; o < after.size(); ++o) {
    for (size_t i = 0; i < after[o].size(); ++i) {
      const double before = c.out[o].values[i];
      EXPECT_EQ(after[o][i], c.out[o].kind == DType::f32 ? double{static_cast<float>(before)} : before) << o << " " << i;
    }
  }
}

TEST(CudaAdam, CopiesTheParameterRounded) {
  const auto after = run_on(device_under_test(), Step{.sizes = {1025}}.as_case("copy"), DType::f32);
  for (size_t i = 0; i < after[0].size(); ++i) ASSERT_EQ(after[4][i], double{static_cast<float>(Half(static_cast<float>(after[0][i])))});
}

TEST(CudaAdam, RefusesACopyThatIsNoHalf) {
  Case c = Step{.sizes = {8}, .copy = DType::f32}.as_case("an f32 copy");
  EXPECT_THROW(run_on(device_under_test(), c, DType::f32), DeviceError);
}

// --- The scaler --------------------------------------------------------------------------------------------------------------------------

double overflow_of(std::vector<Values> gradients, DType type, bool sliced = false) {
  Case c{.name = "check_finite", .in = std::move(gradients), .out = {scaler(8, 1)}};
  c.run = [sliced](Backend& backend, std::span<const ConstView> in, std::span<const View> out) {
    std::vector<ConstView> all(in.begin(), in.end());
    if (sliced)
      for (ConstView& gradient : all) gradient = tail(gradient);
    backend.run(op::CheckFinite{all, out[0]});
  };
  const auto state = run_on(device_under_test(), c, type)[0];
  EXPECT_EQ(state[0], 8);
  EXPECT_EQ(state[1], 0.125);
  EXPECT_EQ(state[3], 3);
  return state[2];
}

class CudaCheckFinite : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaCheckFinite, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

TEST_P(CudaCheckFinite, SeesOneBadElementWhereverItIs) {
  for (double bad : {std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), std::nan("")}) {
    for (int64_t n : {1, 5, 33, 1027, 2051, 3075, 4096, 4099}) {  // a chunk is four rounds of 1024
      for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
        std::vector<Values> gradients{uniform({7}, 1), uniform({n}, 2), uniform({65}, 3)};
        gradients[1].values[static_cast<size_t>(at)] = bad;
        ASSERT_EQ(overflow_of(gradients, GetParam()), 1) << n << " " << at;
        if (n > 1) {
          ASSERT_EQ(overflow_of(gradients, GetParam(), true), at == 0 ? 0 : 1) << "slice " << n << " " << at;
        }
      }
    }
  }
}

TEST_P(CudaCheckFinite, ClearsTheFlagWhereAllIsWell) {
  EXPECT_EQ(overflow_of({uniform({4099}, 1), uniform({0}, 1), uniform({3}, 2)}, GetParam()), 0);
  EXPECT_EQ(overflow_of({}, GetParam()), 0);
  EXPECT_EQ(overflow_of(std::vector<Values>(1000, uniform({3}, 2)), GetParam()), 0);
}

TEST_P(CudaCheckFinite, SeesTheLastOfMoreTensorsThanALaunchHolds) {
  std::vector<Values> gradients(1700, uniform({3}, 2));
  gradients.back().values[2] = std::nan("");
  EXPECT_EQ(overflow_of(gradients, GetParam()), 1);
}

TEST(CudaUpdateScale, FollowsTheRuleStepByStep) {
  Device& device = device_under_test();
  const ScalerSpec spec{.growth = 2, .backoff = 0.5, .interval = 3};
  float want[kScalerState] = {65536, 1 / 65536.0f, 0, 0};
  const DeviceTensor state(device, {{kScalerState}, {65536, 1 / 65536.0, 0, 0}, DType::f32}, DType::f32);
  for (int overflow : {0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0}) {
    want[2] = static_cast<float>(overflow);
    const auto flag = static_cast<float>(overflow);
    device.copy_from_host(static_cast<float*>(state.view().address) + 2, &flag, sizeof flag);
    step_scaler(want, spec);
    device.backend().run(op::UpdateScale{state.view(), spec});
    const auto got = state.read();
    for (size_t i = 0; i < kScalerState; ++i) ASSERT_EQ(got[i], double{want[i]});
  }
  EXPECT_EQ(want[0], 65536 * 2 / 2 / 2 / 2 * 2);
}

}  // namespace
}  // namespace mirilla::test
