// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/by_type.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"
#include "kernels/ptx/forms/numbers.h"

// PTX ISA 9.7.6 and 9.7.7, comparison and selection: setp, set, selp, slct, of integers, floats and halves.

namespace mirilla::ptx {

namespace {

enum class Compare : u8 { kEq, kNe, kLt, kLe, kGt, kGe, kEqu, kNeu, kLtu, kLeu, kGtu, kGeu, kNum, kNan };

template <Compare kHow>
struct How {
  template <class T>
  static bool of(T a, T b) {
    if constexpr (kHow == Compare::kEq) return a == b;
    if constexpr (kHow == Compare::kNe) return std::is_floating_point_v<T> ? a < b || a > b : a != b;
    if constexpr (kHow == Compare::kLt) return a < b;
    if constexpr (kHow == Compare::kLe) return a <= b;
    if constexpr (kHow == Compare::kGt) return a > b;
    if constexpr (kHow == Compare::kGe) return a >= b;
    // ...u: true where an operand is NaN
    if constexpr (kHow == Compare::kEqu) return !(a < b || a > b);
    if constexpr (kHow == Compare::kNeu) return a != b;
    if constexpr (kHow == Compare::kLtu) return !(a >= b);
    if constexpr (kHow == Compare::kLeu) return !(a > b);
    if constexpr (kHow == Compare::kGtu) return !(a <= b);
    if constexpr (kHow == Compare::kGeu) return !(a < b);
    if constexpr (kHow == Compare::kNum) return a == a && b == b;
    if constexpr (kHow == Compare::kNan) return a != a || b != b;
  }
};

/// How the operands are read from registers before they are compared.
template <class T>
struct Plain {
  using Register = T;
  static T of(T x) { return x; }
};
struct Flushed {
  using Register = f32;
  static f32 of(f32 x) { return flush(x); }
};
template <class Format16>
struct Widened {
  using Register = u16;
  static f32 of(u16 x) { return Format16::wide(x); }
};

template <class Read, Compare kHow>
struct Reading {
  template <class T>
  static bool of(T a, T b) {
    return How<kHow>::of(Read::of(a), Read::of(b));
  }
};

using Comparison = u32 (*)(const Instruction&, const Warp&, u32);

// Places: p, q, c, a, b of setp; d, c, a, b of set. `first` is the place number of a.
template <class Read, Compare kHow>
u32 compared(const Instruction& i, const Warp& warp, u32 first) {
  using T = typename Read::Register;
  return compare_lanes<Reading<Read, kHow>>(warp.at<const T>(i.place[first]), warp.at<const T>(i.place[first + 1]));
}

// lookup: 0 nothing, 1 and, 2 or, 3 xor with c.
u32 combined(const Instruction& i, const Warp& warp, u32 result, u32 c_place, u32* other) {
  const u32 c = i.flag ? ~warp.predicate(c_place) : warp.predicate(c_place);
  const auto with = [&](u32 bits) { return i.lookup == 1 ? bits & c : i.lookup == 2 ? bits | c : i.lookup == 3 ? bits ^ c : bits; };
  *other = with(~result);
  return with(result);
}

template <class Read, Compare kHow>
void setp_simple(const Instruction& i, Warp& warp) {
  warp.set_predicate(i.place[0], compared<Read, kHow>(i, warp, 1));
}
template <class Read, Compare kHow>
void setp_full(const Instruction& i, Warp& warp) {
  u32 other = 0;
  const u32 result = combined(i, warp, compared<Read, kHow>(i, warp, 3), i.place[2], &other);
  warp.set_predicate(i.place[0], result);
  warp.set_predicate(i.place[1], other);
}
template <class Read, Compare kHow>
void set_word(const Instruction& i, Warp& warp) {
  u32 other = 0;
  const u32 result = combined(i, warp, compared<Read, kHow>(i, warp, 2), i.place[1], &other);
  if (i.width == 2) {
    const u16 yes = i.type == Type::kF16 ? 0x3c00 : i.type == Type::kBf16 ? 0x3f80 : 0xffff;
    write_lanes<u16>(warp, i.place[0], [&](u32 l) { return result >> l & 1u ? yes : 0; });
  } else {
    const u32 yes = i.type == Type::kF32 ? 0x3f800000u : kAllLanes;
    write_lanes<u32>(warp, i.place[0], [&](u32 l) { return result >> l & 1u ? yes : 0; });
  }
}

enum class Kind : u8 { kSimple, kFull, kSet };

template <class Read, Compare kHow>
Handler of_kind(Kind kind) {
  if (kind == Kind::kSimple) return setp_simple<Read, kHow>;
  return kind == Kind::kFull ? setp_full<Read, kHow> : set_word<Read, kHow>;
}

template <class Read>
Handler of_compare(Compare how, Kind kind) {
  switch (how) {
    case Compare::kEq: return of_kind<Read, Compare::kEq>(kind);
    case Compare::kNe: return of_kind<Read, Compare::kNe>(kind);
    case Compare::kLt: return of_kind<Read, Compare::kLt>(kind);
    case Compare::kLe: return of_kind<Read, Compare::kLe>(kind);
    case Compare::kGt: return of_kind<Read, Compare::kGt>(kind);
    case Compare::kGe: return of_kind<Read, Compare::kGe>(kind);
    default: break;
  }
  if constexpr (std::is_floating_point_v<decltype(Read::of({}))>) {
    switch (how) {
      case Compare::kEqu: return of_kind<Read, Compare::kEqu>(kind);
      case Compare::kNeu: return of_kind<Read, Compare::kNeu>(kind);
      case Compare::kLtu: return of_kind<Read, Compare::kLtu>(kind);
      case Compare::kLeu: return of_kind<Read, Compare::kLeu>(kind);
      case Compare::kGtu: return of_kind<Read, Compare::kGtu>(kind);
      case Compare::kGeu: return of_kind<Read, Compare::kGeu>(kind);
      case Compare::kNum: return of_kind<Read, Compare::kNum>(kind);
      case Compare::kNan: return of_kind<Read, Compare::kNan>(kind);
      default: break;
    }
  }
  return nullptr;
}

Handler of_type(Type type, Compare how, Kind kind, bool ftz) {
  switch (type) {
    case Type::kF32: return ftz ? of_compare<Flushed>(how, kind) : of_compare<Plain<f32>>(how, kind);
    case Type::kF64: return of_compare<Plain<f64>>(how, kind);
    case Type::kF16: return of_compare<Widened<Half16>>(how, kind);
    case Type::kBf16: return of_compare<Widened<Brain16>>(how, kind);
    case Type::kB16:
    case Type::kB32:
    case Type::kB64:
      if (how != Compare::kEq && how != Compare::kNe) return nullptr;
      return by_bits(type, [&]<class T>() -> Handler { return of_compare<Plain<T>>(how, kind); });
    default: return by_integer(type, [&]<class T>() -> Handler { return of_compare<Plain<T>>(how, kind); });
  }
}

Compare take_compare(Form& form, Type* unsigned_order) {
  const int how = form.take_one({"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"});
  if (how >= 0) return static_cast<Compare>(how);
  const int order = form.take_one({"lo", "ls", "hi", "hs"});  // for unsigned integers
  if (order < 0) form.unknown("the comparison");
  *unsigned_order = Type::kU32;
  constexpr Compare kOrders[]{Compare::kLt, Compare::kLe, Compare::kGt, Compare::kGe};
  return kOrders[order];
}

void take_combination(Form& form, size_t c) {
  form.out.lookup = static_cast<u32>(form.take_one({"and", "or", "xor"}) + 1);
  if (form.out.lookup > 0)
    form.from_predicate(form.operand(c), &form.out.flag);
  else
    form.from_value(1, Type::kPred);
}

bool is_so(Compare how, f32 x, f32 y) {
  switch (how) {
    case Compare::kEq: return x == y;
    case Compare::kNe: return x < y || x > y;
    case Compare::kLt: return x < y;
    case Compare::kLe: return x <= y;
    case Compare::kGt: return x > y;
    case Compare::kGe: return x >= y;
    case Compare::kEqu: return !(x < y || x > y);
    case Compare::kNeu: return x != y;
    case Compare::kLtu: return !(x >= y);
    case Compare::kLeu: return !(x > y);
    case Compare::kGtu: return !(x <= y);
    case Compare::kGeu: return !(x < y);
    case Compare::kNum: return x == x && y == y;
    case Compare::kNan: return x != x || y != y;
  }
  return false;
}

// Two halves in each operand, the low one first: a bit per lane in results[k]. `first` is the place number of a.
template <class Format16>
void compare_pairs(const Instruction& i, const Warp& warp, int first, u32 (&results)[2]) {
  const u32 *a = warp.in<u32>(i, first), *b = warp.in<u32>(i, first + 1);
  each_lane(warp.mask, [&](u32 l) {
    for (u32 k = 0; k < 2; ++k) {
      const f32 x = Format16::wide(static_cast<u16>(a[l] >> (16 * k))), y = Format16::wide(static_cast<u16>(b[l] >> (16 * k)));
      results[k] |= u32{is_so(static_cast<Compare>(i.offset), x, y)} << l;
    }
  });
}

// setp of a pair gives two predicates.
template <class Format16>
void setp_pair(const Instruction& i, Warp& warp) {
  u32 results[2]{}, other = 0;
  compare_pairs<Format16>(i, warp, 3, results);
  const u32 first = combined(i, warp, results[0], i.place[2], &other);
  const u32 second = combined(i, warp, results[1], i.place[2], &other);
  warp.set_predicate(i.place[0], first);
  warp.set_predicate(i.place[1], second);
}

// set of a pair: each half of the result is 1.0, or all ones where the result is an integer.
template <class Format16>
void set_pair(const Instruction& i, Warp& warp) {
  u32 results[2]{}, other = 0;
  compare_pairs<Format16>(i, warp, 2, results);
  const u32 low = combined(i, warp, results[0], i.place[1], &other), high = combined(i, warp, results[1], i.place[1], &other);
  const u32 yes = i.type == Type::kF16x2 ? 0x3c00 : i.type == Type::kBf16x2 ? 0x3f80 : 0xffff;
  write_lanes<u32>(warp, i.place[0], [&](u32 l) { return (low >> l & 1u) * yes | ((high >> l & 1u) * yes) << 16; });
}

void setp(Form& form) {
  Type order = Type::kNone;
  const bool ftz = form.take("ftz");
  const Compare how = take_compare(form, &order);
  const Operand& d = form.operand(0);
  Operand p = d, q;
  p.second = {};
  q.word = d.second.empty() ? std::string_view("_") : d.second;
  const bool combines = form.operands() == 4;
  const bool full = combines || !d.second.empty();
  form.to_predicate(p);
  if (full) {
    form.to_predicate(q);
    take_combination(form, 3);
  }
  const Type type = form.take_type();
  form.wants_operands(combines ? 4 : 3, combines ? 4 : 3);
  form.from(1, type);
  form.from(2, type);
  if (order != Type::kNone && (is_signed(type) || !is_integer(type))) form.unknown();
  if (type == Type::kF16x2 || type == Type::kBf16x2) {
    if (!full) form.wrong("it gives two predicates");
    form.out.offset = static_cast<s64>(how);
    return form.sets(type == Type::kF16x2 ? setp_pair<Half16> : setp_pair<Brain16>);
  }
  if (ftz && type != Type::kF32 && type != Type::kF16) form.unknown();
  form.sets(of_type(type, how, full ? Kind::kFull : Kind::kSimple, ftz));
}

void set(Form& form) {
  Type order = Type::kNone;
  const bool ftz = form.take("ftz");
  const Compare how = take_compare(form, &order);
  const bool combines = form.operands() == 4;
  const Type combine_type = form.take_type();
  form.to(0, combine_type);
  take_combination(form, 3);
  const Type type = form.take_type();
  form.wants_operands(combines ? 4 : 3, combines ? 4 : 3);
  form.from(1, type);
  form.from(2, type);
  form.out.type = combine_type;
  form.out.width = static_cast<u8>(bytes_of(combine_type));
  if (form.out.width != 2 && form.out.width != 4) form.unknown();
  if (type == Type::kF16x2 || type == Type::kBf16x2) {
    if (ftz || (combine_type != type && combine_type != Type::kU32 && combine_type != Type::kS32)) form.unknown();
    form.out.offset = static_cast<s64>(how);
    return form.sets(type == Type::kF16x2 ? set_pair<Half16> : set_pair<Brain16>);
  }
  form.sets(of_type(type, how, Kind::kSet, ftz));
}

template <class T>
void run_selp(const Instruction& i, Warp& warp) {
  T* d = warp.at<T>(i.place[0]);
  const T *a = warp.in<T>(i, 1), *b = warp.in<T>(i, 2);
  const u32 p = warp.predicate(i.place[3]);
  alignas(64) T fresh[kLanes];
  if constexpr (sizeof(T) >= 4) {
    for (u32 l = 0; l < kLanes; ++l) fresh[l] = static_cast<T>(p) >> l & 1u ? a[l] : b[l];
  } else {
    for (u32 l = 0; l < kLanes; ++l) fresh[l] = p >> l & 1u ? a[l] : b[l];
  }
  keep(d, fresh, warp.mask);
}

void selp(Form& form) {
  const Type type = form.take_type();
  form.wants_operands(4, 4);
  form.to(0, type);
  form.from(1, type);
  form.from(2, type);
  form.from_predicate(form.operand(3));
  form.sets(by_bits(type, []<class T>() -> Handler { return run_selp<T>; }));
}

template <bool kFtz>
struct Slct {  // a where c >= 0; a NaN chooses b
  template <class T, class C>
  static T of(T a, T b, C c) {
    if constexpr (std::is_floating_point_v<C>)
      return (kFtz ? flush(c) : c) >= 0 ? a : b;
    else
      return c >= 0 ? a : b;
  }
};
void slct(Form& form) {
  const bool ftz = form.take("ftz");
  const Type type = form.take_type(), choice = form.take_type();
  form.wants_operands(4, 4);
  form.to(0, type);
  form.from(1, type);
  form.from(2, type);
  form.from(3, choice);
  if (choice == Type::kS32 && !ftz) form.sets(by_bits(type, []<class T>() -> Handler { return Lanewise<Slct<false>, T, T, T, s32>::run; }));
  if (choice != Type::kF32) return;
  if (ftz)
    form.sets(by_bits(type, []<class T>() -> Handler { return Lanewise<Slct<true>, T, T, T, f32>::run; }));
  else
    form.sets(by_bits(type, []<class T>() -> Handler { return Lanewise<Slct<false>, T, T, T, f32>::run; }));
}

}  // namespace

void add_compare_forms(Families& families) {
  families["setp"] = setp;
  families["set"] = set;
  families["selp"] = selp;
  families["slct"] = slct;
}

}  // namespace mirilla::ptx
