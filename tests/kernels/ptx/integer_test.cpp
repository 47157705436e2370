// SPDX-License-Identifier: MIT
#include "tests/kernels/ptx/launch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

// Integer forms against PTX ISA 9.7.1, 9.7.2 and 9.7.8, over corner cases and random values. Expected results are computed here
// independently.

namespace mirilla::ptx {
namespace {

const std::vector<u32> kCorners{0,          1,          2,          3,          31,         32,         33,         63,
                                64,         127,        128,        255,        256,        0x7fff,     0x8000,     0xffff,
                                0x10000,    0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff, 0x12345678, 0xdeadbeef,
                                0x0f0f0f0f, 0xf0f0f0f0, 0x00ff00ff, 0x55555555, 0xaaaaaaaa, 0xcafe0000, 0x0000cafe, 0x800000ff};

u32 mixed(u32 x) {
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  return x ^ (x >> 16);
}

// Three operands per lane: corner cases first, then random values.
std::vector<u32> operands(u32 seed) {
  std::vector<u32> words;
  for (u32 l = 0; l < 32; ++l) {
    words.push_back(kCorners[(l + seed) % 32]);
    words.push_back(seed % 3 == 0 ? mixed(l * 7 + seed) : kCorners[(5 * l + 3 * seed) % 32]);
    words.push_back(seed % 2 == 0 ? mixed(l * 13 + seed) : kCorners[(11 * l + seed) % 32]);
  }
  return words;
}

// %r1, %r2, %r3 are the operands and %r4 the result.
std::string around(std::string_view instructions) {
  return "mul.wide.u32 %rd2, %r0, 12;\nadd.s64 %rd2, %rd0, %rd2;\nld.global.u32 %r1, [%rd2];\nld.global.u32 %r2, [%rd2+4];\nld.global.u32 "
         "%r3, [%rd2+8];\n" +
         std::string(instructions) + "\nmul.wide.u32 %rd3, %r0, 4;\nadd.s64 %rd3, %rd1, %rd3;\nst.global.u32 [%rd3], %r4;\n";
}

struct Case {
  const char* name;
  const char* instruction;
  std::function<u32(u32, u32, u32)> expected;
};

class PtxInteger : public testing::TestWithParam<Case> {};

TEST_P(PtxInteger, IsWhatTheIsaSays) {
  for (u32 seed = 0; seed < 12; ++seed) {
    const auto in = operands(seed);
    const auto out = run_words(around(GetParam().instruction), in);
    for (u32 l = 0; l < 32; ++l) {
      const u32 a = in[3 * l], b = in[3 * l + 1], c = in[3 * l + 2];
      ASSERT_EQ(out[l], GetParam().expected(a, b, c)) << GetParam().instruction << std::hex << " of " << a << ", " << b << ", " << c;
    }
  }
}

s32 s(u32 x) { return static_cast<s32>(x); }
u32 u(s64 x) { return static_cast<u32>(x); }
s64 clamp32(s64 x) { return x > 2147483647 ? 2147483647 : x < -2147483648ll ? -2147483648ll : x; }
s64 low24(u32 x) { return s(x << 8) >> 8; }

u32 extracted(u32 a, u32 b, u32 c, bool sign_extends) {  // the loop in the ISA
  const u32 pos = b & 0xff, len = c & 0xff, msb = 31;
  const bool sbit = (!sign_extends || len == 0) ? false : (a >> std::min(pos + len - 1, msb)) & 1;
  u32 d = 0;
  for (u32 i = 0; i <= msb; ++i) d |= u32{(i < len && pos + i <= msb) ? bool((a >> (pos + i)) & 1) : sbit} << i;
  return d;
}
u32 inserted(u32 a, u32 b, u32 c, u32 d) {
  const u32 pos = c & 0xff, len = d & 0xff;
  u32 f = b;
  for (u32 i = 0; i < len && pos + i <= 31; ++i) f = (f & ~(1u << (pos + i))) | ((a >> i & 1u) << (pos + i));
  return f;
}
u32 permuted(u32 a, u32 b, u32 c) {
  u8 bytes[8];
  std::memcpy(bytes, &a, 4);
  std::memcpy(bytes + 4, &b, 4);
  u32 d = 0;
  for (int k = 0; k < 4; ++k) {
    const u32 n = c >> (4 * k) & 15;
    const u32 byte = n & 8 ? (bytes[n & 7] & 0x80 ? 0xffu : 0u) : bytes[n & 7];
    d |= byte << (8 * k);
  }
  return d;
}
u32 nth_set(u32 mask, u32 base, s32 offset) {  // the loop in the ISA
  if (offset == 0) return mask & (1u << base) ? base : 0xffffffff;
  s32 pos = s(base), count = offset > 0 ? offset - 1 : offset + 1;
  const s32 inc = offset > 0 ? 1 : -1;
  while (pos >= 0 && pos < 32) {
    if (mask >> pos & 1) {
      if (count == 0) return static_cast<u32>(pos);
      count -= inc;
    }
    pos += inc;
  }
  return 0xffffffff;
}
u32 highest(u32 a) { return a == 0 ? 0xffffffff : 31 - static_cast<u32>(std::countl_zero(a)); }
u32 dot4(u32 a, u32 b, u32 c, bool sa, bool sb) {
  s64 sum = s(c);
  for (int k = 0; k < 4; ++k) {
    const u32 x = a >> (8 * k) & 255, y = b >> (8 * k) & 255;
    sum += (sa && x > 127 ? s64{x} - 256 : s64{x}) * (sb && y > 127 ? s64{y} - 256 : s64{y});
  }
  return u(sum);
}

INSTANTIATE_TEST_SUITE_P(Forms, PtxInteger, testing::ValuesIn(std::vector<Case>{
    {"add", "add.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return a + b; }},
    {"add_sat", "add.sat.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return u(clamp32(s64{s(a)} + s(b))); }},
    {"sub_sat", "sub.sat.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return u(clamp32(s64{s(a)} - s(b))); }},
    {"add_u16x2", "add.u16x2 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return ((a + b) & 0xffff) | ((a & 0xffff0000) + (b & 0xffff0000)); }},
    {"mul_lo", "mul.lo.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return a * b; }},
    {"mul_hi_u", "mul.hi.u32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return static_cast<u32>(u64{a} * b >> 32); }},
    {"mul_hi_s", "mul.hi.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return static_cast<u32>(static_cast<u64>(s64{s(a)} * s(b)) >> 32); }},
    {"mul_wide_s", "mul.wide.s32 %rd4, %r1, %r2;\nshr.u64 %rd4, %rd4, 17;\ncvt.u32.u64 %r4, %rd4;", [](u32 a, u32 b, u32) { return static_cast<u32>(static_cast<u64>(s64{s(a)} * s(b)) >> 17); }},
    {"mul_wide_u16", "cvt.u16.u32 %h1, %r1;\ncvt.u16.u32 %h2, %r2;\nmul.wide.u16 %r4, %h1, %h2;", [](u32 a, u32 b, u32) { return (a & 0xffff) * (b & 0xffff); }},
    {"mad_lo", "mad.lo.s32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return a * b + c; }},
    {"mad_hi", "mad.hi.u32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return static_cast<u32>(u64{a} * b >> 32) + c; }},
    {"mad_hi_sat", "mad.hi.sat.s32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return u(clamp32(s64{s(static_cast<u32>(static_cast<u64>(s64{s(a)} * s(b)) >> 32))} + s(c))); }},
    {"mad_wide", "cvt.u64.u32 %rd5, %r3;\nmad.wide.s32 %rd4, %r1, %r2, %rd5;\nshr.u64 %rd4, %rd4, 20;\ncvt.u32.u64 %r4, %rd4;", [](u32 a, u32 b, u32 c) { return static_cast<u32>((static_cast<u64>(s64{s(a)} * s(b)) + c) >> 20); }},
    {"mul24_lo", "mul24.lo.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return u(low24(a) * low24(b)); }},
    {"mul24_hi", "mul24.hi.u32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return static_cast<u32>(u64{a & 0xffffff} * (b & 0xffffff) >> 16); }},
    {"mad24", "mad24.lo.u32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return static_cast<u32>(u64{a & 0xffffff} * (b & 0xffffff)) + c; }},
    {"sad_s", "sad.s32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return c + (s(a) < s(b) ? b - a : a - b); }},
    {"sad_u", "sad.u32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return c + (a < b ? b - a : a - b); }},
    {"div_s", "div.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return b == 0 ? 0xffffffffu : u(s64{s(a)} / s(b)); }},
    {"div_u", "div.u32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return b == 0 ? 0xffffffffu : a / b; }},
    {"rem_s", "rem.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return b == 0 ? a : u(s64{s(a)} % s(b)); }},
    {"rem_u", "rem.u32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return b == 0 ? a : a % b; }},
    {"min_s", "min.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return s(a) < s(b) ? a : b; }},
    {"max_relu", "max.relu.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return u(std::max({s(a), s(b), 0})); }},
    {"max_u16x2", "max.u16x2 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return std::max(a & 0xffff, b & 0xffff) | std::max(a >> 16, b >> 16) << 16; }},
    {"abs", "abs.s32 %r4, %r1;", [](u32 a, u32, u32) { return s(a) < 0 ? 0 - a : a; }},
    {"neg", "neg.s32 %r4, %r1;", [](u32 a, u32, u32) { return 0 - a; }},
    {"dp4a_ss", "dp4a.s32.s32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return dot4(a, b, c, true, true); }},
    {"dp4a_us", "dp4a.u32.s32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return dot4(a, b, c, false, true); }},
    {"dp2a_hi", "dp2a.hi.s32.u32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return u(s64{s(c)} + s64{static_cast<s16>(a)} * (b >> 16 & 255) + s64{static_cast<s16>(a >> 16)} * (b >> 24)); }},
    {"shl", "shl.b32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return b > 31 ? 0 : a << b; }},
    {"shr_u", "shr.u32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return b > 31 ? 0 : a >> b; }},
    {"shr_s", "shr.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return u(s(a) >> std::min(b, 31u)); }},
    {"shr_s16", "cvt.u16.u32 %h1, %r1;\nshr.s16 %h2, %h1, %r2;\ncvt.u32.u16 %r4, %h2;", [](u32 a, u32 b, u32) { return static_cast<u32>(static_cast<u16>(static_cast<s16>(a) >> std::min(b, 15u))); }},
    {"shf_l_wrap", "shf.l.wrap.b32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { const u32 n = c & 31; return n == 0 ? b : b << n | a >> (32 - n); }},
    {"shf_l_clamp", "shf.l.clamp.b32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { const u32 n = std::min(c, 32u); return n == 0 ? b : n == 32 ? a : b << n | a >> (32 - n); }},
    {"shf_r_wrap", "shf.r.wrap.b32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { const u32 n = c & 31; return n == 0 ? a : b << (32 - n) | a >> n; }},
    {"shf_r_clamp", "shf.r.clamp.b32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { const u32 n = std::min(c, 32u); return n == 0 ? a : n == 32 ? b : b << (32 - n) | a >> n; }},
    {"and", "and.b32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return a & b; }},
    {"xor", "xor.b32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return a ^ b; }},
    {"not", "not.b32 %r4, %r1;", [](u32 a, u32, u32) { return ~a; }},
    {"cnot", "cnot.b32 %r4, %r1;", [](u32 a, u32, u32) { return a == 0 ? 1u : 0u; }},
    {"lop3_e8", "lop3.b32 %r4, %r1, %r2, %r3, 0xe8;", [](u32 a, u32 b, u32 c) { return (a & b) | (a & c) | (b & c); }},
    {"lop3_6a", "lop3.b32 %r4, %r1, %r2, %r3, 0x6a;", [](u32 a, u32 b, u32 c) { return (a & b) ^ c; }},
    {"lop3_d8", "lop3.b32 %r4, %r1, %r2, %r3, 0xd8;", [](u32 a, u32 b, u32 c) { return (c & b) | (~c & a); }},
    {"popc", "popc.b32 %r4, %r1;", [](u32 a, u32, u32) { u32 n = 0; for (; a; a &= a - 1) ++n; return n; }},
    {"clz", "clz.b32 %r4, %r1;", [](u32 a, u32, u32) { u32 n = 0; while (n < 32 && !(a << n & 0x80000000u)) ++n; return n; }},
    {"clz64", "mov.b64 %rd4, {%r1, %r2};\nclz.b64 %r4, %rd4;", [](u32 a, u32 b, u32) { u32 n = 0; const u64 x = u64{b} << 32 | a; while (n < 64 && !(x << n >> 63)) ++n; return n; }},
    {"brev", "brev.b32 %r4, %r1;", [](u32 a, u32, u32) { u32 d = 0; for (int k = 0; k < 32; ++k) d |= (a >> k & 1u) << (31 - k); return d; }},
    {"bfind_u", "bfind.u32 %r4, %r1;", [](u32 a, u32, u32) { return highest(a); }},
    {"bfind_s", "bfind.s32 %r4, %r1;", [](u32 a, u32, u32) { return highest(s(a) < 0 ? ~a : a); }},
    {"bfind_shiftamt", "bfind.shiftamt.u32 %r4, %r1;", [](u32 a, u32, u32) { return a == 0 ? 0xffffffff : 31 - highest(a); }},
    {"bfe_u", "bfe.u32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return extracted(a, b, c, false); }},
    {"bfe_s", "bfe.s32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return extracted(a, b, c, true); }},
    {"bfi", "bfi.b32 %r4, %r1, %r2, %r3, %r2;", [](u32 a, u32 b, u32 c) { return inserted(a, b, c, b); }},
    {"bmsk", "bmsk.clamp.b32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { u32 d = 0; for (u64 k = 0; k < b && k < 32; ++k) if (a + k < 32 && u64{a} + k < 32) d |= 1u << (a + k); return d; }},
    {"szext", "szext.wrap.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { const u32 n = b & 31; return n == 0 ? 0 : u(s(a << (32 - n)) >> (32 - n)); }},
    {"fns", "and.b32 %r2, %r2, 31;\nand.b32 %r3, %r3, 15;\nsub.s32 %r3, %r3, 7;\nfns.b32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return nth_set(a, b & 31, s(c & 15) - 7); }},
    {"prmt", "prmt.b32 %r4, %r1, %r2, %r3;", permuted},
    {"prmt_f4e", "prmt.b32.f4e %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return static_cast<u32>((u64{b} << 32 | a) >> (8 * (c & 3))); }},
    {"prmt_rc16", "prmt.b32.rc16 %r4, %r1, %r2, %r3;", [](u32 a, u32, u32 c) { const u32 half = c & 1 ? a >> 16 : a & 0xffff; return half | half << 16; }},
    {"slct", "slct.u32.s32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return s(c) >= 0 ? a : b; }},
    {"add_cc", "add.cc.u32 %r5, %r1, %r2;\naddc.u32 %r4, %r3, 0;", [](u32 a, u32 b, u32 c) { return c + (u64{a} + b > 0xffffffff ? 1 : 0); }},
    {"sub_cc", "sub.cc.u32 %r5, %r1, %r2;\nsubc.u32 %r4, %r3, 5;", [](u32 a, u32 b, u32 c) { return c - 5 - (a < b ? 1 : 0); }},
    {"madc", "mad.lo.cc.u32 %r5, %r1, %r2, %r3;\nmadc.hi.u32 %r4, %r1, %r2, %r3;", [](u32 a, u32 b, u32 c) { return static_cast<u32>((u64{a} * b) >> 32) + c + (u64{a * b} + c > 0xffffffff ? 1 : 0); }},
    {"set", "set.lt.u32.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return s(a) < s(b) ? 0xffffffff : 0; }},
    {"setp_hs", "setp.hs.u32 %p1, %r1, %r2;\nselp.b32 %r4, 7, 9, %p1;", [](u32 a, u32 b, u32) { return a >= b ? 7u : 9u; }},
    {"setp_two", "setp.gt.s32 %p3, %r3, 0;\nsetp.le.and.s32 %p1|%p2, %r1, %r2, !%p3;\nselp.u32 %r4, 1, 0, %p1;\n@%p2 add.u32 %r4, %r4, 2;",
     [](u32 a, u32 b, u32 c) { const bool q = !(s(c) > 0), yes = s(a) <= s(b); return (yes && q ? 1u : 0u) + (!yes && q ? 2u : 0u); }},
    {"cvt_s8", "cvt.s32.s8 %r4, %r1;", [](u32 a, u32, u32) { return u(static_cast<s8>(a)); }},
    {"cvt_sat_u8", "cvt.sat.u8.s32 %r4, %r1;", [](u32 a, u32, u32) { return u(std::clamp(s(a), 0, 255)); }},
    {"cvt_sat_s16", "cvt.sat.s16.u32 %r4, %r1;", [](u32 a, u32, u32) { return std::min(a, 32767u); }},
    {"cvt_pack", "cvt.pack.sat.s16.s32 %r4, %r1, %r2;", [](u32 a, u32 b, u32) { return static_cast<u16>(std::clamp(s(b), -32768, 32767)) | static_cast<u32>(static_cast<u16>(std::clamp(s(a), -32768, 32767))) << 16; }},
}), [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace mirilla::ptx
