// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/warp.h"

#include <random>

namespace mirilla::ptx {

enum class Stop : u8 { kFinished, kWaiting, kPaused };

/// Decides which lanes of which warp run next. With seed 0 the lowest program counter first, so that diverged lanes meet again; else
/// another order for each seed.
class Schedule {
 public:
  Schedule(Block& block, u64 seed, u64 patience);

  /// Runs warps for a while. False when the block has finished. Throws Fault where all lanes wait (deadlock).
  bool turn();

 private:
  Stop run(Warp& warp, u32 budget);
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
  u64 random() { return random_(); }
  u32 lowest(const Warp& warp) const;

  Block& block_;
  const Instruction* code_;
  bool wander_;
  u64 patience_;
  u64 executed_ = 0;
  u32 next_warp_ = 0;
  u32 left_;
  std::vector<Stop> stops_;
  std::mt19937_64 random_;
};

}  // namespace mirilla::ptx
