// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/warp.h"

#include <array>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

namespace mirilla::ptx {

// Two accesses race if they touch the same byte, one of them writes, not both are atomic or volatile, and nothing orders them. What orders:
// barriers (of a block, of a warp), and across blocks a fence before an atomic (or volatile, or relaxed) write that an atomic of the other
// block then sees. Order is kept in clocks: each lane has one and knows how far it has seen those of the other lanes of its warp; each warp
// has one and knows how far it has seen the other warps of the block; each block has one and knows the others' from atomics. Where a single
// lane releases or acquires, its whole warp or block counts as having done so: a race may be missed then, but none is invented. Two writes
// of the same value, and a plain read beside an atomic update, are let pass.

struct Stamp {
  u32 launch = 0;  // 0: nobody was there
  u32 block = 0;
  u32 block_clock = 0;
  u32 warp_clock = 0;
  u32 lane_clock = 0;
  u32 info = 0;
  u16 thread = 0;  // in its block
  bool strong = false;
  bool many = false;  // of a read: several threads, of which this is the last
};

struct Cell {
  Stamp write, read;
  Stamp other;                // an earlier read that `read` is in no order with
  std::array<u8, 4> value{};  // what `write` wrote
  bool valued = false;
};

/// Cells of a piece of memory: one per 4 bytes, or one per byte once something smaller was accessed there.
struct Page {
  bool fine = false;
  std::vector<Cell> cells;
};
constexpr u32 kPageBytes = 1024;

struct RaceShadow {
  std::unordered_map<u64, Page> pages;
};

/// What the blocks of a launch know of one another.
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
  const u8* now = nullptr;    // what is there
  const u8* fresh = nullptr;  // what a store writes; nullptr: not known
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
  /// An atomic or volatile access of a lane: it publishes what the block fenced before, and learns what others published there.
  void synchronise(const Warp& warp, const Instruction& i, u64 address, bool writes);

 private:
  struct WarpClocks {
    std::array<std::array<u32, kLanes>, kLanes> seen{};  // seen[l][k]: how far lane l has seen lane k
    std::vector<u32> warps;                              // how far it has seen the others
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
  std::array<std::vector<u32>, 16> arrived_;          // warps
  std::unordered_map<u64, std::vector<u32>> inside_;  // of an address with atomics: the warps' clocks
  u32 clock_ = 1, fenced_ = 0;
  std::map<u32, u32> blocks_;  // how far it has seen other blocks
};

}  // namespace mirilla::ptx
