// SPDX-License-Identifier: MIT
#include "kernels/core/half.h"
#include "tests/kernels/ptx/launch.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>

// Fragments by the ISA's formulas (9.7.14), written per element and not per register.

namespace mirilla::ptx {
namespace {

struct Place {
  u32 row, column;
};

// PTX ISA 9.7.14.5.8, m16n8k16 with 16-bit elements
Place a16(u32 lane, u32 i) {
  const u32 group = lane >> 2, in_group = lane % 4;
  return {(i < 2 || (i >= 4 && i < 6)) ? group : group + 8, in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
}
Place b16(u32 lane, u32 i) { return {(lane % 4) * 2 + (i & 1) + (i >= 2 ? 8 : 0), lane >> 2}; }
Place c_of(u32 lane, u32 i) { return {i < 2 ? lane >> 2 : (lane >> 2) + 8, (lane % 4) * 2 + (i & 1)}; }
// 9.7.14.5.9, m16n8k32 with 8-bit elements
Place a8(u32 lane, u32 i) {
  const u32 group = lane >> 2;
  return {(i < 4 || (i >= 8 && i < 12)) ? group : group + 8, (lane % 4) * 4 + (i & 3) + (i >= 8 ? 16 : 0)};
}
Place b8(u32 lane, u32 i) { return {(lane % 4) * 4 + (i & 3) + (i >= 4 ? 16 : 0), lane >> 2}; }
// 9.7.14.5.7, m16n8k8 of .tf32
Place a32(u32 lane, u32 i) { return {(i == 0 || i == 2) ? lane >> 2 : (lane >> 2) + 8, i < 2 ? lane % 4 : lane % 4 + 4}; }
Place b32(u32 lane, u32 i) { return {i == 0 ? lane % 4 : lane % 4 + 4, lane >> 2}; }

int small(u32 x) { return static_cast<int>((x * 2654435761u >> 13) % 15) - 7; }  // exact in every format

using Layout = Place (*)(u32, u32);
struct Case {
  const char* name;
  const char* form;
  u32 depth, bits;  // of an element of A and B
  Layout a, b;
  std::function<u32(int)> element;
  bool integer = false, half_result = false;
};
class PtxMma : public testing::TestWithParam<Case> {};

std::vector<u32> fragment(const Case& c, u32 registers, Layout layout, const std::function<int(u32, u32)>& value) {  // lane after lane
  const u32 each = 32 / c.bits;
  std::vector<u32> words(32 * registers, 0);
  for (u32 lane = 0; lane < 32; ++lane) {
    for (u32 i = 0; i < registers * each; ++i) {
      const Place at = layout(lane, i);
      words[lane * registers + i / each] |= (c.element(value(at.row, at.column)) & (c.bits == 32 ? ~0u : (1u << c.bits) - 1))
                                            << (i % each * c.bits);
    }
  }
  return words;
}

std::string list(const std::vector<u32>& numbers) {
  std::string text = "{";
  for (u32 n : numbers) text += (text.size() > 1 ? ", %r" : "%r") + std::to_string(n);
  return text + "}";
}

TEST_P(PtxMma, IsTheProductOfMatricesLaidOutAsTheIsaSays) {
  const Case& c = GetParam();
  const u32 a_registers = c.depth * c.bits / 64, b_registers = a_registers / 2, results = c.half_result ? 2 : 4;
  const auto a_at = [](u32 r, u32 k) { return small(r * 64 + k + 1); };
  const auto b_at = [](u32 k, u32 n) { return small(k * 8 + n + 5000); };
  const auto c_at = [](u32 r, u32 n) { return small(r * 8 + n + 9000); };
  std::vector<u32> in = fragment(c, a_registers, c.a, a_at);
  const auto b = fragment(c, b_registers, c.b, b_at);
  in.insert(in.end(), b.begin(), b.end());
  std::vector<u32> sums(32 * results, 0);
  for (u32 lane = 0; lane < 32; ++lane) {
    for (u32 i = 0; i < 4; ++i) {
      const int value = c_at(c_of(lane, i).row, c_of(lane, i).column);
      if (c.half_result)
        sums[lane * 2 + i / 2] |= static_cast<u32>(Half(static_cast<float>(value)).bits) << (16 * (i & 1));
      else
        sums[lane * 4 + i] = c.integer ? static_cast<u32>(value) : std::bit_cast<u32>(static_cast<float>(value));
    }
  }
  in.insert(in.end(), sums.begin(), sums.end());
  std::string body;
  u32 next = 10, base = 0;
  std::vector<u32> parts[3];
  for (u32 part = 0; part < 3; ++part) {
    const u32 n = part == 0 ? a_registers : part == 1 ? b_registers : results;
    body += "mad.wide.u32 %rd4, %r0, " + std::to_string(4 * n) + ", %rd0;\n";
    for (u32 k = 0; k < n; ++k, ++next) {
      parts[part].push_back(next);
      body += "ld.global.u32 %r" + std::to_string(next) + ", [%rd4+" + std::to_string(base + 4 * k) + "];\n";
    }
    base += 32 * 4 * n;
  }
  body += "mad.wide.u32 %rd3, %r0, " + std::to_string(4 * results) + ", %rd1;\n";
  std::vector<u32> d;
  for (u32 k = 0; k < results; ++k) d.push_back(60 + k);
  body += std::string(c.form) + " " + list(d) + ", " + list(parts[0]) + ", " + list(parts[1]) + ", " + list(parts[2]) + ";\n";
  for (u32 k = 0; k < results; ++k) body += "st.global.u32 [%rd3+" + std::to_string(4 * k) + "], %r" + std::to_string(60 + k) + ";\n";
  const auto out = run_words(body, in, 32 * results);
  for (u32 lane = 0; lane < 32; ++lane) {
    for (u32 i = 0; i < 4; ++i) {
      const Place at = c_of(lane, i);
      int expected = c_at(at.row, at.column);
      for (u32 k = 0; k < c.depth; ++k) expected += a_at(at.row, k) * b_at(k, at.column);
      const u32 word = out[lane * results + (c.half_result ? i / 2 : i)];
      const float value = c.half_result ? static_cast<float>(Half::from_bits(static_cast<u16>(word >> (16 * (i & 1)))))
                          : c.integer   ? static_cast<float>(static_cast<s32>(word))
                                        : std::bit_cast<float>(word);
      ASSERT_EQ(value, static_cast<float>(expected)) << "row " << at.row << " column " << at.column;
    }
  }
}

u32 as_half(int x) { return Half(static_cast<float>(x)).bits; }
u32 as_brain(int x) { return BFloat16(static_cast<float>(x)).bits; }
u32 as_float(int x) { return std::bit_cast<u32>(static_cast<float>(x)); }
u32 as_integer(int x) { return static_cast<u32>(x); }

INSTANTIATE_TEST_SUITE_P(
    Forms, PtxMma,
    testing::Values(Case{"f16_k16", "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 16, 16, a16, b16, as_half},
                    Case{"bf16_k16", "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", 16, 16, a16, b16, as_brain},
                    Case{"f16_k8", "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32", 8, 16, a16, b16,
                         as_half},  // its elements are the first ones of k16
                    Case{"f16_f16", "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", 16, 16, a16, b16, as_half, false, true},
                    Case{"tf32_k8", "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", 8, 32, a32, b32, as_float},
                    Case{"tf32_k4", "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32", 4, 32, a32, b32, as_float},
                    Case{"s8_k32", "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32", 32, 8, a8, b8, as_integer, true},
                    Case{"s8_k16", "mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32", 16, 8, a8, b8, as_integer, true}),
    [](const auto& one) { return std::string(one.param.name); });

// 9.7.14.5.15: lane 8j+r has the address of row r of matrix j; lane l gets the elements 2*(l%4), 2*(l%4)+1 of row l/4.
u16 halfword(u32 matrix, u32 row, u32 column) { return static_cast<u16>(matrix * 1000 + row * 100 + column); }

std::vector<u32> loaded(std::string_view form, u32 n) {
  std::vector<u32> in;  // matrix after matrix, row after row
  for (u32 m = 0; m < 4; ++m) {
    for (u32 row = 0; row < 8; ++row) {
      for (u32 column = 0; column < 8; column += 2)
        in.push_back(halfword(m, row, column) | static_cast<u32>(halfword(m, row, column + 1)) << 16);
    }
  }
  std::string registers = "{";
  for (u32 k = 0; k < n; ++k) registers += (k ? ", %r" : "%r") + std::to_string(10 + k);
  std::string body = R"(mad.wide.u32 %rd4, %r0, 16, %rd0;
ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%rd4];
mov.u32 %r5, s;
mad.lo.u32 %r6, %r0, 16, %r5;
st.shared.v4.u32 [%r6], {%r1, %r2, %r3, %r4};
bar.warp.sync -1;
)" + std::string(form) +
                     " " + registers + "}, [%r6];\nmad.wide.u32 %rd3, %r0, 16, %rd1;\n";
  for (u32 k = 0; k < n; ++k) body += "st.global.u32 [%rd3+" + std::to_string(4 * k) + "], %r" + std::to_string(10 + k) + ";\n";
  return run_words(body, in, 128, {32}, {}, {}, ".shared .align 16 .b8 s[512];\n");
}

TEST(PtxLdmatrix, GivesRowsToLanes) {
  for (u32 n : {1u, 2u, 4u}) {
    const auto out = loaded("ldmatrix.sync.aligned.m8n8.x" + std::to_string(n) + ".shared.b16", n);
    for (u32 l = 0; l < 32; ++l) {
      for (u32 m = 0; m < n; ++m)
        ASSERT_EQ(out[4 * l + m], halfword(m, l / 4, 2 * (l % 4)) | static_cast<u32>(halfword(m, l / 4, 2 * (l % 4) + 1)) << 16);
    }
  }
}

TEST(PtxLdmatrix, TransposedGivesColumnsToLanes) {
  const auto out = loaded("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16", 4);
  for (u32 l = 0; l < 32; ++l) {
    for (u32 m = 0; m < 4; ++m)
      ASSERT_EQ(out[4 * l + m], halfword(m, 2 * (l % 4), l / 4) | static_cast<u32>(halfword(m, 2 * (l % 4) + 1, l / 4)) << 16);
  }
}

TEST(PtxStmatrix, IsTheInverse) {
  for (const char* trans : {"", ".trans"}) {
    const std::string body = std::string(
                                 "mov.u32 %r5, s;\nmad.lo.u32 %r6, %r0, 16, %r5;\nmul.lo.u32 %r1, %r0, 3;\nadd.u32 %r2, %r1, "
                                 "1;\nst.shared.v4.u32 [%r6], {%r1,%r1,%r1,%r1};\n") +
                             "stmatrix.sync.aligned.m8n8.x2" + trans +
                             ".shared.b16 [%r6], {%r1, %r2};\nbar.warp.sync -1;\nldmatrix.sync.aligned.m8n8.x2" + trans +
                             ".shared.b16 {%r7, %r8}, [%r6];\nmad.wide.u32 %rd3, %r0, 8, %rd1;\nst.global.v2.u32 [%rd3], {%r7, %r8};";
    const auto out = run_words(body, {0}, 64, {32}, {}, {}, ".shared .align 16 .b8 s[512];\n");
    for (u32 l = 0; l < 32; ++l) ASSERT_EQ(out[2 * l] * 10 + out[2 * l + 1], 30 * l + 3 * l + 1) << trans;
  }
}

struct WmmaCase {
  const char *name, *shape, *a_type, *types;
  u32 m, n, k, a_registers, b_registers;
};
class PtxWmma : public testing::TestWithParam<WmmaCase> {};

// The ISA does not say which lane holds which element, so this compares memory with memory.
TEST_P(PtxWmma, MultipliesMatricesInMemory) {
  const WmmaCase& c = GetParam();
  const bool brain = std::string_view(c.a_type) == "bf16";
  std::vector<u16> halves;
  const auto a_at = [](u32 r, u32 k) { return small(r * 64 + k + 1); };
  const auto b_at = [](u32 k, u32 n) { return small(k * 64 + n + 5000); };
  const auto element = [&](int x) { return static_cast<u16>(brain ? as_brain(x) : as_half(x)); };
  for (u32 r = 0; r < c.m; ++r)
    for (u32 k = 0; k < c.k; ++k) halves.push_back(element(a_at(r, k)));
  for (u32 n = 0; n < c.n; ++n)
    for (u32 k = 0; k < c.k; ++k) halves.push_back(element(b_at(k, n)));  // column after column
  std::vector<u32> in(halves.size() / 2);
  std::memcpy(in.data(), halves.data(), halves.size() * 2);
  const auto registers = [](u32 first, u32 count, const char* kind) {
    std::string text = "{";
    for (u32 k = 0; k < count; ++k) text += (k ? ", %" : "%") + std::string(kind) + std::to_string(first + k);
    return text + "}";
  };
  const std::string sums = registers(0, 8, "f"), a = registers(10, c.a_registers, "r"), b = registers(30, c.b_registers, "r");
  const std::string shape(c.shape);
  std::string body;
  for (u32 k = 0; k < 8; ++k) body += "mov.f32 %f" + std::to_string(k) + ", 0f3F800000;\n";
  body += "wmma.load.a.sync.aligned.row." + shape + ".global." + c.a_type + " " + a + ", [%rd0], " + std::to_string(c.k) + ";\n";
  body += "wmma.load.b.sync.aligned.col." + shape + ".global." + c.a_type + " " + b + ", [%rd0+" + std::to_string(2 * c.m * c.k) + "], " +
          std::to_string(c.k) + ";\n";
  body += "wmma.mma.sync.aligned.row.col." + shape + "." + c.types + " " + sums + ", " + a + ", " + b + ", " + sums + ";\n";
  body += "wmma.store.d.sync.aligned.row." + shape + ".global.f32 [%rd1], " + sums + ", " + std::to_string(c.n) + ";\n";
  const auto out = run_words(body, in, c.m * c.n);
  for (u32 r = 0; r < c.m; ++r) {
    for (u32 n = 0; n < c.n; ++n) {
      int expected = 1;
      for (u32 k = 0; k < c.k; ++k) expected += a_at(r, k) * b_at(k, n);
      ASSERT_EQ(std::bit_cast<float>(out[r * c.n + n]), static_cast<float>(expected)) << r << "," << n;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Forms, PtxWmma,
                         testing::Values(WmmaCase{"f16_16x16", "m16n16k16", "f16", "f32.f32", 16, 16, 16, 8, 8},
                                         WmmaCase{"f16_8x32", "m8n32k16", "f16", "f32.f32", 8, 32, 16, 8, 8},
                                         WmmaCase{"f16_32x8", "m32n8k16", "f16", "f32.f32", 32, 8, 16, 8, 8},
                                         WmmaCase{"bf16_16x16", "m16n16k16", "bf16", "f32.bf16.bf16.f32", 16, 16, 16, 4, 4}),
                         [](const auto& one) { return std::string(one.param.name); });

// A of 8x4 row after row, B of 4x8 column after column, C of 8x8. The sums are exact, so a rounding changes nothing.
std::vector<u32> product_of_doubles(std::string_view type_and_rounding) {
  std::vector<double> in;
  for (int r = 0; r < 8; ++r)
    for (int k = 0; k < 4; ++k) in.push_back(r + 10 * k);
  for (int n = 0; n < 8; ++n)
    for (int k = 0; k < 4; ++k) in.push_back(3 * n - k);
  for (int e = 0; e < 64; ++e) in.push_back(0.5 * e);
  std::vector<u32> words(in.size() * 2);
  std::memcpy(words.data(), in.data(), in.size() * 8);
  return run_words(R"(wmma.load.a.sync.aligned.row.m8n8k4.global.f64 {%fd0}, [%rd0], 4;
wmma.load.b.sync.aligned.col.m8n8k4.global.f64 {%fd1}, [%rd0+256], 4;
wmma.load.c.sync.aligned.row.m8n8k4.global.f64 {%fd2, %fd3}, [%rd0+512], 8;
wmma.mma.sync.aligned.row.col.m8n8k4.)" +
                       std::string(type_and_rounding) + R"( {%fd4, %fd5}, {%fd0}, {%fd1}, {%fd2, %fd3};
wmma.store.d.sync.aligned.row.m8n8k4.global.f64 [%rd1], {%fd4, %fd5}, 8;)",
                   words, 128);
}

TEST(PtxWmmaDoubles, AreMultiplied) {
  const std::vector<u32> out = product_of_doubles("f64.f64.f64.f64.rn");
  EXPECT_EQ(out, product_of_doubles("f64.f64.f64.f64"));
  for (int r = 0; r < 8; ++r) {
    for (int n = 0; n < 8; ++n) {
      double expected = 0.5 * (8 * r + n), got = 0;
      for (int k = 0; k < 4; ++k) expected += (r + 10 * k) * (3 * n - k);
      std::memcpy(&got, &out[static_cast<size_t>(2 * (8 * r + n))], 8);
      ASSERT_EQ(got, expected) << r << "," << n;
    }
  }
  EXPECT_THROW(product_of_doubles("f64.f64.f64.f64.rz"), Error);
}

}  // namespace
}  // namespace mirilla::ptx
