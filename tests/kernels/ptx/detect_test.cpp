// SPDX-License-Identifier: MIT
#include "tests/kernels/ptx/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

// Each detector of the machine, with a planted fault and with the same kernel repaired.

namespace mirilla::ptx {
namespace {

using testing::HasSubstr;

constexpr Detectors kAll{.unwritten = true, .races = true, .constant = true};

struct Planted {
  const char* name;
  Fault::Kind kind;
  std::string faulty, mended;
  Dim block{32};
  Dim grid{};
};

// in: 64 words, out: 256 unwritten words; shared memory `s` of 1024 bytes, local memory `l` of 16. %rd2 is 4*t, %rd3 out +
// 4*t.
std::optional<Fault> outcome(const Planted& planted, const std::string& body, u64 seed, Detectors detect = kAll) {
  Memory memory;
  Array<u32> in(memory, std::vector<u32>(64, 1)), out(memory, std::vector<u32>(256), Memory::Content::kUnwritten);
  const Module module(
      kernel_of("mul.wide.u32 %rd2, %r0, 4;\nadd.s64 %rd3, %rd1, %rd2;\nshl.b32 %r2, %r0, 2;\nmov.u32 %r3, s;\nadd.u32 %r4, %r3, "
                "%r2;\nmov.u32 %r5, %ctaid.x;\n" +
                    body,
                ".const .align 4 .u32 fixed[4] = {1, 2, 3, 4};", ".shared .align 16 .b8 s[1024];\n.local .align 4 .b8 l[16];\n"),
      memory);
  Machine machine;
  Options options;
  options.seed = seed;
  options.detect = detect;
  options.patience = 1000000;
  try {
    machine.launch(module, *module.kernel("k"), planted.grid, planted.block, parameters(in.address(), out.address()), 0, options);
  } catch (const Fault& fault) {
    return fault;
  }
  return std::nullopt;
}

class PtxDetects : public testing::TestWithParam<Planted> {};

TEST_P(PtxDetects, ThePlantedFaultAndNothingInItsMendedTwin) {
  for (u64 seed : {0, 1, 2}) {
    const Detectors races{.races = true};  // racing memory may also be read before it is written
    const auto fault = outcome(GetParam(), GetParam().faulty, seed, GetParam().kind == Fault::Kind::kRace ? races : kAll);
    ASSERT_TRUE(fault) << "seed " << seed;
    EXPECT_EQ(fault->kind, GetParam().kind) << fault->what();
    EXPECT_GT(fault->ptx_line, 0u);
    EXPECT_THAT(fault->message(), HasSubstr("k: "));
    const auto none = outcome(GetParam(), GetParam().mended, seed);
    EXPECT_FALSE(none) << none->what();
  }
}

const std::string kNeighbour = "xor.b32 %r6, %r4, 4;\n";    // the neighbouring lane's word
const std::string kOtherWarp = "xor.b32 %r6, %r4, 128;\n";  // a word of the neighbouring warp

INSTANTIATE_TEST_SUITE_P(
    Faults, PtxDetects,
    testing::ValuesIn(std::vector<Planted>{
        {"past_the_end", Fault::Kind::kOutside, "st.global.u32 [%rd3+900], 1;", "st.global.u32 [%rd3+896], 1;"},
        {"before_the_begin", Fault::Kind::kOutside, "ld.global.u32 %r1, [%rd0+-4];", "ld.global.u32 %r1, [%rd0];"},
        {"null", Fault::Kind::kOutside, "mov.u64 %rd4, 0;\nld.global.u32 %r1, [%rd4];", "ld.global.u32 %r1, [%rd0];"},
        {"partly_outside", Fault::Kind::kOutside, "setp.eq.u32 %p1, %r0, 9;\n@%p1 ld.global.v4.u32 {%r10,%r11,%r12,%r13}, [%rd0+256];",
         "setp.eq.u32 %p1, %r0, 9;\n@%p1 ld.global.v4.u32 {%r10,%r11,%r12,%r13}, [%rd0+240];"},
        {"shared_outside", Fault::Kind::kOutside, "st.shared.u32 [%r4+1000], 1;", "st.shared.u32 [%r4+896], 1;"},
        {"local_outside", Fault::Kind::kOutside, "st.local.u32 [l+16], 1;", "st.local.u32 [l+12], 1;"},
        {"misaligned", Fault::Kind::kMisaligned, "ld.global.u32 %r1, [%rd0+2];", "ld.global.u16 %h1, [%rd0+2];"},
        {"misaligned_vector", Fault::Kind::kMisaligned, "st.shared.v2.u32 [s+4], {%r0, %r0};",
         "setp.eq.u32 %p1, %r0, 0;\n@%p1 st.shared.v2.u32 [s+8], {%r0, %r0};"},
        {"constant_written", Fault::Kind::kReadOnly, "mov.u64 %rd4, fixed;\nst.global.u32 [%rd4], 1;", "ld.const.u32 %r1, [fixed+12];"},
        {"unwritten_global", Fault::Kind::kUnwritten, "ld.global.u32 %r1, [%rd3];", "st.global.u32 [%rd3], 1;\nld.global.u32 %r1, [%rd3];"},
        {"unwritten_shared", Fault::Kind::kUnwritten, "ld.shared.u8 %r1, [%r4+3];", "st.shared.u8 [%r4+3], 1;\nld.shared.u8 %r1, [%r4+3];"},
        {"unwritten_local", Fault::Kind::kUnwritten, "st.local.u16 [l], 1;\nld.local.u32 %r1, [l];",
         "st.local.u32 [l], 1;\nld.local.u32 %r1, [l];"},
        {"unwritten_half_of_a_vector", Fault::Kind::kUnwritten,
         "shl.b64 %rd4, %rd2, 1;\nadd.s64 %rd4, %rd1, %rd4;\nst.global.u32 [%rd4], 1;\nld.global.v2.u32 {%r8, %r9}, [%rd4];",
         "shl.b64 %rd4, %rd2, 1;\nadd.s64 %rd4, %rd1, %rd4;\nst.global.v2.u32 [%rd4], {1, 2};\nld.global.v2.u32 {%r8, %r9}, [%rd4];"},
        {"unwritten_by_atomic", Fault::Kind::kUnwritten, "red.global.add.u32 [%rd3], 1;",
         "st.global.u32 [%rd3], 0;\nred.global.add.u32 [%rd3], 1;"},
        {"nc_of_written", Fault::Kind::kNotConstant, "st.global.u32 [%rd3], 1;\nld.global.nc.u32 %r1, [%rd3];",
         "st.global.u32 [%rd3], 1;\nld.global.nc.u32 %r1, [%rd0];"},
        {"nc_of_what_is_written_later", Fault::Kind::kNotConstant, "ld.global.nc.u32 %r1, [%rd0];\nst.global.u32 [%rd0], 1;",
         "ld.global.nc.u32 %r1, [%rd0];\nst.global.u32 [%rd3], 1;"},
        {"shared_race_between_warps",
         Fault::Kind::kRace,
         kOtherWarp + "st.shared.u32 [%r4], %r0;\nld.shared.u32 %r1, [%r6];\nbar.sync 0;",
         kOtherWarp + "st.shared.u32 [%r4], %r0;\nbar.sync 0;\nld.shared.u32 %r1, [%r6];\nbar.sync 0;",
         {64}},
        {"shared_race_store_after_read",
         Fault::Kind::kRace,
         kOtherWarp + "st.shared.u32 [%r4], %r0;\nbar.sync 0;\nld.shared.u32 %r1, [%r6];\nadd.u32 %r1, %r1, 1;\nst.shared.u32 [%r4], %r1;",
         kOtherWarp + "st.shared.u32 [%r4], %r0;\nbar.sync 0;\nld.shared.u32 %r1, [%r6];\nbar.sync 0;\nadd.u32 %r1, %r1, 1;\nst.shared.u32 "
                      "[%r4], %r1;",
         {64}},
        {"shared_race_in_a_warp", Fault::Kind::kRace, kNeighbour + "st.shared.u32 [%r4], %r0;\nld.shared.u32 %r1, [%r6];",
         kNeighbour + "st.shared.u32 [%r4], %r0;\nbar.warp.sync -1;\nld.shared.u32 %r1, [%r6];"},
        {"shared_race_of_stores", Fault::Kind::kRace, "st.shared.u32 [s], %r0;", "st.shared.u32 [s], 7;", {64}},
        {"shared_race_of_bytes",
         Fault::Kind::kRace,
         "add.u32 %r7, %r3, %r0;\nst.shared.u8 [%r7], %r0;\nld.shared.u8 %r1, [s+5];",
         "add.u32 %r7, %r3, %r0;\nst.shared.u8 [%r7], %r0;\nld.shared.u8 %r1, [%r7];",
         {64}},
        {"shared_atomic_and_store",
         Fault::Kind::kRace,
         "setp.eq.u32 %p1, %r0, 0;\n@%p1 st.shared.u32 [s], 0;\nbar.warp.sync -1;\nred.shared.add.u32 [s], 1;\nsetp.eq.u32 %p2, %r0, "
         "40;\n@%p2 st.shared.u32 [s], 5;",
         "setp.eq.u32 %p1, %r0, 0;\n@%p1 st.shared.u32 [s], 0;\nbar.sync 0;\nred.shared.add.u32 [s], 1;\nbar.sync 0;\nsetp.eq.u32 %p2, "
         "%r0, 40;\n@%p2 st.shared.u32 [s], 5;",
         {64}},
        {"ldmatrix_without_syncwarp", Fault::Kind::kRace,
         "mad.lo.u32 %r7, %r0, 16, %r3;\nst.shared.v4.u32 [%r7], {%r0,%r0,%r0,%r0};\nldmatrix.sync.aligned.m8n8.x4.shared.b16 "
         "{%r10,%r11,%r12,%r13}, [%r7];",
         "mad.lo.u32 %r7, %r0, 16, %r3;\nst.shared.v4.u32 [%r7], {%r0,%r0,%r0,%r0};\nbar.warp.sync "
         "-1;\nldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10,%r11,%r12,%r13}, [%r7];"},
        {"global_race_between_blocks",
         Fault::Kind::kRace,
         "st.global.u32 [%rd3], %r5;",
         "mad.wide.u32 %rd4, %r5, 128, %rd3;\nst.global.u32 [%rd4], %r5;",
         {32},
         {2}},
        {"global_race_read_of_another_block",
         Fault::Kind::kRace,
         "mad.wide.u32 %rd4, %r5, 128, %rd3;\nst.global.u32 [%rd4], 1;\nld.global.u32 %r1, [%rd1];",
         "mad.wide.u32 %rd4, %r5, 128, %rd3;\nst.global.u32 [%rd4], 1;\nld.global.u32 %r1, [%rd4];",
         {32},
         {2}},
        {"last_block_without_a_fence",
         Fault::Kind::kRace,
         "mad.wide.u32 %rd4, %r5, 4, %rd1;\nadd.u32 %r6, %r5, 7;\nst.global.u32 [%rd4], %r6;\natom.global.add.u32 %r1, [%rd0], "
         "1;\nsetp.ne.u32 %p1, %r1, 4;\n@%p1 bra $end;\nld.global.u32 %r1, [%rd1];\nld.global.u32 %r1, [%rd1+4];\nld.global.u32 %r1, "
         "[%rd1+8];\nld.global.u32 %r1, [%rd1+12];\n$end:",
         "mad.wide.u32 %rd4, %r5, 4, %rd1;\nadd.u32 %r6, %r5, 7;\nst.global.u32 [%rd4], %r6;\nmembar.gl;\natom.global.add.u32 %r1, [%rd0], "
         "1;\nsetp.ne.u32 %p1, %r1, 4;\n@%p1 bra $end;\nld.global.u32 %r1, [%rd1];\nld.global.u32 %r1, [%rd1+4];\nld.global.u32 %r1, "
         "[%rd1+8];\nld.global.u32 %r1, [%rd1+12];\n$end:",
         {1},
         {4}},
        {"copy_read_before_the_barrier",
         Fault::Kind::kRace,
         kOtherWarp +
             "add.s64 %rd4, %rd0, %rd2;\ncp.async.ca.shared.global [%r4], [%rd4], 4;\ncp.async.wait_all;\nld.shared.u32 %r1, [%r6];",
         kOtherWarp + "add.s64 %rd4, %rd0, %rd2;\ncp.async.ca.shared.global [%r4], [%rd4], 4;\ncp.async.wait_all;\nbar.sync "
                      "0;\nld.shared.u32 %r1, [%r6];",
         {64}},
        {"copy_without_a_wait", Fault::Kind::kUnwritten,
         "add.s64 %rd4, %rd0, %rd2;\ncp.async.ca.shared.global [%r4], [%rd4], 4;\ncp.async.commit_group;\nld.shared.u32 %r1, [%r4];",
         "add.s64 %rd4, %rd0, %rd2;\ncp.async.ca.shared.global [%r4], [%rd4], 4;\ncp.async.commit_group;\ncp.async.wait_group "
         "0;\nld.shared.u32 %r1, [%r4];"},
        {"divergent_barrier",
         Fault::Kind::kDivergentBarrier,
         "setp.lt.u32 %p1, %r0, 5;\n@%p1 bra $a;\nbar.sync 0;\nbra.uni $b;\n$a: bar.sync 0;\n$b:",
         "setp.lt.u32 %p1, %r0, 5;\n@%p1 bra $a;\nmov.u32 %r1, 0;\n$a: bar.sync 0;",
         {64}},
        {"warps_at_different_barriers",
         Fault::Kind::kDeadlock,
         "setp.lt.u32 %p1, %r0, 32;\n@%p1 bra $a;\nbar.sync 1;\nbra.uni $b;\n$a: bar.sync 2;\n$b:",
         "setp.lt.u32 %p1, %r0, 32;\n@%p1 bra $a;\nbar.sync 1, 32;\nbra.uni $b;\n$a: bar.sync 2, 32;\n$b:",
         {64}},
        {"shuffle_in_a_branch", Fault::Kind::kLanesMissing,
         "setp.lt.u32 %p1, %r0, 5;\n@%p1 bra $a;\nmov.u32 %r1, 0;\nbra.uni $b;\n$a: shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;\n$b: "
         "bar.warp.sync -1;",
         "shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;"},
        {"shuffle_from_an_absent_lane", Fault::Kind::kLanesMissing,
         "setp.lt.u32 %p1, %r0, 16;\n@%p1 bra $a;\nexit;\n$a: shfl.sync.idx.b32 %r1, %r0, 20, 31, 0xffff;",
         "setp.lt.u32 %p1, %r0, 16;\n@%p1 bra $a;\nexit;\n$a: shfl.sync.idx.b32 %r1, %r0, 11, 31, 0xffff;"},
        {"mask_without_the_caller", Fault::Kind::kLanesMissing, "vote.sync.ballot.b32 %r1, 1, 0xffff;",
         "vote.sync.ballot.b32 %r1, 1, 0xffffffff;"},
        {"mma_by_half_a_warp",
         Fault::Kind::kLanesMissing,
         "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r10}, [s];",
         "shfl.sync.idx.b32 %r1, %r0, 0, 31, 0xffff;",
         {16}},
        {"trap", Fault::Kind::kTrap, "trap;", "setp.gt.u32 %p1, %r0, 99;\n@%p1 trap;"},
        {"endless", Fault::Kind::kDeadlock, "$a: bra $a;",
         "mov.u32 %r1, 0;\n$a: add.u32 %r1, %r1, 1;\nsetp.lt.u32 %p1, %r1, 100;\n@%p1 bra $a;"},
    }),
    [](const auto& one) { return std::string(one.param.name); });

TEST(PtxFault, SaysKernelBlockThreadAndBothLines) {
  Memory memory;
  Array<u32> out(memory, std::vector<u32>(100));
  const Module module(header() + R"(.visible .entry writes(.param .u64 out)
{
.reg .b64 %rd<4>;
.reg .b32 %r<4>;
.loc 1 40 3
ld.param.u64 %rd1, [out];
mov.u32 %r1, %tid.y;
mov.u32 %r2, %ctaid.x;
mul.wide.u32 %rd2, %r1, 100;
add.s64 %rd1, %rd1, %rd2;
.loc 1 41 5
mov.u32 %r3, 1;
.loc 2 7 9, function_name $L__info_string0, inlined_at 1 41 5
st.global.u32 [%rd1], %r3;
ret;
}
.file 1 "kernel.cu"
.file 2 "store.h"
.section .debug_str
{
$L__info_string0:
.b8 115,116,111,114,101,0
}
)",
                      memory);
  Machine machine;
  try {
    machine.launch(module, *module.kernel("writes"), {1}, {2, 8}, parameters(out.address()));
    FAIL() << "nothing was seen";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, Fault::Kind::kOutside);
    EXPECT_EQ(fault.kernel, "writes");
    EXPECT_EQ(fault.thread, (Dim{0, 4, 0}));
    EXPECT_EQ(fault.ptx_line, 17u);
    ASSERT_EQ(fault.source.size(), 2u);
    EXPECT_EQ(fault.source[0].file, "store.h");
    EXPECT_EQ(fault.source[0].line, 7u);
    EXPECT_EQ(fault.source[0].function, "store");
    EXPECT_EQ(fault.source[1].file, "kernel.cu");
    EXPECT_EQ(fault.source[1].line, 41u);
    EXPECT_EQ(
        fault.message(),
        "writes: an access outside of memory: it stores 4 bytes at byte 400 of an allocation of 400 bytes, block (0,0,0), thread (0,4,0), "
        "store.h:7 (PTX line 17: st.global.u32 [%rd1], %r3;), inlined at kernel.cu:41");
  }
}

