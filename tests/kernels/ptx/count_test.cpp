// SPDX-License-Identifier: MIT
#include "kernels/ptx/count.h"

#include "tests/kernels/ptx/launch.h"

#include <gtest/gtest.h>

#include <algorithm>

// Counts of kernels that can be verified by hand.

namespace mirilla::ptx {
namespace {

constexpr std::string_view kAddress = "mul.wide.u32 %rd2, %r0, 4;\nadd.s64 %rd3, %rd1, %rd2;\nadd.s64 %rd4, %rd0, %rd2;\n";

Counts::Kernel counted(std::string_view body, Dim block = {32}, Dim grid = {}, std::string_view declarations = {}) {
  Counts counts;
  Options options;
  options.counts = &counts;
  run_words(std::string(kAddress) + std::string(body), std::vector<u32>(4096, 1), 4096, block, options, {}, declarations, 0, grid);
  return counts.kernels.at("k");
}
Count at_line(const Counts::Kernel& kernel, std::string_view body, std::string_view instruction, std::string_view declarations = {}) {
  const std::string text = kernel_of(std::string(kAddress) + std::string(body), {}, declarations);
  const u32 line = static_cast<u32>(std::count(text.begin(), text.begin() + static_cast<long>(text.find(instruction)), '\n')) + 1;
  const auto found = kernel.by_ptx_line.find(line);
  return found == kernel.by_ptx_line.end() ? Count{} : found->second;
}
Count of(std::string_view body, std::string_view instruction, Dim block = {32}, std::string_view declarations = {}) {
  return at_line(counted(body, block, {}, declarations), body, instruction, declarations);
}

TEST(PtxCount, WarpAndLaneInstructions) {
  const std::string_view body = "setp.lt.u32 %p1, %r0, 5;\n@%p1 bra $a;\nadd.u32 %r1, %r0, 1;\nadd.f32 %f1, %f1, %f1;\n$a: mov.u32 %r1, 0;";
  const auto kernel = counted(body, {48}, {3});  // two warps, the second of 16 lanes; three blocks
  EXPECT_EQ(kernel.launches, 1u);
  EXPECT_EQ(at_line(kernel, body, "setp.lt").warp_instructions, 6u);
  EXPECT_EQ(at_line(kernel, body, "setp.lt").lane_instructions, 144u);
  EXPECT_EQ(at_line(kernel, body, "add.u32 %r1").lane_instructions, 3u * (27 + 16));
  EXPECT_EQ(at_line(kernel, body, "@%p1 bra").divergent_branches, 3u);
  EXPECT_EQ(at_line(kernel, body, "mov.u32 %r1, 0").lane_instructions, 144u);  // lanes together again
  EXPECT_EQ(at_line(kernel, body, "mov.u32 %r1, 0").warp_instructions, 6u);
  EXPECT_EQ(kernel.total.by_class[static_cast<size_t>(InstructionClass::kFloat)], 6u);
  EXPECT_EQ(kernel.total.by_class[static_cast<size_t>(InstructionClass::kControl)], 12u);  // bra and ret
  EXPECT_EQ(kernel.executed, kernel.instructions);
}

TEST(PtxCount, InstructionsThatNeverRan) {
  const auto kernel = counted("setp.lt.u32 %p1, %r0, 99;\n@%p1 bra $a;\nadd.u32 %r1, %r0, 1;\n$a: mov.u32 %r1, 0;");
  EXPECT_EQ(kernel.executed + 1, kernel.instructions);
}

TEST(PtxCount, SectorsAskedForAndNeeded) {
  // A row of 128 bytes takes 4 sectors; every second word takes 8 and needs 4; a column takes 32 and needs 4; one common word takes 1.
  const auto sectors = [](std::string_view body) {
    const Count count = of(body, "ld.global");
    return std::pair(count.sectors, count.sectors_needed);
  };
  const std::string align = "add.s64 %rd5, %rd0, 127;\nand.b64 %rd5, %rd5, -128;\n";  // an address aligned to 128 bytes
  EXPECT_EQ(sectors(align + "add.s64 %rd6, %rd5, %rd2;\nld.global.u32 %r1, [%rd6];"), std::pair(u64{4}, u64{4}));
  EXPECT_EQ(sectors(align + "mad.wide.u32 %rd6, %r0, 8, %rd5;\nld.global.u32 %r1, [%rd6];"), std::pair(u64{8}, u64{4}));
  EXPECT_EQ(sectors(align + "mad.wide.u32 %rd6, %r0, 128, %rd5;\nld.global.u32 %r1, [%rd6];"), std::pair(u64{32}, u64{4}));
  EXPECT_EQ(sectors(align + "ld.global.u32 %r1, [%rd5];"), std::pair(u64{1}, u64{1}));
  EXPECT_EQ(sectors(align + "add.s64 %rd6, %rd5, %rd2;\nld.global.u32 %r1, [%rd6+4];"), std::pair(u64{5}, u64{4}));  // not aligned to a row
  EXPECT_EQ(sectors(align + "mad.wide.u32 %rd6, %r0, 16, %rd5;\nld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%rd6];"), std::pair(u64{16}, u64{16}));
}

TEST(PtxCount, PassesOfSharedMemory) {
  const std::string shared = ".shared .align 16 .b8 s[8192];\n";
  const auto passes = [&](std::string_view stride, std::string_view load = "ld.shared.u32 %r1, [%r4];") {
    const std::string body = "mov.u32 %r3, s;\nmad.lo.u32 %r4, %r0, " + std::string(stride) + ", %r3;\n" + std::string(load);
    const Count count = of(body, "ld.shared", {32}, shared);
    return std::pair(count.shared_passes, count.shared_conflicts);
  };
  EXPECT_EQ(passes("4"), std::pair(u64{1}, u64{0}));
  EXPECT_EQ(passes("8"), std::pair(u64{2}, u64{1}));
  EXPECT_EQ(passes("128"), std::pair(u64{32}, u64{31}));
  EXPECT_EQ(passes("132"), std::pair(u64{1}, u64{0}));
  EXPECT_EQ(passes("0"), std::pair(u64{1}, u64{0}));                                                 // a broadcast
  EXPECT_EQ(passes("16", "ld.shared.v4.u32 {%r5,%r6,%r7,%r8}, [%r4];"), std::pair(u64{4}, u64{0}));  // four quarters
  EXPECT_EQ(passes("64", "ld.shared.v4.u32 {%r5,%r6,%r7,%r8}, [%r4];"),
            std::pair(u64{16}, u64{12}));  // each quarter uses two groups of banks
}

TEST(PtxCount, AtomicsAndTensorProducts) {
  EXPECT_EQ(of("red.global.add.u32 [%rd1], 1;", "red.global").atomics, 32u);
  EXPECT_EQ(of("setp.lt.u32 %p1, %r0, 9;\n@%p1 atom.global.add.u32 %r1, [%rd1], 1;", "@%p1 atom").atomics, 9u);
  EXPECT_EQ(of("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1,%f2,%f3,%f4}, {%r1,%r2,%r3,%r4}, {%r5,%r6}, {%f1,%f2,%f3,%f4};",
               "mma.sync")
                .tensor_products,
            16u * 8 * 16);
}

TEST(PtxCount, LinesOfTheSourceAreAddedUp) {
  Counts counts;
  Options options;
  options.counts = &counts;
  run_words(".loc 1 10 1\nmov.u32 %r1, 1;\nmov.u32 %r2, 1;\n.loc 1 11 1\nmov.u32 %r3, 1;\n.loc 1 10 7\nmov.u32 %r4, 1;", {0}, 1, {32},
            options, ".file 1 \"a.cu\"\n");
  const auto& lines = counts.kernels.at("k").lines;
  ASSERT_EQ(lines.size(), 3u);  // and the code before the first .loc
  EXPECT_EQ(lines[1].source.file, "a.cu");
  EXPECT_EQ(lines[1].source.line, 10u);
  EXPECT_EQ(lines[1].count.warp_instructions, 4u);  // two, one, and the ret after it
  EXPECT_EQ(lines[2].count.warp_instructions, 1u);
}

}  // namespace
}  // namespace mirilla::ptx
