// SPDX-License-Identifier: MIT
#include <bit>
#include <limits>

#include "kernels/host/threads.h"
#include "tests/kernels/cpu/support.h"

namespace mirilla::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

class CpuElementwise : public CpuTest {};
INSTANTIATE_TEST_SUITE_P(EveryWay, CpuElementwise, every_way(), case_name);

TEST_P(CpuElementwise, AddMultiplyAndScaleAgreeWithTheReference) {
  for (const int64_t n : sizes()) {
    const Floats a = random({n}, 1), b = random({n}, 2), one = random({1}, 3);
    Floats y = poisoned({n});
    Doubles want({n});
    const auto da = widened(a), db = widened(b), done = widened(one);
    cpu_.run(op::Add{a.view(), b.view(), y.view()});
    reference_.run(op::Add{da.view(), db.view(), want.view()});
    expect_close(y, want, 1e-7);
    cpu_.run(op::Multiply{a.view(), b.view(), y.view()});
    reference_.run(op::Multiply{da.view(), db.view(), want.view()});
    expect_close(y, want, 1e-7);
    cpu_.run(op::Multiply{a.view(), one.view(), y.view()});
    reference_.run(op::Multiply{da.view(), done.view(), want.view()});
    expect_close(y, want, 1e-7);
    cpu_.run(op::Scale{a.view(), 0.3, y.view()});
    reference_.run(op::Scale{da.view(), 0.3, want.view()});
    expect_close(y, want, 2e-7);
  }
}

TEST_P(CpuElementwise, AddAndScaleMayWriteOverAnInput) {
  const Floats a = random({50001}, 1), b = random({50001}, 2);
  Floats apart = poisoned({50001}), over_a = a, over_b = b, scaled = a;
  cpu_.run(op::Add{a.view(), b.view(), apart.view()});
  cpu_.run(op::Add{over_a.view(), b.view(), over_a.view()});
  cpu_.run(op::Add{a.view(), over_b.view(), over_b.view()});
  expect_same_bits(over_a, apart);
  expect_same_bits(over_b, apart);
  cpu_.run(op::Scale{a.view(), -2, apart.view()});
  cpu_.run(op::Scale{scaled.view(), -2, scaled.view()});
  expect_same_bits(scaled, apart);
}

TEST_P(CpuElementwise, AddBiasAgreesWithTheReferenceAlsoInPlace) {
  for (const Shape& shape : {Shape{0, 3}, Shape{1, 1}, Shape{7, 33}, Shape{32, 512}, Shape{3, 5, 7, 17}, Shape{40000, 2}}) {
    const Floats x = random(shape, 1), bias = random({shape[-1]}, 2);
    const Doubles dx = widened(x), dbias = widened(bias);
    Floats y = poisoned(shape), over = x;
    Doubles want(shape);
    cpu_.run(op::AddBias{x.view(), bias.view(), y.view()});
    reference_.run(op::AddBias{dx.view(), dbias.view(), want.view()});
    expect_close(y, want, 1e-7);
    cpu_.run(op::AddBias{over.view(), bias.view(), over.view()});
    expect_same_bits(over, y);
  }
}

TEST_P(CpuElementwise, ReluLetsNanPassAndItsGradientStopsAtTheKink) {
  for (const int64_t n : sizes()) {
    Floats x = random({n}, 4);
    if (n > 2) x.values[1] = kNan, x.values[2] = -0.f;
    const Floats dy = random({n}, 5);
    const Doubles wide = widened(x), wide_dy = widened(dy);
    Floats y = poisoned({n}), dx = poisoned({n});
    Doubles want_y({n}), want_dx({n});
    cpu_.run(op::Relu{x.view(), y.view()});
    reference_.run(op::Relu{wide.view(), want_y.view()});
    expect_close(y, want_y, 0);
    cpu_.run(op::ReluBackward{dy.view(), y.view(), dx.view()});
    reference_.run(op::ReluBackward{wide_dy.view(), want_y.view(), want_dx.view()});
    expect_close(dx, want_dx, 0);
  }
}

TEST_P(CpuElementwise, DropoutKeepsWhatTheReferenceKeeps) {
  for (const double p : {0.0, 0.25, 0.5, 0.999}) {
    for (const int64_t n : sizes()) {
      const DropoutSpec spec{.p = p, .key = {.seed = 0x123456789abcdefULL, .purpose = Purpose::kDropout, .step = 7, .item = 3}};
      const Floats x = random({n}, 6, 0.5f, 1.5f);
      const Doubles wide = widened(x);
      Floats y = poisoned({n});
      Doubles want({n});
      cpu_.run(op::Dropout{x.view(), spec, y.view()});
      reference_.run(op::Dropout{wide.view(), spec, want.view()});
      expect_close(y, want, 2e-7);
    }
  }
}

