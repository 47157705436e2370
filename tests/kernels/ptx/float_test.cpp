// SPDX-License-Identifier: MIT
#include "tests/kernels/ptx/launch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <functional>
#include <limits>

// Single and double precision against PTX ISA 9.7.3: rounding by <cfenv>, subnormals, NaN, signed zeros, saturation.

namespace mirilla::ptx {
namespace {

constexpr u32 kNan = 0x7fffffff;
const std::vector<u32> kFloats{0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x3f000001, 0x40490fdb, 0x00000001, 0x80000001,
                               0x007fffff, 0x00800000, 0x807fffff, 0x80800000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000,
                               0x7fc00000, 0xffc12345, 0x7f800001, 0x33800000, 0x4b800001, 0x4f000000, 0xcf000000, 0x5f000000,
                               0xdf000001, 0x3eaaaaab, 0x3f7fffff, 0x3f800001, 0x0d800000, 0x2f800000, 0x477fe000, 0x41200000};

float f(u32 x) { return std::bit_cast<float>(x); }
u32 bits(float x) { return std::isnan(x) ? kNan : std::bit_cast<u32>(x); }
float ftz(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; }
float sat(float x) { return std::isnan(x) ? 0.0f : std::fmin(std::fmax(x, 0.0f), 1.0f) + 0.0f; }

template <class F>
float rounded(int mode, F compute) {
  std::fesetround(mode);
  const volatile float result = compute();
  std::fesetround(FE_TONEAREST);
  return result;
}
volatile float hold;  // prevents the compiler from computing before the rounding mode is set
float held(float x) {
  hold = x;
  return hold;
}

std::string around(std::string_view instructions) {
  return "mul.wide.u32 %rd2, %r0, 12;\nadd.s64 %rd2, %rd0, %rd2;\nld.global.f32 %f1, [%rd2];\nld.global.f32 %f2, [%rd2+4];\nld.global.f32 "
         "%f3, [%rd2+8];\n" +
         std::string(instructions) + "\nmul.wide.u32 %rd3, %r0, 4;\nadd.s64 %rd3, %rd1, %rd3;\nst.global.b32 [%rd3], %f4;\n";
}

struct Case {
  const char* name;
  const char* instruction;
  std::function<u32(float, float, float)> expected;
};
class PtxFloat : public testing::TestWithParam<Case> {};

TEST_P(PtxFloat, IsWhatTheIsaSays) {
  for (u32 seed = 0; seed < 32; ++seed) {
    std::vector<u32> in;
    for (u32 l = 0; l < 32; ++l) {
      for (u32 word : {kFloats[l], kFloats[(l + seed) % 32], kFloats[(7 * l + 3 * seed) % 32]}) in.push_back(word);
    }
    const auto out = run_words(around(GetParam().instruction), in);
    for (u32 l = 0; l < 32; ++l) {
      const float a = f(in[3 * l]), b = f(in[3 * l + 1]), c = f(in[3 * l + 2]);
      ASSERT_EQ(out[l], GetParam().expected(a, b, c))
          << GetParam().instruction << std::hex << " of " << in[3 * l] << ", " << in[3 * l + 1] << ", " << in[3 * l + 2];
    }
  }
}

float least(float a, float b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) ? b : a;
  if (a == 0 && b == 0) return std::signbit(a) ? a : b;
  return a < b ? a : b;
}
float most(float a, float b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) ? b : a;
  if (a == 0 && b == 0) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}

