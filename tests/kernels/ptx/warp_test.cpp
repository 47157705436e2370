// SPDX-License-Identifier: MIT
#include "tests/kernels/ptx/launch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <functional>
#include <numeric>

// What lanes do together: shuffles, votes, barriers, divergence, calls, memory of all spaces, atomics, late copies.

namespace mirilla::ptx {
namespace {

using testing::Each;
using testing::ElementsAre;

std::vector<u32> counting(u32 n) {
  std::vector<u32> words(n);
  std::iota(words.begin(), words.end(), 0u);
  return words;
}
// %r1 = in[t]; out[t] = %r4
std::string around(std::string_view instructions) {
  return "mul.wide.u32 %rd2, %r0, 4;\nadd.s64 %rd4, %rd0, %rd2;\nadd.s64 %rd3, %rd1, %rd2;\nld.global.u32 %r1, [%rd4];\n" +
         std::string(instructions) + "\nst.global.u32 [%rd3], %r4;\n";
}
void expect(std::string_view instructions, const std::function<u32(u32)>& expected, Dim block = {32}) {
  for (u64 seed : {0, 1, 2, 3}) {
    Options options;
    options.seed = seed;
    const u32 n = static_cast<u32>(block.count());
    const auto out = run_words(around(instructions), counting(n), n, block, options);
    for (u32 t = 0; t < n; ++t) ASSERT_EQ(out[t], expected(t)) << instructions << " thread " << t << " seed " << seed;
  }
}

TEST(PtxShuffle, FollowsTheIsasSegmentsAndClamps) {
  expect("shfl.sync.up.b32 %r4|%p1, %r1, 3, 0, -1;\n@!%p1 add.u32 %r4, %r4, 100;", [](u32 t) { return t >= 3 ? t - 3 : t + 100; });
  expect("shfl.sync.down.b32 %r4|%p1, %r1, 5, 31, -1;\n@!%p1 add.u32 %r4, %r4, 100;", [](u32 t) { return t + 5 <= 31 ? t + 5 : t + 100; });
  expect("shfl.sync.bfly.b32 %r4, %r1, 16, 31, -1;", [](u32 t) { return t ^ 16; });
  expect("shfl.sync.idx.b32 %r4, %r1, 7, 31, 0xffffffff;", [](u32) { return 7u; });
  // width 8: the clamp is ((32-8) << 8) | 31
  expect("shfl.sync.down.b32 %r4|%p1, %r1, 3, 0x181f, -1;\n@!%p1 add.u32 %r4, %r4, 100;",
         [](u32 t) { return t % 8 + 3 < 8 ? t + 3 : t + 100; });
  expect("shfl.sync.idx.b32 %r4, %r1, 2, 0x181f, -1;", [](u32 t) { return t / 8 * 8 + 2; });
}

TEST(PtxVote, CountsTheLanesOfItsMask) {
  expect("setp.gt.u32 %p1, %r1, 4;\nvote.sync.ballot.b32 %r4, %p1, -1;", [](u32) { return 0xffffffe0u; });
  expect("setp.gt.u32 %p1, %r1, 4;\nvote.sync.ballot.b32 %r4, !%p1, -1;", [](u32) { return 0x1fu; });
  expect("setp.lt.u32 %p1, %r1, 32;\nvote.sync.all.pred %p2, %p1, -1;\nselp.u32 %r4, 1, 0, %p2;", [](u32) { return 1u; });
  expect(
      "setp.eq.u32 %p1, %r1, 40;\nvote.sync.any.pred %p2, %p1, -1;\nvote.sync.uni.pred %p3, %p1, -1;\nselp.u32 %r4, 1, 0, %p2;\n@%p3 "
      "add.u32 %r4, %r4, 2;",
      [](u32) { return 2u; });
}

TEST(PtxMatch, GroupsEqualValues) {
  expect("and.b32 %r2, %r1, 3;\nmatch.any.sync.b32 %r4, %r2, -1;", [](u32 t) { return 0x11111111u << (t % 4); });
  expect("mov.u32 %r2, 9;\nmatch.all.sync.b32 %r4|%p1, %r2, -1;\n@!%p1 mov.u32 %r4, 5;", [](u32) { return 0xffffffffu; });
  expect("match.all.sync.b32 %r4|%p1, %r1, -1;\n@!%p1 add.u32 %r4, %r4, 5;", [](u32) { return 5u; });
}

TEST(PtxRedux, ReducesOverItsMask) {
  expect("redux.sync.add.u32 %r4, %r1, -1;", [](u32) { return 496u; });
  expect("sub.s32 %r2, %r1, 9;\nredux.sync.min.s32 %r4, %r2, -1;", [](u32) { return static_cast<u32>(-9); });
  expect("redux.sync.xor.b32 %r4, %r1, -1;", [](u32) { return 0u; });
  expect("elect.sync %r2|%p1, -1;\nselp.u32 %r4, 1, 0, %p1;\nvote.sync.ballot.b32 %r3, %p1, -1;\npopc.b32 %r4, %r3;",
         [](u32) { return 1u; });
}

TEST(PtxMasks, PartsOfAWarpShuffleByThemselves) {
  expect(R"(setp.lt.u32 %p1, %r1, 12;
@%p1 bra $low;
redux.sync.add.u32 %r4, %r1, 0xfffff000;
bra.uni $end;
$low:
activemask.b32 %r2;
redux.sync.add.u32 %r4, %r1, 0xfff;
$end:)",
         [](u32 t) { return t < 12 ? 66u : 430u; });
}

TEST(PtxDivergence, LoopsOfDifferentLengthMeetAgain) {
  expect(
      "mov.u32 %r4, 0;\n$loop:\nadd.u32 %r4, %r4, %r1;\nadd.u32 %r1, %r1, -1;\nsetp.gt.s32 %p1, %r1, 0;\n@%p1 bra $loop;\nbar.warp.sync "
      "-1;",
      [](u32 t) { return t * (t + 1) / 2; });
}

TEST(PtxDivergence, TablesOfBranches) {
  expect(R"(and.b32 %r2, %r1, 3;
$table: .branchtargets $a, $b, $a, $c;
brx.idx %r2, $table;
$a: mov.u32 %r4, 10;
bra $end;
$b: mov.u32 %r4, 20;
bra $end;
$c: mov.u32 %r4, 30;
$end:)",
         [](u32 t) { return t % 4 == 1   ? 20u
                            : t % 4 == 3 ? 30u
                                         : 10u; });
}

