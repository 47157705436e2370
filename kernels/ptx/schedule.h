// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/warp.h"

namespace mirilla::ptx {

enum class Stop : u8 { kFinished, kWaiting, kPaused };

/// A small generator: a launch makes one for each block, and draws from it between instructions. [Steele, Lea, Flood 2014: SplitMix64]
class Dice {
 public:
  explicit Dice(u64 seed) : state_(seed) {}
  u64 operator()() {
    u64 x = state_ += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
  }

 private:
  u64 state_;
};

/// Decides which lanes of which warp run next. With seed 0 the lowest program counter first, so that diverged lanes meet again; else
/// another order for each seed.
class Schedule {
 public:
  Schedule(Block& block, u64 seed, u64 patience);

  /// Runs warps for a while. False when the block has finished. Throws Fault where all lanes wait (deadlock).
  bool turn();

 private:
  Stop run(Warp& warp, u32 budget);
  void note(const Warp& warp, const Instruction& i);
  bool pick(Warp& warp);
  void meet(Warp& warp);
  void settle(Warp& warp);
  void park(Warp& warp, Group::Wait wait);
  void wake(Warp& warp, Group::Wait wait);
  bool branch(Warp& warp, const Instruction& i);
  void table(Warp& warp, const Instruction& i);
  void call(Warp& warp, const Instruction& i);
  void back(Warp& warp, const Instruction& i);
  void leave(Warp& warp, u32 mask);
  bool lanes(Warp& warp, const Instruction& i);
  bool warp_barrier(Warp& warp, const Instruction& i);
  bool block_barrier(Warp& warp, const Instruction& i);
  void release(u32 barrier);
  void check_barriers();
  [[noreturn]] void stuck();
  void wander(Warp& warp);
  u32 lowest(const Warp& warp) const;

  Block& block_;
  const Instruction* code_;
  bool wander_;
  bool wild_;  // lanes are split often, and turns are short
  u64 patience_;
  u64 executed_ = 0;
  u32 next_warp_ = 0;
  u32 left_;
  std::vector<Stop> stops_;
  Dice random_;
  u32 until_split_;  // instructions
};

}  // namespace mirilla::ptx