INSTANTIATE_TEST_SUITE_P(
    Forms, PtxFloat,
    testing::ValuesIn(std::vector<Case>{
        {"add", "add.f32 %f4, %f1, %f2;", [](float a, float b, float) { return bits(a + b); }},
        {"add_rz", "add.rz.f32 %f4, %f1, %f2;",
         [](float a, float b, float) { return bits(rounded(FE_TOWARDZERO, [&] { return held(a) + held(b); })); }},
        {"add_rm", "add.rm.f32 %f4, %f1, %f2;",
         [](float a, float b, float) { return bits(rounded(FE_DOWNWARD, [&] { return held(a) + held(b); })); }},
        {"add_rp_ftz", "add.rp.ftz.f32 %f4, %f1, %f2;",
         [](float a, float b, float) { return bits(ftz(rounded(FE_UPWARD, [&] { return held(ftz(a)) + held(ftz(b)); }))); }},
        {"add_sat", "add.sat.f32 %f4, %f1, %f2;", [](float a, float b, float) { return bits(sat(a + b)); }},
        {"sub_ftz", "sub.ftz.f32 %f4, %f1, %f2;", [](float a, float b, float) { return bits(ftz(ftz(a) - ftz(b))); }},
        {"mul", "mul.f32 %f4, %f1, %f2;", [](float a, float b, float) { return bits(a * b); }},
        {"mul_ftz", "mul.ftz.f32 %f4, %f1, %f2;", [](float a, float b, float) { return bits(ftz(ftz(a) * ftz(b))); }},
        {"mul_rz", "mul.rz.f32 %f4, %f1, %f2;",
         [](float a, float b, float) { return bits(rounded(FE_TOWARDZERO, [&] { return held(a) * held(b); })); }},
        {"fma", "fma.rn.f32 %f4, %f1, %f2, %f3;", [](float a, float b, float c) { return bits(std::fma(a, b, c)); }},
        {"fma_rm", "fma.rm.f32 %f4, %f1, %f2, %f3;",
         [](float a, float b, float c) { return bits(rounded(FE_DOWNWARD, [&] { return std::fma(held(a), held(b), held(c)); })); }},
        {"fma_rp", "fma.rp.f32 %f4, %f1, %f2, %f3;",
         [](float a, float b, float c) { return bits(rounded(FE_UPWARD, [&] { return std::fma(held(a), held(b), held(c)); })); }},
        {"fma_ftz_sat", "fma.rn.ftz.sat.f32 %f4, %f1, %f2, %f3;",
         [](float a, float b, float c) { return bits(sat(ftz(std::fma(ftz(a), ftz(b), ftz(c))))); }},
        {"mad", "mad.rn.f32 %f4, %f1, %f2, %f3;", [](float a, float b, float c) { return bits(std::fma(a, b, c)); }},
        {"div_rn", "div.rn.f32 %f4, %f1, %f2;", [](float a, float b, float) { return bits(a / b); }},
        {"div_rp", "div.rp.f32 %f4, %f1, %f2;",
         [](float a, float b, float) { return bits(rounded(FE_UPWARD, [&] { return held(a) / held(b); })); }},
        {"rcp_rn", "rcp.rn.f32 %f4, %f1;", [](float a, float, float) { return bits(1.0f / a); }},
        {"rcp_rz", "rcp.rz.f32 %f4, %f1;",
         [](float a, float, float) { return bits(rounded(FE_TOWARDZERO, [&] { return 1.0f / held(a); })); }},
        {"sqrt_rn", "sqrt.rn.f32 %f4, %f1;", [](float a, float, float) { return bits(std::sqrt(a)); }},
        {"sqrt_rm", "sqrt.rm.f32 %f4, %f1;",
         [](float a, float, float) { return bits(rounded(FE_DOWNWARD, [&] { return std::sqrt(held(a)); })); }},
        {"min", "min.f32 %f4, %f1, %f2;", [](float a, float b, float) { return bits(least(a, b)); }},
        {"min_nan", "min.NaN.f32 %f4, %f1, %f2;",
         [](float a, float b, float) { return std::isnan(a) || std::isnan(b) ? kNan : bits(least(a, b)); }},
        {"max", "max.f32 %f4, %f1, %f2;", [](float a, float b, float) { return bits(most(a, b)); }},
        {"max_ftz", "max.ftz.f32 %f4, %f1, %f2;", [](float a, float b, float) { return bits(most(ftz(a), ftz(b))); }},
        {"max_xorsign", "max.xorsign.abs.f32 %f4, %f1, %f2;",
         [](float a, float b, float) {
           const float magnitude = most(std::fabs(a), std::fabs(b));
           return std::isnan(magnitude) ? kNan : bits(std::signbit(a) != std::signbit(b) ? -magnitude : magnitude);
         }},
        {"abs", "abs.f32 %f4, %f1;", [](float a, float, float) { return std::bit_cast<u32>(a) & 0x7fffffff; }},
        {"neg", "neg.f32 %f4, %f1;", [](float a, float, float) { return std::bit_cast<u32>(a) ^ 0x80000000; }},
        {"copysign", "copysign.f32 %f4, %f1, %f2;",
         [](float a, float b, float) { return (std::bit_cast<u32>(b) & 0x7fffffff) | (std::bit_cast<u32>(a) & 0x80000000); }},
        {"setp_lt", "setp.lt.f32 %p1, %f1, %f2;\nselp.f32 %f4, 0f3F800000, 0f00000000, %p1;",
         [](float a, float b, float) { return a < b ? 0x3f800000u : 0u; }},
        {"setp_leu", "setp.leu.f32 %p1, %f1, %f2;\nselp.f32 %f4, 0f3F800000, 0f00000000, %p1;",
         [](float a, float b, float) { return a <= b || std::isunordered(a, b) ? 0x3f800000u : 0u; }},
        {"setp_ne", "setp.ne.f32 %p1, %f1, %f2;\nselp.f32 %f4, 0f3F800000, 0f00000000, %p1;",
         [](float a, float b, float) { return a != b && !std::isunordered(a, b) ? 0x3f800000u : 0u; }},
        {"setp_neu", "setp.neu.f32 %p1, %f1, %f2;\nselp.f32 %f4, 0f3F800000, 0f00000000, %p1;",
         [](float a, float b, float) { return a != b || std::isunordered(a, b) ? 0x3f800000u : 0u; }},
        {"setp_equ", "setp.equ.ftz.f32 %p1, %f1, %f2;\nselp.f32 %f4, 0f3F800000, 0f00000000, %p1;",
         [](float a, float b, float) { return ftz(a) == ftz(b) || std::isunordered(a, b) ? 0x3f800000u : 0u; }},
        {"setp_nan", "setp.nan.f32 %p1, %f1, %f2;\nselp.f32 %f4, 0f3F800000, 0f00000000, %p1;",
         [](float a, float b, float) { return std::isunordered(a, b) ? 0x3f800000u : 0u; }},
        {"testp", "testp.subnormal.f32 %p1, %f1;\nselp.f32 %f4, 0f3F800000, 0f00000000, %p1;",
         [](float a, float, float) { return std::fpclassify(a) == FP_SUBNORMAL ? 0x3f800000u : 0u; }},
        {"slct", "slct.f32.f32 %f4, %f1, %f2, %f3;", [](float a, float b, float c) { return std::bit_cast<u32>(c >= 0 ? a : b); }},
        {"set_f32", "set.gt.f32.f32 %f4, %f1, %f2;", [](float a, float b, float) { return a > b ? 0x3f800000u : 0u; }},
        {"cvt_sat", "cvt.sat.f32.f32 %f4, %f1;", [](float a, float, float) { return bits(sat(a)); }},
        {"cvt_rni", "cvt.rni.f32.f32 %f4, %f1;", [](float a, float, float) { return bits(std::nearbyint(a)); }},
        {"cvt_rpi", "cvt.rpi.f32.f32 %f4, %f1;", [](float a, float, float) { return bits(std::ceil(a)); }},
        {"cvt_rmi_ftz", "cvt.rmi.ftz.f32.f32 %f4, %f1;", [](float a, float, float) { return bits(std::floor(ftz(a))); }},
        {"f64_fma",
         "cvt.f64.f32 %fd1, %f1;\ncvt.f64.f32 %fd2, %f2;\ncvt.f64.f32 %fd3, %f3;\nfma.rn.f64 %fd4, %fd1, %fd2, %fd3;\ncvt.rn.f32.f64 %f4, "
         "%fd4;",
         [](float a, float b, float c) { return bits(static_cast<float>(std::fma(double(a), double(b), double(c)))); }},
        {"f64_div_rz", "cvt.f64.f32 %fd1, %f1;\ncvt.f64.f32 %fd2, %f2;\ndiv.rn.f64 %fd4, %fd1, %fd2;\ncvt.rz.f32.f64 %f4, %fd4;",
         [](float a, float b, float) {
           const volatile double q = double(a) / double(b);
           return bits(rounded(FE_TOWARDZERO, [&] { return static_cast<float>(q); }));
         }},
        {"f64_min", "cvt.f64.f32 %fd1, %f1;\ncvt.f64.f32 %fd2, %f2;\nmin.f64 %fd4, %fd1, %fd2;\ncvt.rn.f32.f64 %f4, %fd4;",
         [](float a, float b, float) { return bits(least(a, b)); }},
    }),
    [](const auto& one) { return std::string(one.param.name); });

