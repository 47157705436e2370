// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/memory.h"

#include "kernels/ptx/detect/race.h"
#include "kernels/ptx/forms/by_type.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"

// PTX ISA 9.7.9, ld, st, ldu, prefetch; parameters of kernels and of calls.

namespace mirilla::ptx {

namespace {

AccessKind kind_of(const Instruction& i) {
  AccessKind kind;
  kind.bytes = u32{i.bytes} * i.count;
  kind.store = i.store;
  kind.load = !i.store;
  kind.strong = i.strong;
  kind.constant = i.constant;
  return kind;
}

/// Whether the 32 addresses are contiguous, element after element.
bool in_a_row(const Addresses& a, u32 bytes) {
  u64 differs = 0;
  for (u32 l = 0; l < kLanes; ++l) differs |= a[l] ^ (a[0] + l * bytes);
  return differs == 0;
}

template <class Element, class Register>
void load(const Instruction& i, Warp& warp) {
  const Addresses all = addresses_of(i, warp, 0);
  by_space(i, all, warp.mask, [&](Space space, const Addresses& addresses, u32 mask) {
    const Pointers from = reach(i, warp, space, addresses, mask, kind_of(i));
    if constexpr (sizeof(Element) == sizeof(Register)) {
      if (i.count == 1 && mask == kAllLanes && space != Space::kLocal && space != Space::kParam && in_a_row(addresses, sizeof(Element))) {
        std::memcpy(warp.at<Register>(i.place[1]), from[0], sizeof(Element) * kLanes);
        return;
      }
    }
    for (u32 k = 0; k < i.count; ++k) {
      Register* d = warp.at<Register>(i.place[1 + k]);
      each_lane(mask, [&](u32 l) {
        Element value;
        std::memcpy(&value, from[l] + k * sizeof(Element), sizeof(Element));
        d[l] = static_cast<Register>(value);
      });
    }
  });
  if (i.strong && warp.block->races) {
    const Addresses where = addresses_of(i, warp, 0);
    each_lane(warp.mask, [&](u32 l) { warp.block->races->synchronise(warp, i, where[l], false); });
  }
}

template <class Element, class Register>
void store(const Instruction& i, Warp& warp) {
  const Addresses all = addresses_of(i, warp, 0);
  if (i.strong && warp.block->races) each_lane(warp.mask, [&](u32 l) { warp.block->races->synchronise(warp, i, all[l], true); });
  by_space(i, all, warp.mask, [&](Space space, const Addresses& addresses, u32 mask) {
    AccessKind kind = kind_of(i);
    alignas(8) std::array<u8, kLanes * kMostBytes> fresh;
    if (warp.block->races) {
      for (u32 k = 0; k < i.count; ++k) {
        const Register* s = warp.at<Register>(i.place[1 + k]);
        each_lane(mask, [&](u32 l) {
          const Element value = static_cast<Element>(s[l]);
          std::memcpy(fresh.data() + l * kMostBytes + k * sizeof(Element), &value, sizeof(Element));
        });
      }
      kind.fresh = fresh.data();
    }
    const Pointers to = reach(i, warp, space, addresses, mask, kind);
    if constexpr (sizeof(Element) == sizeof(Register)) {
      if (i.count == 1 && mask == kAllLanes && space != Space::kLocal && in_a_row(addresses, sizeof(Element))) {
        std::memcpy(to[0], warp.at<Register>(i.place[1]), sizeof(Element) * kLanes);
        return;
      }
    }
    for (u32 k = 0; k < i.count; ++k) {
      const Register* s = warp.at<Register>(i.place[1 + k]);
      each_lane(mask, [&](u32 l) {
        const Element value = static_cast<Element>(s[l]);
        std::memcpy(to[l] + k * sizeof(Element), &value, sizeof(Element));
      });
    }
  });
}

/// A parameter of the kernel at a fixed place is the same for all lanes.
template <class Element, class Register>
void load_parameter(const Instruction& i, Warp& warp) {
  const Block& block = *warp.block;
  const u64 at = warp.in<u64>(i, 0)[0] + static_cast<u64>(i.offset);
  const u32 bytes = u32{i.bytes} * i.count;
  if (at + bytes > block.parameter_bytes || at % bytes) return load<Element, Register>(i, warp);  // which reports what is wrong
  for (u32 k = 0; k < i.count; ++k) {
    Element value;
    std::memcpy(&value, block.parameters + at + k * sizeof(Element), sizeof(Element));
    alignas(64) Register fresh[kLanes];
    for (u32 l = 0; l < kLanes; ++l) fresh[l] = static_cast<Register>(value);
    keep(warp.at<Register>(i.place[1 + k]), fresh, warp.mask);
  }
}

/// A parameter of a call: place[0] is its position in the registers, offset the byte inside it, lookup the bytes from lane to lane.
template <class Element, class Register>
void call_parameter(const Instruction& i, Warp& warp) {
  for (u32 k = 0; k < i.count; ++k) {
    Register* values = warp.at<Register>(i.place[1 + k]);
    u8* room = warp.at<u8>(i.place[0]) + i.offset + k * sizeof(Element);
    each_lane(warp.mask, [&](u32 l) {
      Element value;
      if (i.store) {
        value = static_cast<Element>(values[l]);
        std::memcpy(room + l * i.lookup, &value, sizeof(Element));
      } else {
        std::memcpy(&value, room + l * i.lookup, sizeof(Element));
        values[l] = static_cast<Register>(value);
      }
    });
  }
}

enum class Road : u8 { kLoad, kStore, kParameter, kCall };

template <class Element, class Register>
Handler on(Road road) {
  switch (road) {
    case Road::kLoad: return load<Element, Register>;
    case Road::kStore: return store<Element, Register>;
    case Road::kParameter: return load_parameter<Element, Register>;
    case Road::kCall: return call_parameter<Element, Register>;
  }
  return nullptr;
}

struct Wide128 {
  u64 low, high;
};

Handler handler_for(u32 bytes, u32 width, bool extends, Road road) {
  switch (bytes << 8 | width) {
    case 0x102: return extends ? on<s8, s16>(road) : on<u8, u16>(road);
    case 0x104: return extends ? on<s8, s32>(road) : on<u8, u32>(road);
    case 0x108: return extends ? on<s8, s64>(road) : on<u8, u64>(road);
    case 0x202: return on<u16, u16>(road);
    case 0x204: return extends ? on<s16, s32>(road) : on<u16, u32>(road);
    case 0x208: return extends ? on<s16, s64>(road) : on<u16, u64>(road);
    case 0x404: return on<u32, u32>(road);
    case 0x408: return extends ? on<s32, s64>(road) : on<u32, u64>(road);
    case 0x808: return on<u64, u64>(road);
    case 0x1010: return on<Wide128, Wide128>(road);
    default: return nullptr;
  }
}

Space take_space(Form& form) {
  constexpr Space kSpaces[]{Space::kGlobal, Space::kShared, Space::kShared, Space::kLocal,
                            Space::kConst,  Space::kParam,  Space::kParam,  Space::kParam};
  const int space = form.take_one({"global", "shared", "shared::cta", "local", "const", "param", "param::entry", "param::func"});
  return space < 0 ? Space::kGeneric : kSpaces[space];
}

void values(Form& form, const Operand& operand, Type type) {
  Instruction& out = form.out;
  const bool vector = operand.kind == Operand::Kind::kVector;
  if (vector ? operand.parts.size() != out.count : out.count != 1) form.wrong("the vector does not fit its size");
  u32 width = 0;
  for (size_t k = 0; k < out.count; ++k) {
    const Operand& one = vector ? operand.parts[k] : operand;
    u32 this_width = 0;
    if (!out.store)
      this_width = one.word == "_" ? 0 : form.to_wide(one, type);
    else
      this_width = form.from_wide(one, type);
    if (!out.store && one.word == "_") form.to_nowhere(type);
    if (one.kind == Operand::Kind::kNumber || this_width == 0) continue;
    if (width && this_width != width) form.wrong("the vector's registers differ in size");
    width = this_width;
  }
  const u32 natural = std::max(2u, bytes_of(type));
  for (size_t k = 0; k < out.count && width > natural; ++k) {
    if ((vector ? operand.parts[k] : operand).kind == Operand::Kind::kNumber) form.wrong("a number beside wide registers");
  }
  out.width = static_cast<u8>(width ? width : natural);
}

void load_store(Form& form) {
  Instruction& out = form.out;
  out.store = form.base() == "st";
  form.take_memory_order();
  out.constant = form.take("nc");
  if (form.base() == "ldu") out.constant = false;
  form.space = take_space(form);
  out.space = form.space;
  form.take_cache_hints();
  if (form.take("unified")) form.unknown("the modifier .unified");
  const int vector = form.take_one({"v2", "v4", "v8"});
  out.count = vector < 0 ? 1 : static_cast<u8>(2 << vector);
  const Type type = form.take_type();
  form.wants_operands(2, 3);  // the third is a cache policy
  if (out.constant && (out.store || form.space != Space::kGlobal)) form.unknown("the modifier .nc");
  out.bytes = static_cast<u8>(bytes_of(type));
  out.extend = is_signed(type);
  if (u32{out.bytes} * out.count > kMostBytes) form.unknown();
  const Operand& address = form.operand(out.store ? 0 : 1);
  const int variable = form.space == Space::kParam && address.kind == Operand::Kind::kAddress ? form.body.find_register(address.word) : -1;
  Road road = out.store ? Road::kStore : Road::kLoad;
  if (variable >= 0 && form.body.room_of_register(variable) > 0) {
    road = Road::kCall;
    const u32 room = form.body.room_of_register(variable);
    if (address.offset < 0 || static_cast<u64>(address.offset) + out.bytes * out.count > room)
      form.wrong("it is beyond the parameter's end");
    form.call_room(variable);
    out.offset = address.offset;
    out.lookup = call_stride(room);
  } else {
    form.address(address, form.space);
    if (form.space == Space::kParam && variable < 0) road = Road::kParameter;
  }
  values(form, form.operand(out.store ? 1 : 0), type);
  form.sets(handler_for(out.bytes, out.width, out.extend, road));
}

void nothing(const Instruction&, Warp&) {}

void prefetch(Form& form) {
  take_space(form);
  form.take_one({"L1", "L2", "L2::evict_last", "L2::evict_normal"});
  form.take("tensormap");
  form.sets(nothing);
}

}  // namespace

void add_memory_forms(Families& families) {
  for (std::string_view name : {"ld", "st", "ldu"}) families[name] = load_store;
  for (std::string_view name : {"prefetch", "prefetchu"}) families[name] = prefetch;
}

}  // namespace mirilla::ptx
