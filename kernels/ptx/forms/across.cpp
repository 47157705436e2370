// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"

#include <algorithm>

// PTX ISA 9.7.9.6 and 9.7.13: shfl, vote, match, redux, elect. The schedule runs these only when all lanes of the member mask are here.

namespace mirilla::ptx {

namespace {

enum class Shuffle : u8 { kUp, kDown, kButterfly, kIndex };

// Places: d, p, a, b, c, members.
template <Shuffle kMode>
void shuffle(const Instruction& i, Warp& warp) {
  const u32 *a = warp.in<u32>(i, 2), *b = warp.in<u32>(i, 3), *c = warp.in<u32>(i, 4);
  alignas(64) u32 fresh[kLanes]{};
  u32 valid = 0;
  each_lane(warp.mask, [&](u32 l) {
    const u32 segment = c[l] >> 8 & 31u, clamp = c[l] & 31u, by = b[l] & 31u;
    const s32 most = static_cast<s32>((l & segment) | (clamp & ~segment)), lane = static_cast<s32>(l);
    s32 j = 0;
    bool inside = false;
    switch (kMode) {
      case Shuffle::kUp: j = lane - static_cast<s32>(by), inside = j >= most; break;
      case Shuffle::kDown: j = lane + static_cast<s32>(by), inside = j <= most; break;
      case Shuffle::kButterfly: j = lane ^ static_cast<s32>(by), inside = j <= most; break;
      case Shuffle::kIndex: j = static_cast<s32>((l & segment) | (by & ~segment)), inside = j <= most; break;
    }
    if (!inside) j = lane;
    if (!(warp.mask >> j & 1u)) fail(warp, i, l, Fault::Kind::kLanesMissing, fmt::format("it reads the lane {}, which is not there", j));
    fresh[l] = a[j];
    valid |= u32{inside} << l;
  });
  keep(warp.at<u32>(i.place[0]), fresh, warp.mask);
  warp.set_predicate(i.place[1], valid);
}

void shfl(Form& form) {
  if (!form.take("sync")) form.unknown("shfl without .sync, which no GPU from sm_70 on has,");
  const int mode = form.take_one({"up", "down", "bfly", "idx"});
  if (form.take_type() != Type::kB32 || mode < 0) form.unknown();
  form.wants_operands(5, 5);
  Operand d = form.operand(0);
  form.to(d, Type::kB32);
  if (d.second.empty()) {
    form.to_nowhere(Type::kPred);
  } else {
    d.word = d.second;
    form.to_predicate(d);
  }
  for (size_t k = 1; k < 5; ++k) form.from(k, Type::kB32);
  form.out.step = Step::kMembers;
  form.out.lookup = 5;
  constexpr Handler kModes[]{shuffle<Shuffle::kUp>, shuffle<Shuffle::kDown>, shuffle<Shuffle::kButterfly>, shuffle<Shuffle::kIndex>};
  form.sets(kModes[mode]);
}

// Places: d, a, members.
u32 votes(const Instruction& i, const Warp& warp) {
  const u32 a = warp.predicate(i.place[1]);
  return (i.flag ? ~a : a) & warp.mask;
}
void vote_ballot(const Instruction& i, Warp& warp) {
  const u32 yes = votes(i, warp);
  write_lanes<u32>(warp, i.place[0], [&](u32) { return yes; });
}
void vote_all(const Instruction& i, Warp& warp) { warp.set_predicate(i.place[0], votes(i, warp) == warp.mask ? kAllLanes : 0); }
void vote_any(const Instruction& i, Warp& warp) { warp.set_predicate(i.place[0], votes(i, warp) ? kAllLanes : 0); }
void vote_uniform(const Instruction& i, Warp& warp) {
  const u32 yes = votes(i, warp);
  warp.set_predicate(i.place[0], yes == 0 || yes == warp.mask ? kAllLanes : 0);
}

void vote(Form& form) {
  if (!form.take("sync")) form.unknown("vote without .sync, which no GPU from sm_70 on has,");
  const int mode = form.take_one({"all", "any", "uni", "ballot"});
  const Type type = form.take_type();
  if (mode < 0 || type != (mode == 3 ? Type::kB32 : Type::kPred)) form.unknown();
  form.wants_operands(3, 3);
  if (mode == 3)
    form.to(0, Type::kB32);
  else
    form.to_predicate(form.operand(0));
  form.from_predicate(form.operand(1), &form.out.flag);
  form.from(2, Type::kB32);
  form.out.step = Step::kMembers;
  form.out.lookup = 2;
  constexpr Handler kModes[]{vote_all, vote_any, vote_uniform, vote_ballot};
  form.sets(kModes[mode]);
}

// Places: d, p, a, members.
template <class T>
void match_any(const Instruction& i, Warp& warp) {
  const T* a = warp.in<T>(i, 2);
  write_lanes<u32>(warp, i.place[0], [&](u32 l) {
    u32 same = 0;
    each_lane(warp.mask, [&](u32 k) { same |= u32{a[k] == a[l]} << k; });
    return same;
  });
}
template <class T>
void match_all(const Instruction& i, Warp& warp) {
  const T* a = warp.in<T>(i, 2);
  bool same = true;
  each_lane(warp.mask, [&](u32 k) { same = same && a[k] == a[first_lane(warp.mask)]; });
  write_lanes<u32>(warp, i.place[0], [&](u32) { return same ? warp.mask : 0; });
  warp.set_predicate(i.place[1], same ? kAllLanes : 0);
}

void match(Form& form) {
  const int mode = form.take_one({"any", "all"});
  if (!form.take("sync") || mode < 0) form.unknown();
  const Type type = form.take_type();
  if (type != Type::kB32 && type != Type::kB64) form.unknown();
  form.wants_operands(3, 3);
  Operand d = form.operand(0);
  form.to(d, Type::kB32);
  if (mode == 1 && !d.second.empty()) {
    d.word = d.second;
    form.to_predicate(d);
  } else {
    form.to_nowhere(Type::kPred);
  }
  form.from(1, type);
  form.from(2, Type::kB32);
  form.out.step = Step::kMembers;
  form.out.lookup = 3;
  if (type == Type::kB32)
    form.sets(mode == 0 ? match_any<u32> : match_all<u32>);
  else
    form.sets(mode == 0 ? match_any<u64> : match_all<u64>);
}

// Places: d, a, members.
template <class T, class F>
void reduce(const Instruction& i, Warp& warp, F f) {
  const T* a = warp.in<T>(i, 1);
  T result = a[first_lane(warp.mask)];
  each_lane(warp.mask & (warp.mask - 1), [&](u32 l) { result = f(result, a[l]); });
  write_lanes<T>(warp, i.place[0], [&](u32) { return result; });
}

void redux(Form& form) {
  if (!form.take("sync")) form.unknown();
  const int mode = form.take_one({"add", "min", "max", "and", "or", "xor"});
  const Type type = form.take_type();
  const bool logic = mode >= 3;
  if (mode < 0 || logic != (type == Type::kB32) || (!logic && type != Type::kU32 && type != Type::kS32)) form.unknown();
  form.wants_operands(3, 3);
  form.to(0, type);
  form.from(1, type);
  form.from(2, Type::kB32);
  form.out.step = Step::kMembers;
  form.out.lookup = 2;
  const bool is_signed_type = type == Type::kS32;
  if (mode == 0) form.sets([](const Instruction& i, Warp& w) { reduce<u32>(i, w, [](u32 a, u32 b) { return a + b; }); });
  if (mode == 1 && is_signed_type)
    form.sets([](const Instruction& i, Warp& w) { reduce<s32>(i, w, [](s32 a, s32 b) { return std::min(a, b); }); });
  if (mode == 1 && !is_signed_type)
    form.sets([](const Instruction& i, Warp& w) { reduce<u32>(i, w, [](u32 a, u32 b) { return std::min(a, b); }); });
  if (mode == 2 && is_signed_type)
    form.sets([](const Instruction& i, Warp& w) { reduce<s32>(i, w, [](s32 a, s32 b) { return std::max(a, b); }); });
  if (mode == 2 && !is_signed_type)
    form.sets([](const Instruction& i, Warp& w) { reduce<u32>(i, w, [](u32 a, u32 b) { return std::max(a, b); }); });
  if (mode == 3) form.sets([](const Instruction& i, Warp& w) { reduce<u32>(i, w, [](u32 a, u32 b) { return a & b; }); });
  if (mode == 4) form.sets([](const Instruction& i, Warp& w) { reduce<u32>(i, w, [](u32 a, u32 b) { return a | b; }); });
  if (mode == 5) form.sets([](const Instruction& i, Warp& w) { reduce<u32>(i, w, [](u32 a, u32 b) { return a ^ b; }); });
}

// Places: d, p, members. The ISA leaves open which lane is elected; here it is the first.
void run_elect(const Instruction& i, Warp& warp) {
  const u32 leader = first_lane(warp.mask);
  write_lanes<u32>(warp, i.place[0], [&](u32) { return leader; });
  warp.set_predicate(i.place[1], 1u << leader);
}
void elect(Form& form) {
  if (!form.take("sync")) form.unknown();
  form.wants_operands(2, 2);
  Operand d = form.operand(0);
  form.to(d, Type::kB32);
  d.word = d.second;
  form.to_predicate(d);
  form.from(1, Type::kB32);
  form.out.step = Step::kMembers;
  form.out.lookup = 2;
  form.sets(run_elect);
}

}  // namespace

void add_warp_forms(Families& families) {
  families["shfl"] = shfl;
  families["vote"] = vote;
  families["match"] = match;
  families["redux"] = redux;
  families["elect"] = elect;
}

}  // namespace mirilla::ptx
