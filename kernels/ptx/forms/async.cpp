// SPDX-License-Identifier: MIT
#include "kernels/ptx/detect/race.h"
#include "kernels/ptx/forms/barrier.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"
#include "kernels/ptx/forms/mbarrier.h"
#include "kernels/ptx/forms/memory.h"

#include <algorithm>

// PTX ISA 9.7.9.25, cp.async. A copy happens as late as allowed: when its thread waits for it, or ends.

namespace mirilla::ptx {

namespace {

void finish_one(Warp& warp, const LateCopy& copy) {
  const Instruction& i = *copy.instruction;
  const u32 before = warp.mask;
  const u32 lane_bit = 1u << copy.lane;
  warp.mask = lane_bit;
  u8 bytes[16]{};
  Addresses from{}, to{};
  from[copy.lane] = copy.from;
  to[copy.lane] = copy.to;
  if (copy.source_bytes > 0) {
    AccessKind load;
    load.bytes = copy.bytes;
    const Pointers source = reach(i, warp, Space::kGlobal, from, lane_bit, load);
    std::memcpy(bytes, source[copy.lane], copy.source_bytes);
  }
  AccessKind store;
  store.bytes = copy.bytes;
  store.store = true;
  store.load = false;
  const Pointers target = reach(i, warp, Space::kShared, to, lane_bit, store);
  std::memcpy(target[copy.lane], bytes, copy.bytes);
  warp.mask = before;
}

template <class F>
void finish_where(Warp& warp, F due) {
  for (const LateCopy& copy : warp.late) {
    if (due(copy)) finish_one(warp, copy);
  }
  std::erase_if(warp.late, due);
}

// Places: to, from, bytes of the source. offset is that of `to`, lookup that of `from`.
void start_copy(const Instruction& i, Warp& warp) {
  const Addresses to = addresses_of(i, warp, 0);
  const u64* from = warp.in<u64>(i, 1);
  const u32* source_bytes = warp.in<u32>(i, 2);
  const u32 ignore = i.flag ? warp.predicate(i.place[3]) : 0;
  each_lane(warp.mask, [&](u32 l) {
    LateCopy copy;
    copy.lane = static_cast<u8>(l);
    copy.bytes = i.bytes;
    copy.source_bytes = static_cast<u8>(ignore >> l & 1u ? 0 : source_bytes[l]);
    if (copy.source_bytes > i.bytes)
      fail(warp, i, l, Fault::Kind::kOther, fmt::format("{} bytes of a source of {}", copy.source_bytes, i.bytes));
    copy.group = warp.groups[l];
    copy.to = static_cast<u32>(to[l] & ~kWindowMask);
    copy.from = from[l] + static_cast<u64>(static_cast<s32>(i.lookup));
    copy.instruction = &i;
    warp.late.push_back(copy);
  });
}
void commit(const Instruction&, Warp& warp) {
  each_lane(warp.mask, [&](u32 l) { ++warp.groups[l]; });
}
void wait_group(const Instruction& i, Warp& warp) {
  finish_where(warp, [&](const LateCopy& copy) { return (warp.mask >> copy.lane & 1u) && copy.group + i.lookup < warp.groups[copy.lane]; });
}
void wait_all(const Instruction&, Warp& warp) {
  const u32 lanes = warp.mask;
  finish_where(warp, [&](const LateCopy& copy) { return (lanes >> copy.lane & 1u) != 0; });
}

// PTX ISA 9.7.9.25.4, cp.async.bulk. It is done at once, which is one of the moments that the ISA allows.
// Places: to, from, bytes, mbarrier. flag: to global memory, else to shared memory, where the mbarrier is told.
void bulk_copy(const Instruction& i, Warp& warp) {
  const Space to_space = i.flag ? Space::kGlobal : Space::kShared, from_space = i.flag ? Space::kShared : Space::kGlobal;
  const auto address = [&](int operand, Space space, u32 l) {
    const u64 a = space == Space::kGlobal || i.address_bytes == 8 ? warp.in<u64>(i, operand)[l] : warp.in<u32>(i, operand)[l];
    return space == Space::kShared ? a & ~kWindowMask : a;
  };
  const u32* bytes = warp.in<u32>(i, 2);
  each_lane(warp.mask, [&](u32 l) {
    constexpr u32 kStep = 16;
    if (bytes[l] % kStep)
      fail(warp, i, l, Fault::Kind::kMisaligned, fmt::format("a bulk copy of {} bytes, not a multiple of {}", bytes[l], kStep));
    AccessKind load, store;
    load.bytes = store.bytes = kStep;
    store.store = true;
    store.load = false;
    Addresses to{}, from{};
    to[l] = address(0, to_space, l);
    from[l] = address(1, from_space, l);
    for (u32 at = 0; at < bytes[l]; at += kStep, to[l] += kStep, from[l] += kStep) {
      const Pointers source = reach(i, warp, from_space, from, 1u << l, load);
      const Pointers target = reach(i, warp, to_space, to, 1u << l, store);
      std::memcpy(target[l], source[l], kStep);
    }
    if (!i.flag) complete_bytes(i, warp, l, address(3, Space::kShared, l), bytes[l]);
  });
}

void nothing(const Instruction&, Warp&) {}

// An address without an offset, as CUDA's headers write them; returns its register's bytes.
u8 bulk_address(Form& form, size_t operand, Space space) {
  form.address(form.operand(operand), space);
  if (form.out.offset != 0) form.unknown("a bulk copy with an offset");
  return form.out.address_bytes;
}

void bulk_form(Form& form) {
  Instruction& out = form.out;
  if (form.take("commit_group")) return form.sets(nothing);
  if (form.take("wait_group")) {
    form.take("read");
    return form.sets(nothing);
  }
  // The first two words are target and source, and only the order says which is which.
  out.flag = form.take("bulk_group");
  if (!out.flag && !form.take("mbarrier::complete_tx::bytes")) form.unknown();
  if (!form.take("global") || form.take_one({"shared::cluster", "shared::cta"}) < 0) form.unknown();
  form.wants_operands(out.flag ? 3 : 4, out.flag ? 3 : 4);
  out.bytes = 16;
  const u8 to = bulk_address(form, 0, out.flag ? Space::kGlobal : Space::kShared);
  const u8 from = bulk_address(form, 1, out.flag ? Space::kShared : Space::kGlobal);
  form.from(2, Type::kU32);
  const u8 shared = out.flag ? from : to;
  if ((out.flag ? to : from) != 8) form.wrong("a global address has 64 bits");
  if (!out.flag && bulk_address(form, 3, Space::kShared) != shared) form.unknown("addresses of shared memory in registers of two sizes");
  out.address_bytes = shared;
  form.sets(bulk_copy);
}

void take_shared(Form& form) {
  const bool shared = form.take("shared") || form.take("shared::cta");
  form.out.space = form.space = shared ? Space::kShared : Space::kGeneric;
}

void copy_form(Form& form) {
  Instruction& out = form.out;
  if (form.take("commit_group")) return form.sets(commit);
  if (form.take("wait_all")) return form.sets(wait_all);
  if (form.take("wait_group")) {
    out.lookup = static_cast<u32>(form.literal(0));
    return form.sets(wait_group);
  }
  if (form.take("mbarrier")) {
    if (!form.take("arrive")) form.unknown();
    const bool no_increase = form.take("noinc");
    take_shared(form);
    return arrive_when_copied(form, no_increase);
  }
  const int cache = form.take_one({"ca", "cg"});
  take_shared(form);
  if (cache < 0 || !form.take("global")) form.unknown();
  form.take_cache_hints();
  form.wants_operands(3, 5);
  const s64 bytes = form.literal(2);
  if (bytes != 4 && bytes != 8 && bytes != 16) form.wrong("4, 8 or 16 bytes can be copied");
  if (cache == 1 && bytes != 16) form.wrong(".cg copies 16 bytes");
  out.bytes = static_cast<u8>(bytes);
  form.address(form.operand(1), Space::kGlobal);  // its place is moved after that of the target, below
  const s64 source_offset = out.offset;
  if (out.address_bytes != 8) form.wrong("the source's address has 64 bits");
  form.address(form.operand(0), Space::kShared);
  form.swap_last_two();
  out.lookup = static_cast<u32>(static_cast<s32>(source_offset));
  const bool has_size = form.operands() > 3 && !form.is_predicate(3);
  if (has_size)
    form.from(3, Type::kU32);
  else
    form.from_value(static_cast<u64>(bytes), Type::kU32);
  out.flag = form.operands() > 3 && form.is_predicate(3);
  if (out.flag) form.from_predicate(form.operand(3));
  form.sets(start_copy);
}

void cp(Form& form) {
  if (!form.take("async")) form.unknown();
  if (form.take("bulk")) return bulk_form(form);
  copy_form(form);
}

}  // namespace

void finish_late_copies(Warp& warp, u32 lanes) {
  finish_where(warp, [&](const LateCopy& copy) { return (lanes >> copy.lane & 1u) != 0; });
}

void add_async_forms(Families& families) {
  families["cp"] = cp;
  families["mbarrier"] = mbarrier_form;
}

}  // namespace mirilla::ptx