TEST(PtxDivergence, SomeLanesMaySpinForOthersOfTheirWarp) {  // lanes are independent: the lock's holder gets a turn
  const auto out = run_words(R"(
$try: atom.global.cas.b32 %r2, [%rd0], 0, 1;
setp.ne.s32 %p1, %r2, 0;
@%p1 bra $try;
ld.volatile.global.u32 %r3, [%rd0+4];
add.u32 %r3, %r3, 1;
st.volatile.global.u32 [%rd0+4], %r3;
membar.gl;
atom.global.exch.b32 %r2, [%rd0], 0;
st.volatile.global.u32 [%rd1], %r3;)",
                             {0, 0});
  EXPECT_EQ(out[0], 32u);
}

TEST(PtxBarrier, OrdersSharedMemoryOfABlock) {
  const std::string reverse = R"(.shared .align 4 .b8 s[1024];
mov.u32 %r2, s;
shl.b32 %r3, %r0, 2;
add.u32 %r3, %r2, %r3;
st.shared.u32 [%r3], %r1;
bar.sync 0;
mov.u32 %r5, %ntid.x;
sub.u32 %r5, %r5, %r0;
shl.b32 %r5, %r5, 2;
add.u32 %r5, %r2, %r5;
ld.shared.u32 %r4, [%r5+-4];)";
  expect(reverse, [](u32 t) { return 255 - t; }, {256});
  expect(reverse, [](u32 t) { return 99 - t; }, {100});  // a warp of 4
}

TEST(PtxBarrier, ReducesPredicates) {
  expect("setp.lt.u32 %p1, %r1, 70;\nbar.red.popc.u32 %r4, 3, %p1;", [](u32) { return 70u; }, {128});
  expect(
      "setp.lt.u32 %p1, %r1, 70;\nbar.red.and.pred %p2, 0, %p1;\nbar.red.or.pred %p3, 0, %p1;\nselp.u32 %r4, 1, 0, %p2;\n@%p3 add.u32 %r4, "
      "%r4, 2;",
      [](u32) { return 2u; }, {128});
}

