// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/machine.h"
#include "kernels/ptx/program.h"

#include <array>
#include <bit>
#include <cstring>
#include <vector>

namespace mirilla::ptx {

struct Block;
struct RaceWatch;  // kernels/ptx/detect/race.h

/// Lanes of a warp that are at the same instruction.
struct Group {
  enum class Wait : u8 { kNothing, kMembers, kWarpBarrier, kBarrier };
  u32 pc = 0;
  u32 mask = 0;
  Wait wait = Wait::kNothing;
  u32 members = 0;  // of kWarpBarrier
  u32 barrier = 0;  // of kBarrier
};

/// A pending cp.async copy of one lane.
struct LateCopy {
  u32 info = 0;
  u8 lane = 0;
  u8 bytes = 0;
  u8 source_bytes = 0;  // the rest is zeros
  bool bound = false;   // to an mbarrier, so not part of a group
  u32 group = 0;        // the lane's group at the time
  u32 to = 0;
  u64 from = 0;
  const Instruction* instruction = nullptr;
};

struct Warp {
  std::array<u8*, 2> base{};  // registers; constants
  u32 mask = 0;               // lanes that execute the current instruction
  u32 alive = 0;
  u32 index = 0;  // in the block
  Block* block = nullptr;
  const Instruction* now = nullptr;
  Group current;
  std::vector<Group> others;
  std::vector<LateCopy> late;
  std::array<u32, kLanes> groups{};  // of cp.async that each lane committed
  u32 carry_bits = 0;                // the carry flag, one bit per lane

  template <class T>
  T* at(u32 place) const {
    return reinterpret_cast<T*>(base[place >> 31] + (place & ~kConstantBit));
  }
  template <class T>
  const T* in(const Instruction& i, int operand) const {
    return at<const T>(i.place[operand]);
  }
  u32 predicate(u32 place) const { return *at<u32>(place); }
  void set_predicate(u32 place, u32 bits) const {
    u32& p = *at<u32>(place);
    p = (p & ~mask) | (bits & mask);
  }
};

/// The allocation in which an instruction found its last address.
struct Found {
  u64 begin = 1, end = 0;
  Allocation* allocation = nullptr;
};

struct BarrierState {
  u32 arrived = 0;  // threads
  u32 wanted = 0;   // threads; 0: all of the block
  bool reducing = false;
  u32 count = 0;           // of true predicates
  u32 seen = 0;            // threads of the reduction
  std::vector<u32> warps;  // arrived in this generation
};

struct Block {
  const Program* program = nullptr;
  const Kernel* kernel = nullptr;
  Worker* worker = nullptr;
  Memory* memory = nullptr;
  const Options* options = nullptr;
  Dim grid, dim, id;
  u64 number = 0;
  u32 launch = 0;
  u32 threads = 0;
  u32 shared_bytes = 0;
  u32 local_bytes = 0;  // per thread
  size_t parameter_bytes = 0;
  const u8* parameters = nullptr;
  u8* shared = nullptr;
  u8* local = nullptr;                            // of thread 0; the other threads follow
  std::vector<u8> shared_written, local_written;  // empty: not watched
  std::vector<u8> shared_room, local_room, register_room;
  std::vector<Warp> warps;
  std::array<BarrierState, 16> barriers;
  Found* found = nullptr;      // per memory instruction
  RaceWatch* races = nullptr;  // nullptr: not watched
  u64 steps = 0;
  u64 warp_instructions = 0, lane_instructions = 0;

  u8* local_of(const Warp& warp, u32 lane) const { return local + u64{warp.index * kLanes + lane} * local_bytes; }
};

/// Throws the Fault, with all that is known about where it happened; `lane` is of the current instruction.
[[noreturn]] void fail(const Warp& warp, const Instruction& i, u32 lane, Fault::Kind kind, std::string_view what,
                       std::string_view hint = {});
/// Reports what a detector found to Options::found, or throws it.
void report(const Warp& warp, const Instruction& i, u32 lane, Fault::Kind kind, std::string_view what, std::string_view hint = {});
/// "line 41 of x.cu" or "PTX line 41", for messages that name a second place.
std::string place_of(const Program& program, u32 info);

constexpr u32 first_lane(u32 mask) { return static_cast<u32>(std::countr_zero(mask)); }

/// Calls f(lane) for each lane of the mask.
template <class F>
inline void each_lane(u32 mask, F f) {
  for (; mask; mask &= mask - 1) f(first_lane(mask));
}

}  // namespace mirilla::ptx
