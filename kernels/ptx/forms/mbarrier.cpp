// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/mbarrier.h"

#include "kernels/ptx/detect/race.h"
#include "kernels/ptx/forms/barrier.h"
#include "kernels/ptx/forms/lanes.h"
#include "kernels/ptx/forms/memory.h"

// PTX ISA 9.7.13.15, mbarrier: a barrier in shared memory, with phases.

namespace mirilla::ptx {

namespace {

// The ISA leaves the 64 bits to the implementation. Here: pending arrivals, arrivals per phase, pending bytes, the phase's parity.
struct State {
  u64 pending, expected, parity;
  s64 bytes;
};
State unpack(u64 word) { return {word & 0xfffffu, word >> 20 & 0xfffffu, word >> 62 & 1u, static_cast<s64>(word << 2) >> 42}; }
u64 pack(const State& s) { return s.pending | s.expected << 20 | (static_cast<u64>(s.bytes) & 0x3fffffu) << 40 | s.parity << 62; }

enum class What : u8 { kInit, kInvalidate, kArrive, kDrop, kExpect, kTest, kTestParity, kCopies, kCopiesNoIncrease };

// Places: result, address, operand. extend: .expect_tx, the operand is a number of bytes; lookup: the result is the state before.
template <What kWhat>
void step(const Instruction& i, Warp& warp, u32 l, u8* at, u32* done) {
  u64 word = 0;
  std::memcpy(&word, at, 8);
  State state = unpack(word);
  const u64 operand = kWhat == What::kTest ? warp.in<u64>(i, 2)[l] : warp.in<u32>(i, 2)[l];
  u64 arrivals = 0;
  if constexpr (kWhat == What::kInit) state = {operand, operand, 0, 0};
  if constexpr (kWhat == What::kInvalidate) state = {};
  if constexpr (kWhat == What::kArrive) arrivals = i.extend ? 1 : operand;
  if constexpr (kWhat == What::kDrop) {
    arrivals = i.extend ? 1 : operand;
    state.expected -= arrivals;
  }
  if (kWhat == What::kExpect || i.extend) state.bytes += static_cast<s64>(operand);
  if constexpr (kWhat == What::kTest) *done |= u32{unpack(operand).parity != state.parity} << l;
  if constexpr (kWhat == What::kTestParity) *done |= u32{(operand & 1) != state.parity} << l;
  if constexpr (kWhat == What::kCopies || kWhat == What::kCopiesNoIncrease) {
    finish_late_copies(warp, 1u << l);
    arrivals = kWhat == What::kCopies ? 0 : 1;  // without .noinc the expected count also grows by one: they cancel
  }
  if (arrivals > state.pending)
    fail(warp, i, l, Fault::Kind::kOther, fmt::format("{} arrivals at an mbarrier that waits for {}", arrivals, state.pending));
  state.pending -= arrivals;
  if (arrivals && state.pending == 0 && state.bytes == 0) {
    state.parity ^= 1;
    state.pending = state.expected;
  }
  const u64 after = pack(state);
  std::memcpy(at, &after, 8);
  if (i.lookup) warp.at<u64>(i.place[0])[l] = word;
}

template <What kWhat>
void on_barrier(const Instruction& i, Warp& warp) {
  const Addresses all = addresses_of(i, warp, 1);
  by_space(i, all, warp.mask, [&](Space space, const Addresses& addresses, u32 mask) {
    if (space != Space::kShared) fail(warp, i, first_lane(mask), Fault::Kind::kOther, "an mbarrier outside of shared memory");
    AccessKind kind;
    kind.bytes = 8;
    kind.store = kind.strong = true;
    kind.load = kWhat != What::kInit;
    const Pointers at = reach(i, warp, space, addresses, mask, kind);
    u32 done = 0;
    each_lane(mask, [&](u32 l) {
      step<kWhat>(i, warp, l, at[l], &done);
      if (warp.block->races) warp.block->races->synchronise(warp, i, kSharedWindow | addresses[l], true);
    });
    if constexpr (kWhat == What::kTest || kWhat == What::kTestParity) {
      u32& p = *warp.at<u32>(i.place[0]);
      p = (p & ~mask) | (done & mask);
    }
  });
}

AccessKind whole_state() {
  AccessKind kind;
  kind.bytes = 8;
  kind.store = kind.strong = true;
  return kind;
}

void pending_count(const Instruction& i, Warp& warp) {
  const u64* state = warp.in<u64>(i, 1);
  write_lanes<u32>(warp, i.place[0], [&](u32 l) { return unpack(state[l]).pending; });
}

void common(Form& form) {
  form.take_memory_order();
  form.out.acquire = form.out.release = false;
  const bool shared = form.take("shared") || form.take("shared::cta");
  form.out.space = form.space = shared ? Space::kShared : Space::kGeneric;
  if (form.take_type() != Type::kB64) form.unknown();
  form.out.bytes = 8;
}

void test(Form& form) {
  const bool parity = form.take("parity");
  common(form);
  form.wants_operands(3, 4);  // the fourth is a time hint
  form.to_predicate(form.operand(0));
  form.address(1);
  form.from(2, parity ? Type::kU32 : Type::kB64);
  form.sets(parity ? on_barrier<What::kTestParity> : on_barrier<What::kTest>);
}

void arrive(Form& form, bool drops) {
  const bool expects = form.take("expect_tx");
  form.take("noComplete");
  common(form);
  form.out.extend = expects;
  const bool result = form.operand(0).kind != Operand::Kind::kAddress;
  const size_t first = result ? 1 : 0;
  form.out.lookup = result && form.operand(0).word != "_" ? 1 : 0;
  if (form.out.lookup)
    form.to(0, Type::kB64);
  else
    form.to_nowhere(Type::kB64);
  form.address(first);
  if (form.operands() > first + 1)
    form.from(first + 1, Type::kU32);
  else
    form.from_value(1, Type::kU32);
  form.sets(drops ? on_barrier<What::kDrop> : on_barrier<What::kArrive>);
}

void plain(Form& form, Handler handler, bool operand) {
  common(form);
  form.to_nowhere(Type::kB64);
  form.address(0);
  if (operand)
    form.from(1, Type::kU32);
  else
    form.from_value(0, Type::kU32);
  form.sets(handler);
}

}  // namespace

void complete_bytes(const Instruction& i, Warp& warp, u32 lane, u64 address, u32 bytes) {
  Addresses addresses{};
  addresses[lane] = address;
  u8* const at = reach(i, warp, Space::kShared, addresses, 1u << lane, whole_state())[lane];
  u64 word = 0;
  std::memcpy(&word, at, 8);
  State state = unpack(word);
  state.bytes -= static_cast<s64>(bytes);
  if (state.pending == 0 && state.bytes == 0) {
    state.parity ^= 1;
    state.pending = state.expected;
  }
  word = pack(state);
  std::memcpy(at, &word, 8);
  if (warp.block->races) warp.block->races->synchronise(warp, i, kSharedWindow | address, true);
}

void arrive_when_copied(Form& form, bool no_increase) {
  plain(form, no_increase ? on_barrier<What::kCopiesNoIncrease> : on_barrier<What::kCopies>, false);
}

void mbarrier_form(Form& form) {
  if (form.take("init")) return plain(form, on_barrier<What::kInit>, true);
  if (form.take("inval")) return plain(form, on_barrier<What::kInvalidate>, false);
  if (form.take("arrive")) return arrive(form, false);
  if (form.take("arrive_drop")) return arrive(form, true);
  if (form.take("expect_tx")) return plain(form, on_barrier<What::kExpect>, true);
  if (form.take("test_wait") || form.take("try_wait")) return test(form);
  if (form.take("pending_count")) {
    if (form.take_type() != Type::kB64) form.unknown();
    form.to(0, Type::kU32);
    form.from(1, Type::kB64);
    return form.sets(pending_count);
  }
  form.unknown();
}

}  // namespace mirilla::ptx