TEST(PtxBarrier, NamedOnesWithCountsPassFromProducersToConsumers) {
  expect(R"(.shared .align 4 .b8 s[128];
mov.u32 %r2, s;
and.b32 %r3, %r0, 31;
shl.b32 %r3, %r3, 2;
add.u32 %r3, %r2, %r3;
mov.u32 %r4, 0;
setp.ge.u32 %p1, %r0, 32;
@%p1 bra $consume;
st.shared.u32 [%r3], %r1;
bar.arrive 5, 64;
bra $end;
$consume: bar.sync 5, 64;
ld.shared.u32 %r4, [%r3];
$end:)",
         [](u32 t) { return t < 32 ? 0 : t - 32; }, {64});
}

TEST(PtxBarrier, ThreadsThatHaveEndedAreNotWaitedFor) {
  const auto out = run_words(
      "setp.ge.u32 %p1, %r0, 64;\n@%p1 exit;\nbar.sync 0;\nmul.wide.u32 %rd2, %r0, 4;\nadd.s64 %rd3, %rd1, %rd2;\nst.global.u32 [%rd3], 7;",
      {0}, 96, {96});
  EXPECT_EQ(out[63], 7u);
  EXPECT_EQ(out[64], 0u);
}

TEST(PtxMemory, VectorsSignsAndWidths) {
  const auto out = run_words(R"(
ld.global.v4.s8 {%r1, %r2, %r3, %r4}, [%rd0];
st.global.v4.u32 [%rd1], {%r1, %r2, %r3, %r4};
ld.global.v2.u16 {%h1, %h2}, [%rd0+4];
st.global.v2.u16 [%rd1+16], {%h2, %h1};
ld.global.s16 %rd5, [%rd0+4];
st.global.u64 [%rd1+24], %rd5;
st.global.u8 [%rd1+32], %r1;
mov.b64 {%r5, %r6}, %rd5;
mov.b64 %rd6, {%r6, %r5};
st.global.b64 [%rd1+40], %rd6;)",
                             {0x80ff7f01, 0x1234fedc}, 12, {1});
  EXPECT_THAT(out, ElementsAre(1, 127, 0xffffffff, 0xffffff80, 0xfedc1234, 0, 0xfffffedc, 0xffffffff, 1, 0, 0xffffffff, 0xfffffedc));
}

TEST(PtxMemory, GenericAddressesReachEverySpace) {
  const auto out = run_words(R"(
mov.u64 %rd5, s;
cvta.shared.u64 %rd6, %rd5;
st.u32 [%rd6+4], 11;
ld.shared.u32 %r1, [s+4];
st.global.u32 [%rd1], %r1;
mov.u64 %rd7, stack;
cvta.local.u64 %rd8, %rd7;
st.u32 [%rd8], %r0;
ld.local.u32 %r2, [stack];
add.u32 %r2, %r2, 22;
st.global.u32 [%rd1+4], %r2;
cvta.global.u64 %rd9, %rd1;
st.u32 [%rd9+8], 33;
isspacep.shared %p1, %rd6;
isspacep.local %p2, %rd8;
isspacep.global %p3, %rd9;
isspacep.global %p4, %rd6;
selp.u32 %r3, 1, 0, %p1;
@%p2 add.u32 %r3, %r3, 2;
@%p3 add.u32 %r3, %r3, 4;
@%p4 add.u32 %r3, %r3, 8;
st.global.u32 [%rd1+12], %r3;
ld.const.u32 %r4, [table+4];
st.global.u32 [%rd1+16], %r4;
cvta.to.shared.u64 %rd10, %rd6;
sub.s64 %rd10, %rd10, %rd5;
st.global.u64 [%rd1+24], %rd10;)",
                             {0}, 8, {1}, {}, ".const .align 4 .u32 table[2] = {1, 44};",
                             ".shared .align 8 .b8 s[16];\n.local .align 8 .b8 stack[8];\n");
  EXPECT_THAT(out, ElementsAre(11, 22, 33, 7, 44, 0, 0, 0));
}