TEST(PtxFault, FreedMemoryIsNotTakenForNoMemory) {
  Memory memory;
  Array<u32> in(memory, std::vector<u32>(64)), out(memory, std::vector<u32>(64));
  const Module module(kernel_of("ld.global.u32 %r1, [%rd0];"), memory);
  Machine machine;
  memory.remove(in.data());
  try {
    machine.launch(module, *module.kernel("k"), {1}, {32}, parameters(in.address(), out.address()));
    FAIL() << "nothing was seen";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, Fault::Kind::kFreed);
    EXPECT_THAT(fault.message(), HasSubstr("byte 0 of 256 that were freed"));
  }
  EXPECT_THROW(memory.remove(in.data()), Error);
}

TEST(PtxFault, FindingsCanBeCollectedWhileTheKernelGoesOn) {
  Memory memory;
  Array<u32> in(memory, std::vector<u32>(64)), out(memory, std::vector<u32>(64), Memory::Content::kUnwritten);
  const Module module(
      kernel_of("ld.global.u32 %r1, [%rd1];\nmul.wide.u32 %rd2, %r0, 4;\nadd.s64 %rd2, %rd1, %rd2;\nst.global.u32 [%rd2], 3;"), memory);
  Machine machine;
  Options options;
  options.detect.unwritten = true;
  int found = 0;
  options.found = [&](const Fault& fault) { found += fault.kind == Fault::Kind::kUnwritten; };
  machine.launch(module, *module.kernel("k"), {1}, {32}, parameters(in.address(), out.address()), 0, options);
  EXPECT_EQ(found, 32);
  EXPECT_EQ(out[31], 3u);
}

