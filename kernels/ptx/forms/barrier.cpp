// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/barrier.h"

#include "kernels/ptx/detect/race.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"

#include <atomic>

// PTX ISA 9.7.13: bar, barrier, bar.warp, membar, fence. The parts that the schedule does not do itself.

namespace mirilla::ptx {

namespace {

enum class Reduction : u8 { kNone, kPopc, kAnd, kOr };

// Places: d or nothing, a, b, predicate. lookup: bits of the call, below.
constexpr u32 kAligned = 1, kWaits = 2, kCounted = 4;
Reduction reduction_of(const Instruction& i) { return static_cast<Reduction>(i.count); }

void barrier(Form& form) {
  Instruction& out = form.out;
  bool aligned = form.base() == "bar";
  form.take("cta");
  if (form.base() == "bar" && form.take("warp")) {
    if (!form.take("sync")) form.unknown();
    form.wants_operands(1, 1);
    form.from(0, Type::kB32);
    out.step = Step::kWarpBarrier;
    return;
  }
  const int kind = form.take_one({"sync", "arrive", "red"});
  if (kind < 0) form.unknown();
  aligned = form.take("aligned") || aligned;
  Reduction reduction = Reduction::kNone;
  if (kind == 2) {
    const int how = form.take_one({"popc", "and", "or"});
    if (how < 0) form.unknown();
    reduction = static_cast<Reduction>(how + 1);
    const Type type = form.take_type();
    if (type != (how == 0 ? Type::kU32 : Type::kPred)) form.unknown();
  }
  const size_t first = kind == 2 ? 1 : 0;
  const bool counted = form.operands() == first + 2 + (kind == 2 ? 1 : 0);
  form.wants_operands(first + 1 + (kind == 2 ? 1 : 0), first + 2 + (kind == 2 ? 1 : 0));
  if (kind == 1 && !counted) form.wrong("an arrival without a number of threads");
  if (reduction == Reduction::kPopc)
    form.to(0, Type::kU32);
  else if (reduction != Reduction::kNone)
    form.to_predicate(form.operand(0));
  else
    form.to_nowhere(Type::kU32);
  form.from(first, Type::kU32);
  if (counted)
    form.from(first + 1, Type::kU32);
  else
    form.from_value(0, Type::kU32);
  if (kind == 2)
    form.from_predicate(form.operand(form.operands() - 1), &out.flag);
  else
    form.from_value(0, Type::kPred);
  out.lookup = (aligned ? kAligned : 0) | (kind != 1 ? kWaits : 0) | (counted ? kCounted : 0);
  out.count = static_cast<u8>(reduction);
  out.step = Step::kBarrier;
}

void run_fence(const Instruction&, Warp& warp) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (warp.block->races) warp.block->races->fence();
}

void fence(Form& form) {
  if (form.take("proxy")) {
    if (form.take_one({"alias", "async", "async::global", "async::shared", "async::shared::cta"}) < 0) form.unknown();
  }
  form.take("mbarrier_init");
  form.take_memory_order();
  form.out.acquire = form.out.release = false;
  form.wants_operands(0, 0);
  form.sets(run_fence);
}

}  // namespace

BarrierCall read_barrier(const Warp& warp, const Instruction& i) {
  BarrierCall call;
  const u32 lane = warp.mask ? first_lane(warp.mask) : 0;
  call.number = warp.in<u32>(i, 1)[lane];
  call.threads = warp.in<u32>(i, 2)[lane];
  call.aligned = i.lookup & kAligned;
  call.waits = i.lookup & kWaits;
  call.reduces = reduction_of(i) != Reduction::kNone;
  call.predicate = i.flag ? ~warp.predicate(i.place[3]) : warp.predicate(i.place[3]);
  if (warp.mask == 0) return call;
  if (call.number > 15) fail(warp, i, lane, Fault::Kind::kOther, fmt::format("barrier {}, and there are 16", call.number));
  if ((i.lookup & kCounted) && (call.threads == 0 || call.threads % kLanes != 0)) {
    fail(warp, i, lane, Fault::Kind::kOther, fmt::format("a barrier for {} threads, which is not a number of whole warps", call.threads));
  }
  return call;
}

void finish_barrier(Warp& warp, const Instruction& i, u32 lanes, const BarrierState& barrier) {
  if (reduction_of(i) == Reduction::kNone) return;
  const u32 before = warp.mask;
  warp.mask = lanes;
  if (reduction_of(i) == Reduction::kPopc)
    write_lanes<u32>(warp, i.place[0], [&](u32) { return barrier.count; });
  else
    warp.set_predicate(i.place[0],
                       (reduction_of(i) == Reduction::kAnd ? barrier.count == barrier.seen : barrier.count > 0) ? kAllLanes : 0);
  warp.mask = before;
}

void add_barrier_forms(Families& families) {
  for (std::string_view name : {"bar", "barrier"}) families[name] = barrier;
  for (std::string_view name : {"membar", "fence"}) families[name] = fence;
}

}  // namespace mirilla::ptx