TEST(PtxMemory, DynamicSharedMemoryFollowsTheStatic) {
  const auto out = run_words(
      "mov.u32 %r1, dyn;\nst.shared.u32 [%r1+60], 5;\nld.shared.u32 %r2, [dyn+60];\nst.global.u32 [%rd1], %r1;\nst.global.u32 [%rd1+4], "
      "%r2;\nmov.u32 %r3, %dynamic_smem_size;\nst.global.u32 [%rd1+8], %r3;",
      {0}, 3, {1}, {}, ".extern .shared .align 16 .b8 dyn[];", ".shared .align 4 .b8 s[20];\nst.shared.u32 [s], 1;\n", 64);
  EXPECT_THAT(out, ElementsAre(128, 5, 64));
}

TEST(PtxAtomics, AreWhatTheIsaSays) {
  const auto out = run_words(R"(
atom.global.add.u32 %r1, [%rd1], 2;
atom.global.max.s32 %r2, [%rd1+4], %r0;
red.global.min.s32 [%rd1+8], -3;
atom.global.inc.u32 %r3, [%rd1+12], 20;
atom.global.dec.u32 %r4, [%rd1+16], 5;
red.global.or.b32 [%rd1+20], %r0;
red.global.add.f32 [%rd1+24], 0f3F000000;
atom.global.exch.b32 %r5, [%rd1+28], 9;
red.relaxed.gpu.global.add.noftz.f16x2 [%rd1+32], %r99;
atom.add.noftz.bf16 %h2, [%rd1+36], %h1;
red.global.add.f64 [%rd1+40], 0d3FD0000000000000;
red.global.add.u64 [%rd1+48], 0x80000001;)",
                             {0}, 14, {32}, {}, {}, "mov.b32 %r99, 0x3c004000;\nmov.b16 %h1, 0x3f80;\n");
  EXPECT_THAT(out, ElementsAre(64, 31, static_cast<u32>(-3), 32 % 21, 4, 31, 0x41800000, 9, 0x50005400, 0x4200, 0, 0x40200000, 0x20, 16));
}

TEST(PtxAtomics, OfManyBlocksOnManyThreadsAddUp) {
  Options options;
  options.threads = 4;
  const auto out =
      run_words("atom.global.add.u32 %r1, [%rd1], 1;\nred.global.add.f32 [%rd1+4], 0f3F800000;", {0}, 2, {64}, options, {}, {}, 0, {100});
  EXPECT_THAT(out, ElementsAre(6400, std::bit_cast<u32>(6400.0f)));
}

TEST(PtxCalls, PassValuesArraysAndResults) {
  const std::string function = R"(
.func (.param .b32 result) twice(.param .b32 x, .param .align 8 .b8 pair[16])
{
  .reg .b32 %r<9>;
  .reg .pred %p<2>;
  .local .align 4 .b8 mine[8];
  ld.param.u32 %r1, [x];
  ld.param.u32 %r2, [pair+12];
  st.local.u32 [mine+4], %r2;
  setp.gt.u32 %p1, %r1, 15;
  @%p1 bra $large;
  ld.local.u32 %r3, [mine+4];
  mad.lo.u32 %r3, %r1, 2, %r3;
  st.param.b32 [result], %r3;
  ret;
$large:
  st.param.b32 [result], 1000;
  ret;
}
)";
  const std::string body = R"(.reg .b32 %keep;
mov.u32 %keep, %r0;
st.local.u32 [outer], 77;
{
.param .b32 a;
.param .align 8 .b8 b[16];
.param .b32 c;
st.param.b32 [a], %r0;
st.param.v2.b32 [b+8], {1, 5};
call.uni (c), twice, (a, b);
ld.param.b32 %r4, [c];
}
add.u32 %r4, %r4, %keep;
ld.local.u32 %r5, [outer];
sub.u32 %r5, %r5, 77;
add.u32 %r4, %r4, %r5;
mul.wide.u32 %rd2, %r0, 4;
add.s64 %rd3, %rd1, %rd2;
st.global.u32 [%rd3], %r4;)";
  for (u64 seed : {0, 5}) {
    Options options;
    options.seed = seed;
    const auto out = run_words(body, {0}, 32, {32}, options, function, ".local .align 4 .b8 outer[4];\n");
    for (u32 t = 0; t < 32; ++t) EXPECT_EQ(out[t], (t > 15 ? 1000 : 2 * t + 5) + t) << t;
  }
}