TEST_P(CpuElementwise, FillWritesEveryDtype) {
  Array<float> f({33001});
  Array<Half> h({33001});
  Array<BFloat16> b({33001});
  Array<uint8_t> u({33001});
  Array<int64_t> i({33001});
  cpu_.run(op::Fill{f.view(), 1.5});
  cpu_.run(op::Fill{h.view(), 1.5});
  cpu_.run(op::Fill{b.view(), 1.5});
  cpu_.run(op::Fill{u.view(), 7});
  cpu_.run(op::Fill{i.view(), -7});
  for (size_t at = 0; at < 33001; ++at) {
    ASSERT_EQ(f.values[at], 1.5f);
    ASSERT_EQ(static_cast<float>(h.values[at]), 1.5f);
    ASSERT_EQ(static_cast<float>(b.values[at]), 1.5f);
    ASSERT_EQ(u.values[at], 7);
    ASSERT_EQ(i.values[at], -7);
  }
}

template <class To, class From>
void expect_reference_cast(CpuBackend& cpu, ReferenceBackend& reference, const Array<From>& x) {
  Array<To> got(x.shape), want(x.shape);
  cpu.run(op::Cast{x.view(), got.view()});
  if constexpr (std::is_same_v<To, From>) {
    want = x;  // a copy, signalling NaNs and all
  } else {
    reference.run(op::Cast{x.view(), want.view()});
  }
  const size_t bytes = got.values.size() * sizeof(To);
  EXPECT_EQ(std::memcmp(got.values.data(), want.values.data(), bytes), 0) << name_of(kDTypeOf<From>) << " to " << name_of(kDTypeOf<To>);
}

template <class From>
void expect_reference_casts(CpuBackend& cpu, ReferenceBackend& reference, const Array<From>& x) {
  expect_reference_cast<float>(cpu, reference, x);
  expect_reference_cast<Half>(cpu, reference, x);
  expect_reference_cast<BFloat16>(cpu, reference, x);
  expect_reference_cast<uint8_t>(cpu, reference, x);
  expect_reference_cast<int64_t>(cpu, reference, x);
}

TEST_P(CpuElementwise, CastAgreesWithTheReferenceToTheBit) {
  Floats f = random({40001}, 8, -70000.f, 70000.f);
  const std::vector<float> special{0.f, -0.f, 255.f, 256.f, -1.f, kInf, -kInf, kNan, 65519.f, 65520.f, 1e-8f, 3e38f, 1e19f, -1e19f};
  std::copy(special.begin(), special.end(), f.values.begin());
  expect_reference_casts(cpu_, reference_, f);
  Array<int64_t> i({20001});
  for (size_t at = 0; at < i.values.size(); ++at) {
    const auto bits = RandomKey{.seed = 9}.block(static_cast<uint32_t>(at));
    i.values[at] = static_cast<int64_t>((uint64_t{bits[0]} << 32 | bits[1]) >> (bits[2] % 64)) * (bits[3] % 2 ? 1 : -1);
  }
  i.values[0] = std::numeric_limits<int64_t>::max();
  i.values[1] = std::numeric_limits<int64_t>::min();
  expect_reference_casts(cpu_, reference_, i);
  Array<uint8_t> u({256});
  for (size_t at = 0; at < 256; ++at) u.values[at] = static_cast<uint8_t>(at);
  expect_reference_casts(cpu_, reference_, u);
  Array<Half> h({65536});
  Array<BFloat16> b({65536});
  for (size_t at = 0; at < 65536; ++at) {
    h.values[at] = Half::from_bits(static_cast<uint16_t>(at));
    b.values[at] = BFloat16::from_bits(static_cast<uint16_t>(at));
  }
  expect_reference_casts(cpu_, reference_, h);
  expect_reference_casts(cpu_, reference_, b);
}

