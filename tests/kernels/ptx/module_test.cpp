// SPDX-License-Identifier: MIT
#include "kernels/ptx/module.h"

#include "tests/kernels/ptx/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mirilla::ptx {
namespace {

using testing::HasSubstr;

std::string refused(std::string text) {
  Memory memory;
  try {
    Module module(std::move(text), memory);
  } catch (const Error& error) {
    return error.message();
  }
  return "";
}

TEST(PtxModule, ListsKernelsWithParametersSharedMemoryAndBounds) {
  Memory memory;
  const Module module(header("sm_80") + R"(
.visible .entry first(.param .u8 a, .param .align 8 .b8 b[12], .param .u64 c)
.maxntid 128, 2, 1
.minnctapersm 3
{
  .shared .align 16 .b8 x[20];
  .shared .f32 y;
  .local .align 8 .b8 z[24];
  ret;
}
.entry second() .reqntid 64 { ret; })",
                      memory);
  ASSERT_EQ(module.kernels().size(), 2u);
  const Kernel& first = *module.kernel("first");
  EXPECT_EQ(module.target(), "sm_80");
  EXPECT_EQ(module.version(), "9.0");
  ASSERT_EQ(first.parameters.size(), 3u);
  EXPECT_EQ(first.parameters[1].offset, 8u);
  EXPECT_EQ(first.parameters[1].bytes, 12u);
  EXPECT_EQ(first.parameters[2].offset, 24u);
  EXPECT_EQ(first.parameter_bytes, 32u);
  EXPECT_EQ(first.shared_bytes, 24u);
  EXPECT_EQ(first.local_bytes, 32u);
  EXPECT_EQ(first.max_threads, (std::array<u32, 3>{128, 2, 1}));
  EXPECT_EQ(first.min_blocks, 3u);
  EXPECT_EQ(module.kernel("second")->wanted_threads, (std::array<u32, 3>{64, 1, 1}));
  EXPECT_EQ(module.kernel("third"), nullptr);
}

TEST(PtxModule, InitialisesVariables) {
  Memory memory;
  const Module module(header() + R"(
.global .align 4 .u32 numbers[4] = {1, 0x20, 033, -1};
.const .align 4 .f32 floats[3] = {0f3F800000, -2.5, 1e3};
.global .align 1 .b8 text[6] = {104, 101, 108, 108, 111};
.global .align 8 .u64 pointers[2] = {generic(numbers)+8, text};
.global .align 8 .f64 pi = 0d400921FB54442D18;
)",
                      memory);
  const auto* numbers = reinterpret_cast<const u32*>(module.variable("numbers")->data);
  EXPECT_THAT(std::vector<u32>(numbers, numbers + 4), testing::ElementsAre(1, 0x20, 27, 0xffffffffu));
  const auto* floats = reinterpret_cast<const float*>(module.variable("floats")->data);
  EXPECT_THAT(std::vector<float>(floats, floats + 3), testing::ElementsAre(1.0f, -2.5f, 1000.0f));
  EXPECT_STREQ(reinterpret_cast<const char*>(module.variable("text")->data), "hello");
  const auto* pointers = reinterpret_cast<const u64*>(module.variable("pointers")->data);
  EXPECT_EQ(pointers[0], reinterpret_cast<u64>(numbers + 2));
  EXPECT_EQ(pointers[1], reinterpret_cast<u64>(module.variable("text")->data));
  EXPECT_EQ(*reinterpret_cast<const double*>(module.variable("pi")->data), 3.141592653589793);
  EXPECT_EQ(module.variable("floats")->space, Space::kConst);
}

struct Bad {
  std::string_view name, body, message;
};
class PtxModuleRefuses : public testing::TestWithParam<Bad> {};

TEST_P(PtxModuleRefuses, WithTheLineAndItsText) {
  const std::string message = refused(kernel_of(GetParam().body));
  EXPECT_THAT(message, HasSubstr(GetParam().message));
  EXPECT_THAT(message, HasSubstr("PTX line"));
}

INSTANTIATE_TEST_SUITE_P(
    What, PtxModuleRefuses,
    testing::Values(Bad{"instruction", "tcgen05.alloc.b32 %r1;", "the instruction in 'tcgen05.alloc.b32 %r1;' is not known"},
                    Bad{"modifier", "add.rn.foo.f32 %f1, %f2, %f3;", "the modifier .foo in 'add.rn.foo.f32"},
                    Bad{"sat", "add.sat.u32 %r1, %r2, %r3;", "is not known"}, Bad{"ftz64", "add.ftz.f64 %fd1, %fd2, %fd3;", "is not known"},
                    Bad{"rounding", "fma.f32 %f1, %f2, %f3, %f4;", "without a rounding"},
                    Bad{"directive", ".surf x;", "a directive of a function was expected, and '.surf' came"},
                    Bad{"register", "mov.u32 %r1, %r100;", "the register %r100 in"},
                    Bad{"size", "add.u32 %rd1, %r2, %r3;", "%rd1 is not a register of 4 bytes"},
                    Bad{"symbol", "mov.u64 %rd1, nowhere;", "the symbol nowhere is not known"},
                    Bad{"label", "bra $nowhere;", "the label $nowhere is not in this function"},
                    Bad{"operands", "add.u32 %r1, %r2;", "it has 2 operands"},
                    Bad{"old shuffle", "shfl.idx.b32 %r1, %r2, 0, 31;", "is not known"},
                    Bad{"character", "add.u32 %r1, %r2, `;", "the character '`' cannot be there"},
                    Bad{"vector", "ld.global.v4.u32 {%r1,%r2}, [%rd1];", "the vector does not fit its size"},
                    Bad{"number", "mov.u32 %r1, 0f12;", "wants 8 hexadecimal digits"}),
    [](const auto& one) {
      std::string name(one.param.name);
      std::erase(name, ' ');
      return name;
    });

TEST(PtxModule, NamesTheLineOfWhatItDoesNotKnow) {
  EXPECT_THAT(refused(header() + ".entry k() {\n.reg .b32 %r<2>;\n\nfrob.b32 %r1;\n}"),
              HasSubstr("PTX line 7: the instruction in 'frob.b32 %r1;'"));
}

TEST(PtxModule, RefusesAFunctionThatIsNowhere) {
  EXPECT_THAT(refused(header() + ".extern .func f();\n.entry k() {\ncall.uni f;\nret;\n}"),
              HasSubstr("the function f is called and nowhere defined"));
}

TEST(PtxModule, RefusesTextWithoutAVersion) {
  EXPECT_THAT(refused("hello"), HasSubstr("PTX line 1: a directive of the module was expected, and 'hello' came"));
}

}  // namespace
}  // namespace mirilla::ptx