TEST(PtxCalls, PrintfFormatsAsC) {
  std::string printed;
  Options options;
  options.print = [&](std::string_view text) { printed += text; };
  const std::string before =
      ".extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 a);\n.global .align 1 .b8 text[24] = "
      "{37,100,32,37,53,46,50,102,32,37,108,108,117,32,37,115,37,37,10,0};\n.global .align 1 .b8 word[4]={97,98,99,0};\n";
  run_words(R"(
setp.gt.u32 %p1, %r0, 1;
@%p1 bra $end;
sub.s32 %r1, %r0, 7;
st.local.u32 [stack], %r1;
st.local.f64 [stack+8], 0d3FF4000000000000;
st.local.u64 [stack+16], 0xffffffffffffffff;
mov.u64 %rd5, word;
cvta.global.u64 %rd5, %rd5;
st.local.u64 [stack+24], %rd5;
mov.u64 %rd6, stack;
cvta.local.u64 %rd6, %rd6;
mov.u64 %rd7, text;
cvta.global.u64 %rd7, %rd7;
{ .param .b64 f; .param .b64 a; .param .b32 r;
st.param.b64 [f], %rd7;
st.param.b64 [a], %rd6;
call.uni (r), vprintf, (f, a);
ld.param.b32 %r2, [r]; }
$end:)",
            {0}, 1, {32}, options, before, ".local .align 8 .b8 stack[32];\n");
  EXPECT_EQ(printed, "-7  1.25 18446744073709551615 abc%\n-6  1.25 18446744073709551615 abc%\n");
}

const std::string kCopy = R"(
shl.b32 %r2, %r0, 2;
mov.u32 %r3, s;
add.u32 %r3, %r3, %r2;
st.shared.u32 [%r3], 1000;
cp.async.ca.shared.global [%r3], [%rd4], 4;
cp.async.commit_group;
)";
TEST(PtxAsync, CopiesHappenWhenTheyAreWaitedForAndNotBefore) {
  const std::string s = ".shared .align 4 .b8 s[128];\n";
  expect(s + kCopy + "ld.shared.u32 %r4, [%r3];\ncp.async.wait_group 0;", [](u32) { return 1000u; });
  expect(s + kCopy + "cp.async.wait_group 1;\nld.shared.u32 %r4, [%r3];", [](u32) { return 1000u; });
  expect(s + kCopy + "cp.async.wait_group 0;\nld.shared.u32 %r4, [%r3];", [](u32 t) { return t; });
  expect(s + kCopy + "cp.async.wait_all;\nld.shared.u32 %r4, [%r3];", [](u32 t) { return t; });
  expect(s + kCopy + "mov.u32 %r5, 0;\ncp.async.ca.shared.global [%r3], [%rd4], 4, %r5;\ncp.async.wait_all;\nld.shared.u32 %r4, [%r3];",
         [](u32) { return 0u; });
}

TEST(PtxAsync, MbarriersHavePhases) {
  expect(R"(.shared .align 8 .b8 bar[8];
.shared .align 4 .b8 s[256];
mov.u32 %r2, bar;
setp.eq.u32 %p1, %r0, 0;
@%p1 mbarrier.init.shared.b64 [%r2], 64;
bar.sync 0;
shl.b32 %r3, %r0, 2;
mov.u32 %r5, s;
add.u32 %r5, %r5, %r3;
st.shared.u32 [%r5], %r1;
mbarrier.arrive.shared.b64 %rd5, [%r2];
$wait: mbarrier.try_wait.shared.b64 %p2, [%r2], %rd5;
@!%p2 bra $wait;
xor.b32 %r6, %r3, 128;
mov.u32 %r5, s;
add.u32 %r5, %r5, %r6;
ld.shared.u32 %r4, [%r5];)",
         [](u32 t) { return t ^ 32; }, {64});
}

