// SPDX-License-Identifier: MIT
#include "kernels/ptx/detect/race.h"

#include <algorithm>

namespace mirilla::ptx {

RaceWatch::RaceWatch(Block& block, LaunchRaces& launch) : block_(block), launch_(launch), warps_(block.warps.size()) {
  for (WarpClocks& warp : warps_) {
    warp.warps.assign(warps_.size(), 0);
    for (u32 l = 0; l < kLanes; ++l) warp.seen[l][l] = 1;
  }
}

Stamp RaceWatch::stamp_of(const Warp& warp, const Instruction& i, const Access& access) const {
  const WarpClocks& clocks = warps_[warp.index];
  Stamp stamp;
  stamp.launch = launch_.launch;
  stamp.block = static_cast<u32>(block_.number);
  stamp.block_clock = clock_;
  stamp.warp_clock = clocks.clock;
  stamp.lane_clock = clocks.seen[access.lane][access.lane];
  stamp.info = i.info;
  stamp.thread = static_cast<u16>(warp.index * kLanes + access.lane);
  stamp.strong = access.strong;
  return stamp;
}

// Whether the stamped access happens before anything that the lane does now.
bool RaceWatch::before(const Warp& warp, u32 lane, const Stamp& stamp) const {
  if (stamp.launch != launch_.launch) return true;
  if (stamp.block != block_.number) {
    const auto seen = blocks_.find(stamp.block);
    return seen != blocks_.end() && seen->second >= stamp.block_clock;
  }
  const u32 other_warp = stamp.thread / kLanes, other_lane = stamp.thread % kLanes;
  const WarpClocks& clocks = warps_[warp.index];
  if (other_warp != warp.index) return clocks.warps[other_warp] >= stamp.warp_clock;
  return other_lane == lane || clocks.seen[lane][other_lane] >= stamp.lane_clock;
}

void RaceWatch::check(const Warp& warp, const Instruction& i, Cell& cell, const Access& access, u32 offset, u32 bytes, const char* where) {
  const auto ordered = [&](const Stamp& stamp) {
    if (!access.whole_warp) return before(warp, access.lane, stamp);
    for (u32 l = 0; l < kLanes; ++l) {
      if (!before(warp, l, stamp)) return false;
    }
    return true;
  };
  const auto told = [&](const Stamp& other, std::string_view how) {
    const bool here = other.block == block_.number;
    const std::string who = other.many ? std::string("several threads")
                            : here     ? fmt::format("thread {} of the block", other.thread)
                                       : fmt::format("block {}", other.block);
    report(warp, i, access.lane, Fault::Kind::kRace,
           fmt::format("{} of {} memory, byte {:#x}, by {} at {}", how, where, access.address + offset, who,
                       place_of(*block_.program, other.info)),
           here ? "is a __syncthreads or __syncwarp missing between the two?" : "blocks of a launch are in no order");
  };
  Stamp now = stamp_of(warp, i, access);
  const u8* const fresh = access.store && access.fresh ? access.fresh + offset : nullptr;
  const bool same_value = fresh && cell.valued && std::equal(fresh, fresh + bytes, cell.value.begin());
  const bool changes_nothing = fresh && access.now && std::equal(fresh, fresh + bytes, access.now + offset);
  if (cell.write.launch && !ordered(cell.write)) {
    const bool both_strong = access.strong && cell.write.strong;
    const bool plain_read_of_atomic = !access.store && cell.write.strong;
    if (!both_strong && !plain_read_of_atomic && !same_value)
      told(cell.write, access.store ? "a store and a store" : "a read after a store");
  }
  if (!access.store) {
    const bool more = cell.read.launch == now.launch && !before(warp, access.lane, cell.read) && cell.read.thread != now.thread;
    now.many = more || (cell.read.many && cell.read.launch == now.launch && cell.read.block == now.block &&
                        cell.read.warp_clock == now.warp_clock && cell.read.lane_clock == now.lane_clock);
    if (more) cell.other = cell.read;
    cell.read = now;
    return;
  }
  for (const Stamp* read : {&cell.read, &cell.other}) {
    if (!read->launch || ordered(*read) || access.strong) continue;  // a plain read beside an atomic update
    if (changes_nothing) continue;
    told(*read, "a store after a read");
    break;
  }
  cell.write = now;
  cell.valued = fresh != nullptr;
  if (fresh) std::copy(fresh, fresh + bytes, cell.value.begin());
}

void RaceWatch::touch(const Warp& warp, const Instruction& i, Page& page, u64 offset, const Access& access, const char* where) {
  if (page.cells.empty()) page.cells.resize(kPageBytes / 4);
  if (!page.fine && (access.bytes < 4 || offset % 4 != 0)) {  // change from one cell per word to one per byte
    std::vector<Cell> fine(kPageBytes);
    for (u32 k = 0; k < kPageBytes; ++k) {
      fine[k] = page.cells[k / 4];
      fine[k].value[0] = page.cells[k / 4].value[k % 4];
    }
    page.cells = std::move(fine);
    page.fine = true;
  }
  const u32 step = page.fine ? 1 : 4;
  for (u32 k = 0; k < access.bytes; k += step) check(warp, i, page.cells[(offset + k) / step], access, k, step, where);
}

void RaceWatch::global(const Warp& warp, const Instruction& i, Allocation& allocation, const Access& access) {
  if (!allocation.races) allocation.races = std::make_unique<RaceShadow>();
  // Pages are found by address and not by offset: an access is aligned, so it never spans two pages.
  touch(warp, i, allocation.races->pages[access.address / kPageBytes], access.address % kPageBytes, access, "global");
}

void RaceWatch::shared(const Warp& warp, const Instruction& i, const Access& access) {
  touch(warp, i, shared_.pages[access.address / kPageBytes], access.address % kPageBytes, access, "shared");
}

void RaceWatch::meet_in_warp(const Warp& warp, u32 lanes) {
  WarpClocks& clocks = warps_[warp.index];
  std::array<u32, kLanes> joint{};
  each_lane(lanes, [&](u32 l) {
    for (u32 k = 0; k < kLanes; ++k) joint[k] = std::max(joint[k], clocks.seen[l][k]);
  });
  each_lane(lanes, [&](u32 l) {
    clocks.seen[l] = joint;
    ++clocks.seen[l][l];
  });
}

void RaceWatch::arrive(const Warp& warp, u32 barrier, u32 lanes) {
  WarpClocks& clocks = warps_[warp.index];
  meet_in_warp(warp, lanes);
  auto& joint = joint_[barrier];
  joint.resize(warps_.size());
  for (size_t w = 0; w < joint.size(); ++w) joint[w] = std::max(joint[w], clocks.warps[w]);
  joint[warp.index] = std::max(joint[warp.index], clocks.clock);
  ++clocks.clock;
  arrived_[barrier].push_back(warp.index);
}

// Lanes of one warp that wait at the barrier are ordered by it too, whichever lanes arrived first.
void RaceWatch::release(const Block& block, u32 barrier) {
  for (u32 w : arrived_[barrier]) {
    for (size_t k = 0; k < warps_.size(); ++k) warps_[w].warps[k] = std::max(warps_[w].warps[k], joint_[barrier][k]);
    u32 lanes = 0;
    for (const Group& group : block.warps[w].others) {
      if (group.wait == Group::Wait::kBarrier && group.barrier == barrier) lanes |= group.mask;
    }
    meet_in_warp(block.warps[w], lanes);
  }
  joint_[barrier].clear();
  arrived_[barrier].clear();
}

void RaceWatch::fence() { fenced_ = clock_++; }

void RaceWatch::synchronise(const Warp& warp, const Instruction& i, u64 address, bool writes) {
  WarpClocks& clocks = warps_[warp.index];
  auto& inside = inside_[address];
  inside.resize(warps_.size());
  for (size_t w = 0; w < inside.size(); ++w) clocks.warps[w] = std::max(clocks.warps[w], inside[w]);
  if (writes) {
    inside[warp.index] = clocks.clock++;
    for (size_t w = 0; w < inside.size(); ++w) inside[w] = std::max(inside[w], clocks.warps[w]);
  }
  if ((address & kWindowMask) == kSharedWindow) return;
  auto& across = launch_.released[address];
  for (const auto& [block, clock] : across) {
    if (block != block_.number) blocks_[block] = std::max(blocks_[block], clock);
  }
  if (!writes || (fenced_ == 0 && !i.release)) return;
  across[static_cast<u32>(block_.number)] = std::max(across[static_cast<u32>(block_.number)], fenced_);
  for (const auto& [block, clock] : blocks_) across[block] = std::max(across[block], clock);
}

}  // namespace mirilla::ptx