struct Near {
  const char* name;
  const char* instruction;
  double (*expected)(double);
  double error;  // relative to the result, as in the ISA, or absolute for sin and cos
};
class PtxApproximate : public testing::TestWithParam<Near> {};

TEST_P(PtxApproximate, IsAsNearAsTheIsaSays) {
  std::vector<u32> in;
  for (u32 l = 0; l < 32; ++l) {
    for (u32 k = 0; k < 3; ++k) in.push_back(std::bit_cast<u32>(0.1f + 0.19f * static_cast<float>(l)));
  }
  const auto out = run_words(around(GetParam().instruction), in);
  for (u32 l = 0; l < 32; ++l) {
    const double x = f(in[3 * l]), expected = GetParam().expected(x);
    EXPECT_NEAR(f(out[l]), expected, GetParam().error * std::max(1.0, std::fabs(expected))) << GetParam().instruction << " of " << x;
  }
}
INSTANTIATE_TEST_SUITE_P(Forms, PtxApproximate,
                         testing::Values(Near{"sin", "sin.approx.f32 %f4, %f1;", std::sin, 0x1p-20},
                                         Near{"cos", "cos.approx.ftz.f32 %f4, %f1;", std::cos, 0x1p-20},
                                         Near{"ex2", "ex2.approx.ftz.f32 %f4, %f1;", std::exp2, 0x1p-22},
                                         Near{"lg2", "lg2.approx.f32 %f4, %f1;", std::log2, 0x1p-22},
                                         Near{"tanh", "tanh.approx.f32 %f4, %f1;", std::tanh, 0x1p-11},
                                         Near{"rsqrt", "rsqrt.approx.f32 %f4, %f1;", [](double x) { return 1 / std::sqrt(x); }, 0x1p-22},
                                         Near{"div", "div.full.f32 %f4, %f1, 0f40400000;", [](double x) { return x / 3; }, 0x1p-22},
                                         Near{"rcp64", "cvt.f64.f32 %fd1, %f1;\nrcp.approx.ftz.f64 %fd2, %fd1;\ncvt.rn.f32.f64 %f4, %fd2;",
                                              [](double x) { return 1 / x; }, 0x1p-19}),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(PtxFloatCorner, DividingByTheVeryLargeApproximatelyGivesZero) {  // ISA, div.approx
  const auto out = run_words(around("div.approx.f32 %f4, %f1, %f2;"), [] {
    std::vector<u32> in(96, 0x3f800000);
    in[1] = 0x7f000000;                      // 2^127
    in[3] = 0x7f800000, in[4] = 0x7f000000;  // infinity over 2^127
    return in;
  }());
  EXPECT_EQ(out[0], 0u);
  EXPECT_EQ(out[1], kNan);
  EXPECT_EQ(out[2], 0x3f800000u);
}

}  // namespace
}  // namespace mirilla::ptx
