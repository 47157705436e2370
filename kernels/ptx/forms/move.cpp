// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/by_type.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"

#include <chrono>

// PTX ISA 9.7.9: mov, packing and unpacking, cvta, isspacep, mapa; the registers that change while a kernel runs.

namespace mirilla::ptx {

namespace {

struct Same {
  template <class T>
  static T of(T a) {
    return a;
  }
};

void move_predicate(const Instruction& i, Warp& warp) { warp.set_predicate(i.place[0], warp.predicate(i.place[1])); }

struct Wide128 {
  u64 low, high;
};

template <class Part, class Whole>
void pack(const Instruction& i, Warp& warp) {
  write_lanes<Whole>(warp, i.place[0], [&](u32 l) {
    Whole whole{};
    for (u32 k = 0; k < sizeof(Whole) / sizeof(Part); ++k)
      std::memcpy(reinterpret_cast<u8*>(&whole) + k * sizeof(Part), &warp.at<Part>(i.place[1 + k])[l], sizeof(Part));
    return whole;
  });
}
template <class Part, class Whole>
void unpack(const Instruction& i, Warp& warp) {
  Whole whole[kLanes];  // a part may be in the same register as the whole
  std::memcpy(whole, warp.at<Whole>(i.place[0]), sizeof whole);
  for (u32 k = 0; k < sizeof(Whole) / sizeof(Part); ++k) {
    Part* d = warp.at<Part>(i.place[1 + k]);
    each_lane(warp.mask, [&](u32 l) { std::memcpy(&d[l], reinterpret_cast<const u8*>(&whole[l]) + k * sizeof(Part), sizeof(Part)); });
  }
}

template <class Part, class Whole>
Handler packing(bool packs) {
  return packs ? pack<Part, Whole> : unpack<Part, Whole>;
}

void pack_or_unpack(Form& form, Type type, bool packs) {
  const Operand& parts = form.operand(packs ? 1 : 0);
  const size_t count = parts.parts.size();
  const u32 bytes = bytes_of(type);
  if ((count != 2 && count != 4 && count != 8) || bytes / count == 0) form.wrong("the vector's size");
  const u32 part_bytes = bytes / static_cast<u32>(count);
  const Type part = part_bytes == 8 ? Type::kB64 : part_bytes == 4 ? Type::kB32 : part_bytes == 2 ? Type::kB16 : Type::kB8;
  form.out.count = static_cast<u8>(count);
  if (packs)
    form.to(0, type);
  else
    form.from(1, type);
  for (const Operand& one : parts.parts) {
    if (packs)
      form.from(one, part);
    else
      form.to(one, part);
  }
  switch (part_bytes << 8 | bytes) {
    case 0x204: return form.sets(packing<u16, u32>(packs));
    case 0x208: return form.sets(packing<u16, u64>(packs));
    case 0x408: return form.sets(packing<u32, u64>(packs));
    case 0x410: return form.sets(packing<u32, Wide128>(packs));
    case 0x810: return form.sets(packing<u64, Wide128>(packs));
    default: return;
  }
}

// %clock and %globaltimer: a growing count. It says nothing about time on a GPU.
u64 ticks(const Warp& warp) {
  static_cast<void>(warp);
  return static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch().count());
}
template <class T, u32 kShift>
void read_clock(const Instruction& i, Warp& warp) {
  const u64 now = ticks(warp);
  write_lanes<T>(warp, i.place[0], [&](u32) { return now >> kShift; });
}
Handler clock_of(std::string_view name) {
  if (name == "%clock64" || name == "%globaltimer") return read_clock<u64, 0>;
  if (name == "%clock" || name == "%globaltimer_lo") return read_clock<u32, 0>;
  return name == "%clock_hi" || name == "%globaltimer_hi" ? read_clock<u32, 32> : nullptr;
}

void active_mask(const Instruction& i, Warp& warp) {
  write_lanes<u32>(warp, i.place[0], [&](u32) { return warp.mask; });
}

void mov(Form& form) {
  const Type type = form.take_type();
  form.wants_operands(2, 2);
  if (type == Type::kPred) {
    form.to_predicate(form.operand(0));
    form.from_predicate(form.operand(1));
    return form.sets(move_predicate);
  }
  if (form.is_vector(0) || form.is_vector(1)) return pack_or_unpack(form, type, form.is_vector(1));
  form.to(0, type);
  if (const Handler clock = clock_of(form.operand(1).word)) {
    const bool wide = form.operand(1).word == "%clock64" || form.operand(1).word == "%globaltimer";
    if (bytes_of(type) != (wide ? 8u : 4u)) form.wrong("the register's size");
    return form.sets(clock);
  }
  form.from(1, type);
  if (type == Type::kB128) return form.sets(Lanewise<Same, Wide128, Wide128>::run);
  form.sets(by_bits(type, []<class T>() -> Handler { return Lanewise<Same, T, T>::run; }));
}

void activemask(Form& form) {
  if (form.take_type() != Type::kB32) form.unknown();
  form.wants_operands(1, 1);
  form.to(0, Type::kB32);
  form.sets(active_mask);
}

u64 window_of(Space space) {
  return space == Space::kShared ? kSharedWindow : space == Space::kLocal ? kLocalWindow : space == Space::kParam ? kParamWindow : 0;
}
constexpr Space kSpaces[]{Space::kGlobal, Space::kShared, Space::kShared, Space::kLocal, Space::kConst, Space::kParam, Space::kParam};

void to_space(const Instruction& i, Warp& warp) {
  const u64* a = warp.in<u64>(i, 1);
  write_lanes<u64>(warp, i.place[0],
                   [&](u32 l) { return i.space == Space::kGlobal || i.space == Space::kConst ? a[l] : a[l] & ~kWindowMask; });
}
void to_generic(const Instruction& i, Warp& warp) {
  const u64* a = warp.in<u64>(i, 1);
  write_lanes<u64>(warp, i.place[0], [&](u32 l) { return a[l] | window_of(i.space); });
}

void cvta(Form& form) {
  const bool to = form.take("to");
  const int space = form.take_one({"global", "shared", "shared::cta", "local", "const", "param", "param::entry"});
  if (space < 0 || form.take_type() != Type::kU64) form.unknown();
  form.out.space = kSpaces[space];
  form.wants_operands(2, 2);
  form.to(0, Type::kU64);
  form.from(1, Type::kU64);
  const bool same = window_of(form.out.space) == 0;  // global and constant addresses are generic ones
  form.sets(same ? Lanewise<Same, u64, u64>::run : to ? to_space : to_generic);
}

void is_space(const Instruction& i, Warp& warp) {
  const u64* a = warp.in<u64>(i, 1);
  u32 bits = 0;
  each_lane(warp.mask, [&](u32 l) {
    u64 address = a[l];
    Space space = Space::kGlobal;
    if (const u64 window = address & kWindowMask)
      space = window == kSharedWindow ? Space::kShared : window == kLocalWindow ? Space::kLocal : Space::kParam;
    if (space == Space::kGlobal) {
      const Allocation* there = warp.block->memory->find(address);
      if (there && there->read_only) space = Space::kConst;
    }
    bits |= u32{space == i.space} << l;
  });
  warp.set_predicate(i.place[0], bits);
}

void isspacep(Form& form) {
  const int space = form.take_one({"global", "shared", "shared::cta", "local", "const", "param", "param::entry"});
  if (space < 0) form.unknown();
  form.out.space = kSpaces[space];
  form.wants_operands(2, 2);
  form.to_predicate(form.operand(0));
  form.from(1, Type::kU64);
  form.sets(is_space);
}

}  // namespace

void add_move_forms(Families& families) {
  families["mov"] = mov;
  families["cvta"] = cvta;
  families["isspacep"] = isspacep;
  families["activemask"] = activemask;
}

}  // namespace mirilla::ptx
