// SPDX-License-Identifier: MIT
#include "kernels/core/half.h"
#include "tests/kernels/ptx/launch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <functional>
#include <limits>

// cvt and the arithmetic of halves, against PTX ISA 9.7.4 and 9.7.9. Roundings are found here by search: the two neighbours in the narrow
// format, and the rounding mode chooses one of them.

namespace mirilla::ptx {
namespace {

float f(u32 x) { return std::bit_cast<float>(x); }

enum class Way { kNearest, kZero, kAway };

/// All finite values of a 16-bit format in order are the patterns 0, 1, 2, ... of its magnitude.
template <class H>
u16 narrowed(double x, Way way = Way::kNearest, bool negative_zero = false) {
  if (std::isnan(x)) return 0x7fff;
  const u16 infinity = std::is_same_v<H, Half> ? 0x7c00 : 0x7f80;
  const u16 sign = std::signbit(x) || negative_zero ? 0x8000 : 0;
  const double magnitude = std::fabs(x);
  const auto value = [&](u32 bits) -> double {
    if (bits == infinity) return std::ldexp(1.0, std::is_same_v<H, Half> ? 16 : 128);  // where the next number would be
    return static_cast<float>(H::from_bits(static_cast<u16>(bits)));
  };
  if (std::isinf(x)) return sign | infinity;
  u32 low = 0, high = infinity;  // value(low) <= magnitude < value(high)
  if (magnitude >= value(infinity)) return sign | (way == Way::kZero ? infinity - 1 : infinity);
  while (high - low > 1) {
    const u32 middle = (low + high) / 2;
    (value(middle) <= magnitude ? low : high) = middle;
  }
  const double below = magnitude - value(low), above = value(high) - magnitude;
  bool up = false;
  if (way == Way::kNearest) up = below > above || (below == above && low % 2 == 1);
  if (way == Way::kAway) up = below >= above && below > 0;
  return static_cast<u16>(sign | (up ? high : low));
}

std::vector<u32> floats(u32 seed) {
  const std::vector<u32> corners{0,          0x80000000, 0x3f800000, 0xbf800000, 0x33000000, 0x33000001, 0x33800000, 0x387fc000,
                                 0x387fe000, 0x38800000, 0x477fe000, 0x477fefff, 0x477ff000, 0x47800000, 0x7f7fffff, 0xff7f8000,
                                 0x7f800000, 0xff800000, 0x7fc00000, 0xffffffff, 0x00000001, 0x80008000, 0x3f801000, 0x3f803000,
                                 0x3f808000, 0x3f818000, 0x4effffff, 0x4f000000, 0xcf000000, 0x5f7fffff, 0x437f8000, 0xc3008000};
  std::vector<u32> in;
  u32 x = seed * 2654435761u + 1;
  for (u32 l = 0; l < 32; ++l) {
    for (u32 k = 0; k < 3; ++k) {
      x = x * 1664525u + 1013904223u;
      in.push_back(seed == 0 ? corners[(l * (2 * k + 1) + k) % 32] : (x & 0x8fffffffu) | (0x30000000u + (x >> 7 & 0x17000000u)));
    }
  }
  return in;
}

std::string around(std::string_view instructions) {
  return "mul.wide.u32 %rd2, %r0, 12;\nadd.s64 %rd2, %rd0, %rd2;\nld.global.f32 %f1, [%rd2];\nld.global.f32 %f2, [%rd2+4];\nld.global.f32 "
         "%f3, [%rd2+8];\n"
         "mov.b32 %r1, %f1;\nmov.b32 %r2, %f2;\nmov.b32 %r3, %f3;\ncvt.rn.f16.f32 %h1, %f1;\ncvt.rn.f16.f32 %h2, %f2;\ncvt.rn.f16.f32 %h3, "
         "%f3;\n"
         "cvt.rn.bf16.f32 %h11, %f1;\ncvt.rn.bf16.f32 %h12, %f2;\ncvt.rn.bf16.f32 %h13, %f3;\n" +
         std::string(instructions) + "\nmul.wide.u32 %rd3, %r0, 4;\nadd.s64 %rd3, %rd1, %rd3;\nst.global.u32 [%rd3], %r4;\n";
}

struct Case {
  const char* name;
  std::string instruction;
  std::function<u32(float, float, float)> expected;
};
class PtxConvert : public testing::TestWithParam<Case> {};

TEST_P(PtxConvert, IsWhatTheIsaSays) {
  for (u32 seed = 0; seed < 10; ++seed) {
    const auto in = floats(seed);
    const auto out = run_words(around(GetParam().instruction), in);
    for (u32 l = 0; l < 32; ++l) {
      ASSERT_EQ(out[l], GetParam().expected(f(in[3 * l]), f(in[3 * l + 1]), f(in[3 * l + 2])))
          << GetParam().instruction << std::hex << " of " << in[3 * l] << ", " << in[3 * l + 1] << ", " << in[3 * l + 2];
    }
  }
}

const std::string kStore16 = "\ncvt.u32.u16 %r4, %h4;";
double h(float x) { return static_cast<float>(Half::from_bits(narrowed<Half>(x))); }
double b(float x) { return static_cast<float>(BFloat16::from_bits(narrowed<BFloat16>(x))); }

template <class I>
u32 to_integer(double x, double rounded_value) {
  if (std::isnan(x)) return 0;
  return static_cast<u32>(static_cast<I>(
      std::clamp(rounded_value, static_cast<double>(std::numeric_limits<I>::min()), static_cast<double>(std::numeric_limits<I>::max()))));
}
double even(double x) { return std::nearbyint(x); }

INSTANTIATE_TEST_SUITE_P(Forms, PtxConvert,
                         testing::ValuesIn(std::
                                               vector<Case>{
                                                   {"f16", "cvt.rn.f16.f32 %h4, %f1;" + kStore16,
                                                    [](float x, float, float) { return narrowed<Half>(x); }},
                                                   {"f16_rz", "cvt.rz.f16.f32 %h4, %f1;" + kStore16,
                                                    [](float x, float, float) { return narrowed<Half>(x, Way::kZero); }},
                                                   {"f16_relu", "cvt.rn.relu.f16x2.f32 %r4, %f1, %f2;",
                                                    [](float x, float y, float) {
                                                      const auto part = [](float v) -> u32 {
                                                        return std::isnan(v) ? 0x7fff : std::signbit(v) ? 0 : narrowed<Half>(v);
                                                      };
                                                      return part(x) << 16 | part(y);
                                                    }},
                                                   {"bf16", "cvt.rn.bf16.f32 %h4, %f1;" + kStore16,
                                                    [](float x, float, float) { return narrowed<BFloat16>(x); }},
                                                   {"bf16_rz", "cvt.rz.bf16.f32 %h4, %f1;" + kStore16,
                                                    [](float x, float, float) { return narrowed<BFloat16>(x, Way::kZero); }},
                                                   {"f16x2", "cvt.rn.f16x2.f32 %r4, %f1, %f2;",
                                                    [](float x, float y, float) {
                                                      return static_cast<u32>(narrowed<Half>(x)) << 16 | narrowed<Half>(y);
                                                    }},
                                                   {"bf16x2", "cvt.rn.bf16x2.f32 %r4, %f1, %f2;",
                                                    [](float x, float y, float) {
                                                      return static_cast<u32>(narrowed<BFloat16>(x)) << 16 | narrowed<BFloat16>(y);
                                                    }},
                                                   {"f16_widened", "cvt.f32.f16 %f4, %h1;\nmov.b32 %r4, %f4;",
                                                    [](float x, float, float) {
                                                      return std::isnan(x) ? 0x7fffe000 : std::bit_cast<u32>(static_cast<float>(h(x)));
                                                    }},
                                                   {"tf32_rna", "cvt.rna.tf32.f32 %r4, %f1;",
                                                    [](float x, float, float) {
                                                      const u32 bits = std::bit_cast<u32>(x);
                                                      if (std::isnan(x)) return 0x7fffe000u;
                                                      return std::isinf(x) ? bits : (bits + 0x1000u) & 0xffffe000u;  // ties away from zero
                                                    }},
                                                   {"s32_rzi", "cvt.rzi.s32.f32 %r4, %f1;",
                                                    [](float x, float, float) { return to_integer<s32>(x, std::trunc(x)); }},
                                                   {"u32_rzi", "cvt.rzi.u32.f32 %r4, %f1;",
                                                    [](float x, float, float) { return to_integer<u32>(x, std::trunc(x)); }},
                                                   {"s32_rni", "cvt.rni.s32.f32 %r4, %f1;",
                                                    [](float x, float, float) { return to_integer<s32>(x, even(x)); }},
                                                   {"s32_rmi", "cvt.rmi.s32.f32 %r4, %f1;",
                                                    [](float x, float, float) { return to_integer<s32>(x, std::floor(x)); }},
                                                   {"u32_rpi", "cvt.rpi.u32.f32 %r4, %f1;",
                                                    [](float x, float, float) { return to_integer<u32>(x, std::ceil(x)); }},
                                                   {"u8_rni", "cvt.rni.u8.f32 %r4, %f1;",
                                                    [](float x, float, float) { return to_integer<u8>(x, even(x)); }},
                                                   {"s32_f64_nan", "cvt.f64.f32 %fd1, %f1;\ncvt.rzi.s32.f64 %r4, %fd1;",
                                                    [](float x, float, float) {
                                                      return std::isnan(x) ? 0x80000000u : to_integer<s32>(x, std::trunc(x));
                                                    }},
                                                   {"s64_rzi",
                                                    "cvt.rzi.s64.f32 %rd4, %f1;\nshr.u64 %rd4, %rd4, 32;\ncvt.u32.u64 %r4, %rd4;",
                                                    [](float x, float, float) {
                                                      if (std::isnan(x)) return 0x80000000u;
                                                      const s64 value = x >= 0x1p63f    ? std::numeric_limits<s64>::max()
                                                                        : x <= -0x1p63f ? std::numeric_limits<s64>::min()
                                                                                        : static_cast<s64>(x);
                                                      return static_cast<u32>(static_cast<u64>(value) >> 32);
                                                    }},
                                                   {"f32_s32", "cvt.rn.f32.s32 %f4, %r1;\nmov.b32 %r4, %f4;",
                                                    [](float x, float, float) {
                                                      return std::bit_cast<u32>(static_cast<float>(std::bit_cast<s32>(x)));
                                                    }},
                                                   {"f32_u32_rz", "cvt.rz.f32.u32 %f4, %r1;\nmov.b32 %r4, %f4;",
                                                    [](float x, float, float) {
                                                      const u32 n = std::bit_cast<u32>(x);
                                                      float y = static_cast<float>(n);
                                                      if (static_cast<double>(y) > n) y = std::nextafter(y, 0.0f);
                                                      return std::bit_cast<u32>(y);
                                                    }},
                                                   {"f32_u64", "mov.b64 %rd4, {%r1, %r2};\ncvt.rn.f32.u64 %f4, %rd4;\nmov.b32 %r4, %f4;",
                                                    [](float x, float y, float) {
                                                      return std::bit_cast<u32>(
                                                          static_cast<float>(u64{std::bit_cast<u32>(y)} << 32 | std::bit_cast<u32>(x)));
                                                    }},
                                                   {"f16_s32", "cvt.rn.f16.s32 %h4, %r1;" + kStore16,
                                                    [](float x, float, float) { return narrowed<Half>(std::bit_cast<s32>(x)); }},
                                                   {"f16_add", "add.f16 %h4, %h1, %h2;" + kStore16,
                                                    [](float x, float y, float) { return narrowed<Half>(h(x) + h(y)); }},
                                                   {"f16_mul_sat", "mul.sat.f16 %h4, %h1, %h2;" + kStore16,
                                                    [](float x, float y, float) {
                                                      const double p = h(x) * h(y);
                                                      return std::isnan(p) || p < 0 ? 0 : narrowed<Half>(std::fabs(std::min(p, 1.0)));
                                                    }},
                                                   {"f16_fma", "fma.rn.f16 %h4, %h1, %h2, %h3;" + kStore16,
                                                    [](float x, float y, float z) {
                                                      return narrowed<Half>(
                                                          static_cast<double>(static_cast<long double>(h(x)) * h(y) + h(z)));
                                                    }},
                                                   {"f16_fma_ftz", "fma.rn.ftz.f16 %h4, %h1, %h2, %h3;" + kStore16,
                                                    [](float x, float y, float z) {
                                                      const auto flushed = [](double v) {
                                                        return std::fabs(v) < 0x1p-14 ? std::copysign(0.0, v) : v;
                                                      };
                                                      const double r = flushed(h(x)) * flushed(h(y)) + flushed(h(z));
                                                      const u16 bits = narrowed<Half>(r);
                                                      return static_cast<u32>((bits & 0x7c00) == 0 ? bits & 0x8000 : bits);
                                                    }},
                                                   {"f16_max_nan", "max.NaN.f16 %h4, %h1, %h2;" + kStore16,
                                                    [](float x, float y, float) {
                                                      return std::isnan(x) || std::isnan(y)
                                                                 ? 0x7fff
                                                                 : narrowed<Half>(h(x) == h(y) ? (std::signbit(x) ? h(y) : h(x))
                                                                                               : std::fmax(h(x), h(y)));
                                                    }},
                                                   {"f16x2_sub",
                                                    "mov.b32 %r5, {%h1, %h2};\nmov.b32 %r6, {%h2, %h3};\nsub.f16x2 %r4, %r5, %r6;",
                                                    [](float x, float y, float z) {
                                                      return narrowed<Half>(h(x) - h(y)) | static_cast<u32>(narrowed<Half>(h(y) - h(z)))
                                                                                               << 16;
                                                    }},
                                                   {"bf16_fma", "fma.rn.bf16 %h4, %h11, %h12, %h13;" + kStore16,
                                                    [](float x, float y, float z) { return narrowed<BFloat16>(b(x) * b(y) + b(z)); }},
                                                   {"bf16_fma_relu", "fma.rn.relu.bf16 %h4, %h11, %h12, %h13;" + kStore16,
                                                    [](float x, float y, float z) {
                                                      const double r = b(x) * b(y) + b(z);
                                                      return std::isnan(r) ? 0x7fff : r <= 0 ? 0 : narrowed<BFloat16>(r);
                                                    }},
                                                   {"bf16x2_min",
                                                    "mov.b32 %r5, {%h11, %h12};\nmov.b32 %r6, {%h12, %h13};\nmin.bf16x2 %r4, %r5, %r6;",
                                                    [](float x, float y, float z) {
                                                      const auto least = [](double p, double q) -> u32 {
                                                        return std::isnan(p)   ? narrowed<BFloat16>(q)
                                                               : std::isnan(q) ? narrowed<BFloat16>(p)
                                                               : p == q        ? narrowed<BFloat16>(std::signbit(p) ? p : q)
                                                                               : narrowed<BFloat16>(std::min(p, q));
                                                      };
                                                      return least(b(x), b(y)) | least(b(y), b(z)) << 16;
                                                    }},
                                                   {"f16_setp", "setp.gt.f16 %p1, %h1, %h2;\nselp.u32 %r4, 1, 0, %p1;",
                                                    [](float x, float y, float) { return h(x) > h(y) ? 1u : 0u; }},
                                                   {"f16x2_set",
                                                    "mov.b32 %r5, {%h1, %h2};\nmov.b32 %r6, {%h2, %h3};\n"
                                                    "set.gtu.u32.f16x2 %r4, %r5, %r6;",
                                                    [](float x, float y, float z) {
                                                      return (h(x) <= h(y) ? 0 : 0xffffu) | (h(y) <= h(z) ? 0 : 0xffffu) << 16;
                                                    }},
                                                   {"bf16x2_set",
                                                    "mov.b32 %r5, {%h11, %h12};\nmov.b32 %r6, {%h12, %h13};\n"
                                                    "set.lt.bf16x2.bf16x2 %r4, %r5, %r6;",
                                                    [](float x, float y, float z) {
                                                      return (b(x) < b(y) ? 0x3f80u : 0) | (b(y) < b(z) ? 0x3f80u : 0) << 16;
                                                    }},
                                                   {"f16x2_neg", "mov.b32 %r5, {%h1, %h2};\nneg.f16x2 %r4, %r5;",
                                                    [](float x, float y, float) {
                                                      return (narrowed<Half>(x) ^ 0x8000u) | (narrowed<Half>(y) ^ 0x8000u) << 16;
                                                    }},
                                               }),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace mirilla::ptx
