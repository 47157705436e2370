// SPDX-License-Identifier: MIT
#include "kernels/ptx/detect/race.h"
#include "kernels/ptx/forms/barrier.h"
#include "kernels/ptx/schedule.h"

#include <algorithm>

// Barriers of a block: bar and barrier, .sync, .arrive and .red, by number and count.

namespace mirilla::ptx {

bool Schedule::block_barrier(Warp& warp, const Instruction& i) {
  const BarrierCall call = read_barrier(warp, i);
  if (warp.mask != warp.current.mask) {
    warp.others.push_back({warp.current.pc + 1, warp.current.mask & ~warp.mask});
    warp.current.mask = warp.mask;
    if (warp.mask == 0) return true;
  }
  const u32 pc = warp.current.pc;
  if (call.aligned) {  // all lanes of the warp arrive together
    std::erase_if(warp.others, [&](const Group& other) {
      const bool joins =
          other.pc == pc && (other.wait == Group::Wait::kMembers || (other.wait == Group::Wait::kNothing && i.guard == kNoPlace));
      if (joins) warp.current.mask |= other.mask;
      return joins;
    });
    warp.mask = warp.current.mask;
    if (warp.alive & ~warp.mask) {
      park(warp, Group::Wait::kMembers);
      return false;
    }
  }
  BarrierState& barrier = block_.barriers[call.number];
  if (barrier.arrived > 0 && barrier.wanted != call.threads) {
    fail(warp, i, first_lane(warp.mask), Fault::Kind::kDivergentBarrier,
         fmt::format("barrier {} is waited for with {} threads here and with {} elsewhere", call.number, call.threads, barrier.wanted));
  }
  barrier.wanted = call.threads;
  // A count is in whole warps; lanes that have ended or never existed count too.
  barrier.arrived += call.aligned && call.threads ? kLanes : static_cast<u32>(std::popcount(warp.mask));
  barrier.warps.push_back(warp.index);
  if (block_.races) block_.races->arrive(warp, call.number, warp.mask);
  if (call.reduces) {
    each_lane(warp.mask, [&](u32 l) { barrier.count += (call.predicate >> l) & 1u; });
    barrier.seen += static_cast<u32>(std::popcount(warp.mask));
  }
  if (call.waits) {
    warp.current.barrier = call.number;
    park(warp, Group::Wait::kBarrier);
  } else {
    ++warp.current.pc;
  }
  check_barriers();
  return call.waits ? false : true;
}

void Schedule::check_barriers() {
  u32 alive = 0;  // threads that have ended are not waited for
  for (const Warp& warp : block_.warps) alive += static_cast<u32>(std::popcount(warp.alive));
  for (u32 number = 0; number < block_.barriers.size(); ++number) {
    const BarrierState& barrier = block_.barriers[number];
    if (barrier.arrived == 0) continue;
    if (barrier.arrived >= (barrier.wanted ? barrier.wanted : alive)) release(number);
  }
}

void Schedule::release(u32 number) {
  BarrierState& barrier = block_.barriers[number];
  if (block_.races) block_.races->release(block_, number);
  for (Warp& warp : block_.warps) {
    for (Group& group : warp.others) {
      if (group.wait != Group::Wait::kBarrier || group.barrier != number) continue;
      finish_barrier(warp, code_[group.pc], group.mask, barrier);
      group.wait = Group::Wait::kNothing;
      ++group.pc;
    }
    if (stops_[warp.index] == Stop::kWaiting) stops_[warp.index] = Stop::kPaused;
  }
  barrier = {};
}

void Schedule::stuck() {
  const Warp* witness = nullptr;
  const Group* group = nullptr;
  for (const Warp& warp : block_.warps) {
    for (const Group& other : warp.others) {
      if (other.mask == 0) continue;
      if (!group || other.wait == Group::Wait::kMembers) witness = &warp, group = &other;
    }
  }
  Warp at = *witness;
  at.mask = group->mask;
  const Instruction& i = code_[group->pc];
  std::string others;
  for (const Warp& warp : block_.warps) {
    for (const Group& other : warp.others) {
      if (&other == group || other.mask == 0 || (other.pc == group->pc && &warp != witness) || !others.empty()) continue;
      others = fmt::format("; lanes {:#x} of warp {} wait at {}", other.mask, warp.index, place_of(*block_.program, code_[other.pc].info));
    }
  }
  const u32 missing = witness->alive & ~group->mask;
  if (group->wait == Group::Wait::kMembers && i.step == Step::kBarrier) {
    fail(at, i, first_lane(group->mask), Fault::Kind::kDivergentBarrier,
         fmt::format("the lanes {:#x} of the warp are at the barrier and the lanes {:#x} do not come{}", group->mask, missing, others),
         "a barrier of the block must be reached by all threads, outside of branches that some of them do not take");
  }
  if (group->wait == Group::Wait::kMembers || group->wait == Group::Wait::kWarpBarrier) {
    fail(at, i, first_lane(group->mask), Fault::Kind::kLanesMissing,
         fmt::format("the lanes {:#x} of the warp are here and wait for the lanes {:#x}{}", group->mask, missing, others));
  }
  const BarrierState& barrier = block_.barriers[group->barrier];
  fail(at, i, first_lane(group->mask), Fault::Kind::kDeadlock,
       fmt::format("{} threads wait at barrier {} for {}, and nobody else comes{}", barrier.arrived, group->barrier,
                   barrier.wanted ? barrier.wanted : block_.threads, others));
}

}  // namespace mirilla::ptx
