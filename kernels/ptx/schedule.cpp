// SPDX-License-Identifier: MIT
#include "kernels/ptx/schedule.h"

#include "kernels/ptx/count.h"
#include "kernels/ptx/detect/race.h"
#include "kernels/ptx/forms/barrier.h"

#include <algorithm>
#include <atomic>

namespace mirilla::ptx {

namespace {

constexpr u32 kTurn = 20000;  // instructions that a warp runs before another warp's turn
constexpr u32 kFair = 1000;   // instructions that some lanes run before other lanes of the warp get a turn

// With a seed. Diverged lanes cost as much as a whole warp, so only some blocks are wild, where most instructions are executed for a
// few lanes only.
constexpr u32 kOneWildIn = 8;
constexpr u32 kWildSplit = 16, kCalmSplit = 256;  // a split comes after 1 to so many instructions
constexpr u32 kWildTurn = 48, kCalmTurn = 512;    // a warp's turn has 1 to so many instructions

}  // namespace

Schedule::Schedule(Block& block, u64 seed, u64 patience)
    : block_(block),
      code_(block.program->code.data()),
      wander_(seed != 0),
      patience_(patience),
      left_(static_cast<u32>(block.warps.size())),
      stops_(block.warps.size(), Stop::kPaused),
      random_(seed * 0x9e3779b97f4a7c15ull + block.number) {
  wild_ = random_() % kOneWildIn == 0;
  until_split_ = 1 + static_cast<u32>(random_() % kWildSplit);
}

bool Schedule::turn() {
  const u32 warps = static_cast<u32>(stops_.size());
  u32 tried = 0;
  u32 w = wander_ ? static_cast<u32>(random_() % warps) : next_warp_;
  while (tried < warps && stops_[w] != Stop::kPaused) w = (w + 1) % warps, ++tried;
  if (tried == warps) stuck();
  Warp& warp = block_.warps[w];
  const u64 before = executed_;
  stops_[w] = run(warp, wander_ ? 1 + static_cast<u32>(random_() % (wild_ ? kWildTurn : kCalmTurn)) : kTurn);
  if (patience_ > 0 && executed_ > patience_) {
    fail(warp, code_[std::min<u32>(warp.current.pc, static_cast<u32>(block_.program->code.size() - 1))], 0, Fault::Kind::kDeadlock,
         fmt::format("the block runs on after {} warp instructions", before));
  }
  if (stops_[w] == Stop::kFinished) --left_;
  if (stops_[w] != Stop::kPaused) {
    check_barriers();
    next_warp_ = (w + 1) % warps;
  } else if (!wander_) {
    next_warp_ = (w + 1) % warps;
  }
  return left_ > 0;
}

u32 Schedule::lowest(const Warp& warp) const {
  u32 lowest = kNoPlace;
  for (const Group& group : warp.others) {
    if (group.wait == Group::Wait::kNothing) lowest = std::min(lowest, group.pc);
  }
  return lowest;
}

bool Schedule::pick(Warp& warp) {
  size_t best = warp.others.size();
  u32 seen = 0;
  for (size_t k = 0; k < warp.others.size(); ++k) {
    if (warp.others[k].wait != Group::Wait::kNothing) continue;
    if (wander_ ? random_() % ++seen == 0 : best == warp.others.size() || warp.others[k].pc < warp.others[best].pc) best = k;
  }
  if (best == warp.others.size()) {
    warp.current.mask = 0;
    return false;
  }
  warp.current = warp.others[best];
  warp.others.erase(warp.others.begin() + static_cast<s64>(best));
  return true;
}

// Merges lanes at the same instruction into one group.
void Schedule::meet(Warp& warp) {
  std::erase_if(warp.others, [&](const Group& other) {
    if (other.pc != warp.current.pc || other.wait != Group::Wait::kNothing) return false;
    warp.current.mask |= other.mask;
    return true;
  });
}

// Some of the lanes stay behind, as a GPU may do at any time, and lanes that could run together do so or not.
void Schedule::wander(Warp& warp) {
  if (--until_split_ == 0) {
    until_split_ = 1 + static_cast<u32>(random_() % (wild_ ? kWildSplit : kCalmSplit));
    const u32 some = warp.current.mask & static_cast<u32>(random_());
    if (some && some != warp.current.mask) {
      warp.others.push_back({warp.current.pc, some});
      warp.current.mask &= ~some;
    }
  }
  if (warp.others.empty()) return;
  const u64 dice = random_();
  if (dice & 1) meet(warp);
  if ((dice >> 1) % 4 == 0 && !warp.others.empty()) {
    warp.others.push_back(warp.current);
    pick(warp);
  }
}

void Schedule::settle(Warp& warp) {
  if (wander_) return wander(warp);
  meet(warp);
  if (lowest(warp) < warp.current.pc) {
    warp.others.push_back(warp.current);
    pick(warp);
    meet(warp);
  }
}

void Schedule::park(Warp& warp, Group::Wait wait) {
  warp.current.wait = wait;
  warp.others.push_back(warp.current);
  warp.current.mask = 0;
  warp.current.wait = Group::Wait::kNothing;
}

void Schedule::wake(Warp& warp, Group::Wait wait) {
  for (Group& other : warp.others) {
    if (other.wait == wait) other.wait = Group::Wait::kNothing;
  }
}

Stop Schedule::run(Warp& warp, u32 budget) {
  u64 instructions = 0, lanes_run = 0;
  const auto stop = [&](Stop why) {
    executed_ += instructions;
    block_.warp_instructions += instructions;
    block_.lane_instructions += lanes_run;
    return why;
  };
  const bool noted = block_.options->counts || block_.options->ran;
  const auto waits = [&] { return stop(warp.alive == 0 ? Stop::kFinished : Stop::kWaiting); };
  if (warp.current.mask == 0 && !pick(warp)) return waits();
  u32 fair = kFair;
  for (;;) {
    const Instruction& i = code_[warp.current.pc];
    u32 mask = warp.current.mask;
    if (i.guard != kNoPlace) {
      const u32 guard = warp.predicate(i.guard);
      mask &= i.guard_not ? ~guard : guard;
    }
    warp.mask = mask;
    ++instructions;
    lanes_run += static_cast<u32>(std::popcount(mask));
    if (noted) note(warp, i);
    bool goes_on = true;
    switch (i.step) {
      case Step::kPlain:
        if (mask) i.run(i, warp);
        ++warp.current.pc;
        break;
      case Step::kBranch: goes_on = branch(warp, i); break;
      case Step::kTable: table(warp, i); break;
      case Step::kCall: call(warp, i); break;
      case Step::kReturn: back(warp, i); break;
      case Step::kExit:
        leave(warp, mask);
        ++warp.current.pc;
        break;
      case Step::kMembers:
      case Step::kWholeWarp: goes_on = lanes(warp, i); break;
      case Step::kWarpBarrier: goes_on = warp_barrier(warp, i); break;
      case Step::kBarrier: goes_on = block_barrier(warp, i); break;
      case Step::kSleep:
        if (mask) budget = 1;
        ++warp.current.pc;
        break;
    }
    if (!goes_on || warp.current.mask == 0) {
      if (warp.current.mask == 0 && !pick(warp)) return waits();
    }
    if (!warp.others.empty() || wander_) {
      settle(warp);
      if (--fair == 0 && !warp.others.empty() && !wander_) {  // lanes that spin must not block those that they wait for
        fair = kFair;
        const Group spinning = warp.current;
        if (pick(warp))
          warp.others.push_back(spinning);
        else
          warp.current = spinning;
      }
    }
    if (--budget == 0) return stop(Stop::kPaused);
  }
}

// Host threads that run other blocks note the same instructions.
void Schedule::note(const Warp& warp, const Instruction& i) {
  if (block_.options->counts) count_instruction(block_, warp, i);
  if (block_.options->ran && (warp.mask || i.step != Step::kPlain))
    std::atomic_ref(block_.options->ran[&i - code_]).store(1, std::memory_order_relaxed);
}

bool Schedule::branch(Warp& warp, const Instruction& i) {
  const u32 taken = warp.mask;
  if (taken == warp.current.mask) {
    warp.current.pc = i.target;
  } else {
    if (taken) {
      warp.others.push_back({i.target, taken});
      if (block_.options->counts) count_divergence(block_, i);
    }
    warp.current.mask &= ~taken;
    ++warp.current.pc;
  }
  return true;
}

void Schedule::table(Warp& warp, const Instruction& i) {
  const std::vector<u32>& targets = block_.program->tables[i.target];
  const u32* index = warp.at<u32>(i.place[0]);
  u32 taken = warp.mask;
  warp.current.mask &= ~taken;
  ++warp.current.pc;
  if (warp.current.mask) warp.others.push_back(warp.current);
  while (taken) {
    const u32 lane = first_lane(taken), which = index[lane];
    if (which >= targets.size())
      fail(warp, i, lane, Fault::Kind::kOther, fmt::format("brx.idx with {} of {} targets", which, targets.size()));
    u32 same = 0;
    each_lane(taken, [&](u32 l) { same |= u32{index[l] == which} << l; });
    warp.others.push_back({targets[which], same});
    taken &= ~same;
  }
  warp.current.mask = 0;
}

// A function has registers of its own, so a call copies its parameters and notes where each lane came from.
void Schedule::call(Warp& warp, const Instruction& i) {
  const u32 mask = warp.mask;
  if (mask != warp.current.mask) warp.others.push_back({warp.current.pc + 1, warp.current.mask & ~mask});
  if (mask == 0) {
    ++warp.current.pc;
    return;
  }
  const Callee& callee = block_.program->callees[i.target];
  u32* back_at = warp.at<u32>(callee.back);
  each_lane(mask, [&](u32 l) { back_at[l] = warp.current.pc + 1; });
  const u32* from = i.place + i.lookup;  // places of results, then of parameters
  for (size_t k = 0; k < callee.parameters.size(); ++k) {
    const auto& formal = callee.parameters[k];
    const u32 stride = call_stride(formal.bytes);
    each_lane(mask, [&](u32 l) { std::memcpy(warp.at<u8>(formal.place) + l * stride, warp.at<u8>(from[k]) + l * stride, formal.bytes); });
  }
  warp.current = {callee.first, mask};
}

void Schedule::back(Warp& warp, const Instruction& i) {
  const Callee& callee = block_.program->callees[i.target];
  const u32* back_at = warp.at<u32>(callee.back);
  u32 leaving = warp.mask;
  warp.current.mask &= ~leaving;
  ++warp.current.pc;
  if (warp.current.mask) warp.others.push_back(warp.current);
  while (leaving) {
    const u32 to = back_at[first_lane(leaving)];
    u32 same = 0;
    each_lane(leaving, [&](u32 l) { same |= u32{back_at[l] == to} << l; });
    const Instruction& call_of = code_[to - 1];
    for (size_t k = 0; k < callee.results.size() && k < call_of.lookup; ++k) {
      const u32 bytes = callee.results[k].bytes, room = call_stride(bytes);
      each_lane(same, [&](u32 l) {
        std::memcpy(warp.at<u8>(call_of.place[k]) + l * room, warp.at<u8>(callee.results[k].place) + l * room, bytes);
      });
    }
    warp.others.push_back({to, same});
    leaving &= ~same;
  }
  warp.current.mask = 0;
}

void Schedule::leave(Warp& warp, u32 mask) {
  finish_late_copies(warp, mask);
  warp.alive &= ~mask;
  warp.current.mask &= ~mask;
  wake(warp, Group::Wait::kMembers);  // lanes that wait for these can go on
  std::erase_if(warp.others, [](const Group& g) { return g.mask == 0; });
  for (const Group& other : warp.others) {
    if (other.wait == Group::Wait::kWarpBarrier) {
      wake(warp, Group::Wait::kWarpBarrier);
      break;
    }
  }
}

// Shuffles, votes and matrix instructions: all named lanes have to be at the same instruction.
bool Schedule::lanes(Warp& warp, const Instruction& i) {
  if (i.guard != kNoPlace && warp.mask == 0) {
    ++warp.current.pc;
    return true;
  }
  const u32 here = warp.mask;
  if (here != warp.current.mask) {  // lanes excluded by the guard go on
    warp.others.push_back({warp.current.pc + 1, warp.current.mask & ~here});
    warp.current.mask = here;
  }
  const bool whole = i.step == Step::kWholeWarp;
  const u32* members = whole ? nullptr : warp.at<u32>(i.place[i.lookup]);
  const u32 lane = first_lane(here);
  const u32 wanted = whole ? kAllLanes : members[lane];
  const auto agrees = [&](u32 mask) {
    u32 same = 0;
    each_lane(mask, [&](u32 l) { same |= u32{whole || members[l] == wanted} << l; });
    return same;
  };
  const u32 same = agrees(warp.current.mask);
  if (same != warp.current.mask) {
    warp.others.push_back({warp.current.pc, warp.current.mask & ~same});
    warp.current.mask = same;
  }
  std::erase_if(warp.others, [&](Group& other) {
    const bool joins = other.pc == warp.current.pc && (other.wait == Group::Wait::kNothing || other.wait == Group::Wait::kMembers) &&
                       (i.guard == kNoPlace || other.wait == Group::Wait::kMembers) && agrees(other.mask) == other.mask;
    if (joins) warp.current.mask |= other.mask;
    return joins;
  });
  if (warp.current.mask & ~wanted) {
    fail(warp, i, first_lane(warp.current.mask & ~wanted), Fault::Kind::kLanesMissing,
         fmt::format("the lane calls with a member mask {:#x} that does not name it", wanted));
  }
  if (whole && warp.alive != kAllLanes) {
    fail(warp, i, lane, Fault::Kind::kLanesMissing, fmt::format("the instruction wants all 32 lanes and the warp has {:#x}", warp.alive));
  }
  if (wanted & warp.alive & ~warp.current.mask) {
    park(warp, Group::Wait::kMembers);
    return false;
  }
  warp.mask = warp.current.mask;
  i.run(i, warp);
  ++warp.current.pc;
  return true;
}

bool Schedule::warp_barrier(Warp& warp, const Instruction& i) {
  if (warp.mask != warp.current.mask) {
    warp.others.push_back({warp.current.pc + 1, warp.current.mask & ~warp.mask});
    warp.current.mask = warp.mask;
    if (warp.mask == 0) return true;
  }
  const u32* members = warp.at<u32>(i.place[0]);
  const u32 wanted = members[first_lane(warp.mask)];
  u32 same = 0;
  each_lane(warp.mask, [&](u32 l) { same |= u32{members[l] == wanted} << l; });
  if (same & ~wanted) {
    fail(warp, i, first_lane(same & ~wanted), Fault::Kind::kLanesMissing,
         fmt::format("the lane calls with a member mask {:#x} that does not name it", wanted));
  }
  if (same != warp.current.mask) warp.others.push_back({warp.current.pc, warp.current.mask & ~same});
  warp.current.mask = same;
  u32 arrived = same;
  for (const Group& other : warp.others) {
    if (other.wait == Group::Wait::kWarpBarrier && other.members == wanted) arrived |= other.mask;
  }
  warp.current.members = wanted;
  if (wanted & warp.alive & ~arrived) {
    park(warp, Group::Wait::kWarpBarrier);
    return false;
  }
  for (Group& other : warp.others) {
    if (other.wait != Group::Wait::kWarpBarrier || other.members != wanted) continue;
    other.wait = Group::Wait::kNothing;
    ++other.pc;
  }
  ++warp.current.pc;
  if (block_.races) block_.races->meet_in_warp(warp, arrived);
  return true;
}

}  // namespace mirilla::ptx
