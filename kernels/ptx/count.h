// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/machine.h"
#include "kernels/ptx/program.h"

#include <array>
#include <map>
#include <string>
#include <vector>

namespace mirilla::ptx {

struct Block;

std::string_view name_of(InstructionClass cls);

/// What one instruction, line or kernel did.
struct Count {
  u64 warp_instructions = 0;
  u64 lane_instructions = 0;   // lanes that executed, summed
  u64 divergent_branches = 0;  // branches that only some lanes of the warp took
  u64 sectors = 0;             // of 32 bytes, of global memory, that the warp's access touched
  u64 sectors_needed = 0;      // the fewest that could hold the distinct bytes requested
  u64 shared_passes = 0;       // over the 32 banks of 4 bytes
  u64 shared_conflicts = 0;    // of these, those beyond what the width of the access needs
  u64 atomics = 0;             // lanes' updates
  u64 tensor_products = 0;     // multiply-adds of matrix instructions
  std::array<u64, static_cast<size_t>(InstructionClass::kClassCount)> by_class{};  // warp instructions

  Count& operator+=(const Count& other);
};

/// Counts of launches, added up. Passed in Options::counts.
struct Counts {
  struct Line {
    SourceLine source;  // innermost; without a file where the PTX has no .loc
    Count count;
  };
  struct Kernel {
    u64 launches = 0;
    Count total;
    std::vector<Line> lines;  // by file and line
    std::map<u32, Count> by_ptx_line;
    u64 instructions = 0;  // in its text
    u64 executed = 0;      // of these, at least once in some launch
    std::vector<bool> executed_at;
  };
  std::map<std::string, Kernel> kernels;

  std::vector<Count> now;  // of the running launch, per instruction of the program
};

void count_instruction(Block& block, const Warp& warp, const Instruction& i);
void count_divergence(Block& block, const Instruction& i);
void count_global(Block& block, const Instruction& i, const u64* address, u32 bytes, u32 mask);
void count_shared(Block& block, const Instruction& i, const u32* address, u32 bytes, u32 mask);
void count_atomics(Block& block, const Instruction& i, u32 lanes);
void count_products(Block& block, const Instruction& i, u64 products);

InstructionClass class_of(std::string_view base, const Instruction& i);

/// Adds Counts::now of a finished launch to its kernel.
void add_launch(Counts& counts, const Program& program, const Kernel& kernel);

}  // namespace mirilla::ptx