TEST(PtxSpecials, TheSystemsSharedMemoryLiesBehindTheKernelsAndIsZeroAtFirst) {
  const std::string_view at_reserved =
      ".shared .align 4 .b8 own[8];\nmov.u32 %r2, own;\nst.shared.u32 [%r2+4], 7;\nmov.u32 %r3, %reserved_smem_offset_1;\n";
  expect(std::string(at_reserved) + R"(ld.shared.u32 %r4, [%r3+1020];
mov.u32 %r5, %total_smem_size;
setp.lt.u32 %p1, %r3, %r5;
@%p1 add.u32 %r4, %r4, 100;
add.u32 %r4, %r4, %r5;)",
         [](u32) { return 128u; });  // in units of 128 bytes
  EXPECT_THROW(run_words(around(std::string(at_reserved) + "ld.shared.u32 %r4, [%r3+1024];"), counting(32), 32, Dim{32}, {}), Fault);
}

TEST(PtxDependentLaunch, HasNothingToWaitFor) {
  expect("griddepcontrol.wait;\nadd.u32 %r4, %r1, 1;\ngriddepcontrol.launch_dependents;", [](u32 t) { return t + 1; });
}

TEST(PtxSpecials, ACooperativeKernelFindsItsWorkspaceHighHalfFirst) {
  Options options;
  options.workspace = 0x1234567890abcdefull;
  EXPECT_THAT(run_words(around("mov.u32 %r4, %envreg1;"), counting(2), 2, Dim{2}, options), Each(0x12345678u));
  EXPECT_THAT(run_words(around("mov.u32 %r4, %envreg2;"), counting(2), 2, Dim{2}, options), Each(0x90abcdefu));
}

// Without it the first warp would ask thousands of times before the other one's turn.
TEST(PtxSleep, LetsTheOtherWarpRun) {
  constexpr std::string_view kBody = R"(.shared .align 4 .b32 flag;
mov.u32 %r2, flag;
setp.lt.u32 %p1, %r0, 32;
@!%p1 bra $raise;
$wait:
nanosleep.u32 100;
ld.volatile.shared.u32 %r3, [%r2];
setp.ne.u32 %p2, %r3, 7;
@%p2 bra $wait;
bra $end;
$raise:
st.volatile.shared.u32 [%r2], 7;
$end:
mul.wide.u32 %rd2, %r0, 4;
add.s64 %rd1, %rd1, %rd2;
st.global.u32 [%rd1], %r0;)";
  Options options;
  options.patience = 100;
  EXPECT_EQ(run_words(kBody, {0}, 64, Dim{64}, options), counting(64));
}

// The copy may be complete before the arrival that says how many bytes come: only both together end the phase.
std::string bulk_copy_of(std::string_view bytes) {
  return R"(.shared .align 16 .b8 room[64];
.shared .align 8 .b64 barrier;
mov.u32 %r2, room;
mov.u32 %r3, barrier;
setp.eq.u32 %p1, %r0, 0;
@%p1 mbarrier.init.shared.b64 [%r3], 1;
bar.sync 0;
@!%p1 bra $wait;
cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r2], [%rd0], )" +
         std::string(bytes) + R"(, [%r3];
mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 64;
$wait:
mbarrier.try_wait.parity.shared.b64 %p2, [%r3], 0;
@!%p2 bra $wait;
and.b32 %r6, %r0, 15;
shl.b32 %r6, %r6, 2;
add.u32 %r6, %r6, %r2;
ld.shared.u32 %r4, [%r6];)";
}

TEST(PtxBulkCopy, TellsItsBytesToAnMbarrier) {
  expect(bulk_copy_of("64"), [](u32 t) { return t % 16; }, {64});
  EXPECT_THROW(run_words(around(bulk_copy_of("24")), counting(32)), Fault);
  EXPECT_THROW(run_words(around("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%r2], [%rd0], 64, "
                                "[%r3], %h0;"),
                         counting(32)),
               Error);
}

TEST(PtxBulkCopy, WritesToGlobalMemory) {
  const auto out = run_words(R"(.shared .align 16 .b8 room[64];
mov.u32 %r2, room;
shl.b32 %r3, %r0, 2;
add.u32 %r3, %r3, %r2;
st.shared.u32 [%r3], %r0;
bar.sync 0;
setp.ne.u32 %p1, %r0, 0;
@%p1 bra $end;
cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r2], 48;
cp.async.bulk.commit_group;
cp.async.bulk.wait_group.read 0;
$end:)",
                             counting(16), 16, Dim{16});
  EXPECT_THAT(out, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 0, 0, 0));
}

}  // namespace
}  // namespace mirilla::ptx
