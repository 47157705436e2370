// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/warp.h"

#include <array>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

namespace mirilla::ptx {

// Two accesses race if they touch the same byte, one of them writes, not both are atomic or volatile, and nothing orders them. They are
// ordered by barriers (of a block, of a warp), and across blocks a fence before an atomic (or volatile, or relaxed) write that an atomic of
// the other block then sees. Order is tracked with vector clocks: each lane has one and knows the last clock it has seen of each lane of
// its warp; each warp has one and knows the last clock it has seen of each warp of the block; each block has one and learns the others'
// from atomics. Where a single lane releases or acquires, its whole warp or block counts as having done so: a race may then be missed, but
// none is reported falsely. Two writes of the same value, and a plain read beside an atomic update, are allowed.

struct Stamp {
  u32 launch = 0;  // 0: no access yet
  u32 block = 0;
  u32 block_clock = 0;
  u32 warp_clock = 0;
  u32 lane_clock = 0;
  u32 info = 0;
  u16 thread = 0;  // in its block
  bool strong = false;
  bool many = false;  // for a read: several threads read, this one last
};

struct Cell {
  Stamp write, read;
  Stamp other;                // an earlier read that is not ordered with `read`
  std::array<u8, 4> value{};  // what `write` wrote
  bool valued = false;
};

/// Cells of a piece of memory: one per 4 bytes, or one per byte once a smaller access has happened there.
struct Page {
  bool fine = false;
  std::vector<Cell> cells;
};
constexpr u32 kPageBytes = 1024;

struct RaceShadow {
  std::unordered_map<u64, Page> pages;
};

/// What the blocks of a launch know about one another.
struct LaunchRaces {
  u32 launch = 0;
  std::unordered_map<u64, std::map<u32, u32>> released;  // address -> block -> clock
};

struct Access {
  u64 address = 0;
  u32 bytes = 0;
  u32 lane = 0;
  bool store = false;
  bool strong = false;
  bool whole_warp = false;
  const u8* now = nullptr;    // the bytes in memory
  const u8* fresh = nullptr;  // the bytes that a store writes; nullptr: unknown
};

/// Watches one block.
struct RaceWatch {
  RaceWatch(Block& block, LaunchRaces& launch);

  void global(const Warp& warp, const Instruction& i, Allocation& allocation, const Access& access);
  void shared(const Warp& warp, const Instruction& i, const Access& access);
  void meet_in_warp(const Warp& warp, u32 lanes);
  void arrive(const Warp& warp, u32 barrier, u32 lanes);
  void release(const Block& block, u32 barrier);
  void fence();
  /// An atomic or volatile access of a lane: it publishes what the block has fenced so far, and learns what others published there.
  void synchronise(const Warp& warp, const Instruction& i, u64 address, bool writes);

 private:
  struct WarpClocks {
    std::array<std::array<u32, kLanes>, kLanes> seen{};  // seen[l][k]: how far lane l has seen lane k
    std::vector<u32> warps;                              // the last clock seen of each other warp
    u32 clock = 1;
  };
  bool before(const Warp& warp, u32 lane, const Stamp& stamp) const;
  void check(const Warp& warp, const Instruction& i, Cell& cell, const Access& access, u32 offset, u32 bytes, const char* where);
  Stamp stamp_of(const Warp& warp, const Instruction& i, const Access& access) const;
  void touch(const Warp& warp, const Instruction& i, Page& page, u64 offset, const Access& access, const char* where);

  Block& block_;
  LaunchRaces& launch_;
  std::vector<WarpClocks> warps_;
  RaceShadow shared_;
  std::array<std::vector<u32>, 16> joint_;            // of each barrier: the clocks of all who arrived
  std::array<std::vector<u32>, 16> arrived_;          // warps that arrived
  std::unordered_map<u64, std::vector<u32>> inside_;  // the warps' clocks for each address with atomics
  u32 clock_ = 1, fenced_ = 0;
  std::map<u32, u32> blocks_;  // the last clock seen of each other block
};

}  // namespace mirilla::ptx