struct Launch {
  const char* name;
  Dim grid, block;
  size_t dynamic;
  const char* says;
};
class PtxLimits : public testing::TestWithParam<Launch> {};

TEST_P(PtxLimits, AreThoseOfTheDevice) {
  Memory memory;
  const Module module(header() + ".entry k() .maxntid 512 { .shared .b8 s[100]; ret; }", memory);
  Machine machine;
  const Launch& launch = GetParam();
  Options options;
  options.limits.registers_per_thread = 200;
  const auto starts = [&](Dim grid, Dim block, size_t dynamic) {
    machine.launch(module, *module.kernel("k"), grid, block, {}, dynamic, options);
  };
  EXPECT_NO_THROW(starts({2, 2}, {256}, 1024));
  try {
    starts(launch.grid, launch.block, launch.dynamic);
    FAIL() << "nothing was seen";
  } catch (const Fault& fault) {
    EXPECT_EQ(fault.kind, Fault::Kind::kLimit);
    EXPECT_THAT(fault.message(), HasSubstr(launch.says));
  }
}
INSTANTIATE_TEST_SUITE_P(What, PtxLimits,
                         testing::Values(Launch{"threads", {1}, {1024, 2}, 0, "2048 threads in a block, and 1024 is the most"},
                                         Launch{"z", {1}, {1, 1, 65}, 0, "a block of (1,1,65)"},
                                         Launch{"grid", {1, 65536}, {32}, 0, "a grid of (1,65536,1)"},
                                         Launch{"nothing", {0}, {32}, 0, "a grid of (0,1,1)"},
                                         Launch{"bounds", {1}, {544}, 0, "its __launch_bounds__ promise at most 512"},
                                         Launch{"shared", {1}, {32}, 232448, "bytes of shared memory, and 232448 is the most"},
                                         Launch{"registers", {1}, {384}, 0, "384 threads with 200 registers each, and a block has 65536"}),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace mirilla::ptx