// Around each half and each tie between two of them, of either sign: subnormals, what rounds to nothing and to infinity, NaN with payloads.
TEST_P(CpuElementwise, FloatsRoundToHalvesAsTheReferenceRoundsThem) {
  std::vector<float> floats;
  for (uint32_t half = 0; half < 65536; ++half) {
    const uint32_t at = std::bit_cast<uint32_t>(Half::to_float(static_cast<uint16_t>(half)));
    for (const uint32_t step : {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x1fffu}) floats.push_back(std::bit_cast<float>(at + step));
  }
  for (int fraction = 0; fraction < 4096; ++fraction)  // of 2^-24, the smallest half
    for (const float sign : {1.f, -1.f}) floats.push_back(sign * 0x1p-26f * static_cast<float>(fraction));
  for (uint32_t bits = 0; bits < 0xff800000u; bits += 0x10001u) floats.push_back(std::bit_cast<float>(bits));
  Array<float> x({static_cast<int64_t>(floats.size())});
  x.values.assign(floats.begin(), floats.end());
  expect_reference_cast<Half>(cpu_, reference_, x);
}

TEST_P(CpuElementwise, SumsAreCloseToTheSumOfMagnitudes) {
  for (const int64_t n : sizes()) {
    const Floats x = random({n}, 10);
    const Doubles wide = widened(x), sizes_of = magnitudes(wide);
    Floats y = poisoned(Shape{});
    Doubles want(Shape{}), scale(Shape{});
    cpu_.run(op::Sum{x.view(), y.view()});
    reference_.run(op::Sum{wide.view(), want.view()});
    reference_.run(op::Sum{sizes_of.view(), scale.view()});
    expect_close(y, want, 1e-6, &scale);
  }
  for (const Shape& shape :
       {Shape{0, 3}, Shape{1, 1}, Shape{2, 33}, Shape{32, 1030}, Shape{3, 31, 7, 17}, Shape{70001, 2}, Shape{5000, 64}}) {
    const Floats x = random(shape, 11);
    const Doubles wide = widened(x), sizes_of = magnitudes(wide);
    Floats y = poisoned({shape[-1]});
    Doubles want({shape[-1]}), scale({shape[-1]});
    cpu_.run(op::SumRows{x.view(), y.view()});
    reference_.run(op::SumRows{wide.view(), want.view()});
    reference_.run(op::SumRows{sizes_of.view(), scale.view()});
    expect_close(y, want, 1e-6, &scale);
  }
}

TEST_P(CpuElementwise, ArgmaxTakesTheFirstOfEqualsAndANan) {
  Floats x({5, 4});
  x.values = {1, 3, 3, 2, kNan, 9, kNan, 1, -5, -4, -3, -4, 0, kInf, kNan, kNan, 2, 2, 2, 2};
  Array<int64_t> y({5}, -1);
  cpu_.run(op::Argmax{x.view(), y.view()});
  EXPECT_EQ(y.values, (std::vector<int64_t>{1, 0, 2, 2, 0}));
  const Floats big = random({999, 37}, 12);
  Array<int64_t> got({999}, -1), want({999}, -2);
  cpu_.run(op::Argmax{big.view(), got.view()});
  reference_.run(op::Argmax{big.view(), want.view()});
  EXPECT_EQ(got.values, want.values);
}

TEST(Cpu, RefusesDtypesThatItDoesNotComputeIn) {
  CpuBackend cpu;
  const Doubles x({4}, 1.0);
  Doubles y({4});
  try {
    cpu.run(op::Relu{x.view(), y.view()});
    FAIL() << "f64 was accepted";
  } catch (const DeviceError& e) {
    EXPECT_EQ(e.message(), "the device 'cpu' has no f64 relu");
    EXPECT_EQ(e.hint(), "f64 exists on the device 'reference' only");
  }
  const Array<Half> h({4});
  Array<Half> to({4});
  EXPECT_THROW(cpu.run(op::Add{h.view(), h.view(), to.view()}), DeviceError);
  EXPECT_THROW(cpu.run(op::Cast{x.view(), to.view()}), DeviceError);
}

TEST(Cpu, SaysWhatItComputesWith) {
  set_host_threads(2);
  EXPECT_EQ(cpu_description().substr(0, 11), "2 threads, ");
  set_host_threads(1);
  EXPECT_EQ(cpu_description().substr(0, 10), "1 thread, ");
  set_host_threads(0);
  EXPECT_NE(cpu_description().find("oneDNN"), std::string::npos);
  EXPECT_NE(cpu_description().find(cpu::loops().title), std::string::npos);
}

TEST(Cpu, RefusesAnInstructionSetThatIsNotThere) { EXPECT_THROW(cpu::use_loops("avx1024"), DeviceError); }

}  // namespace
}  // namespace mirilla::test
