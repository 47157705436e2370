// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/by_type.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"

#include <algorithm>

// PTX ISA 9.7.1 (bits of integers) and 9.7.8 (logic and shift).

namespace mirilla::ptx {

namespace {

struct And {
  template <class T>
  static T of(T a, T b) {
    return a & b;
  }
};
struct Or {
  template <class T>
  static T of(T a, T b) {
    return a | b;
  }
};
struct Xor {
  template <class T>
  static T of(T a, T b) {
    return a ^ b;
  }
};
struct Not {
  template <class T>
  static T of(T a) {
    return static_cast<T>(~a);
  }
};
struct Cnot {
  template <class T>
  static T of(T a) {
    return a == 0 ? 1 : 0;
  }
};
// A shift by the width or more gives 0, or copies of the sign.
struct Shl {
  template <class T>
  static T of(T a, u32 b) {
    return b >= 8 * sizeof(T) ? T(0) : static_cast<T>(a << b);
  }
};
struct Shr {
  template <class T>
  static T of(T a, u32 b) {
    constexpr u32 kWidth = 8 * sizeof(T);
    if constexpr (std::is_signed_v<T>)
      return static_cast<T>(a >> (b < kWidth ? b : kWidth - 1));
    else
      return b >= kWidth ? T(0) : static_cast<T>(a >> b);
  }
};
template <bool kLeft, bool kWrap>
struct Shf {  // the upper half of b:a (64 bits) shifted left, or the lower half shifted right
  static u32 of(u32 a, u32 b, u32 c) {
    const u32 n = kWrap ? c & 31u : (c > 32 ? 32u : c);
    const u64 both = u64{b} << 32 | a;
    return static_cast<u32>(kLeft ? (both << n) >> 32 : both >> n);
  }
};
struct Popc {
  template <class T>
  static u32 of(T a) {
    return static_cast<u32>(std::popcount(a));
  }
};
struct Clz {
  template <class T>
  static u32 of(T a) {
    return static_cast<u32>(std::countl_zero(a));
  }
};
struct Brev {
  template <class T>
  static T of(T a) {
    T result = 0;
    for (u32 k = 0; k < 8 * sizeof(T); ++k) result = static_cast<T>(result | ((a >> k) & 1u) << (8 * sizeof(T) - 1 - k));
    return result;
  }
};
template <bool kShift>
struct Bfind {  // the highest bit that differs from the sign; all ones if there is none
  template <class T>
  static u32 of(T a) {
    using U = Unsigned<T>;
    const U bits = static_cast<U>(a < 0 ? ~a : a);
    if (bits == 0) return kAllLanes;
    const u32 clear = static_cast<u32>(std::countl_zero(bits));
    return kShift ? clear : static_cast<u32>(8 * sizeof(T)) - 1 - clear;
  }
};
struct Bfe {  // PTX ISA: position and length are 8 bits; beyond the top come copies of the sign
  template <class T>
  static T of(T a, u32 b, u32 c) {
    using U = Unsigned<T>;
    const u32 position = b & 255u, length = c & 255u, top = 8 * sizeof(T) - 1;
    const U value = static_cast<U>(a);
    if (length == 0) return 0;
    const bool sign = std::is_signed_v<T> && ((value >> (position + length - 1 < top ? position + length - 1 : top)) & 1u);
    U result = position > top ? 0 : static_cast<U>(value >> position);
    const u32 have = position > top ? 0 : std::min(length, top - position + 1);  // bits that exist
    const U kept = have > top ? static_cast<U>(~U(0)) : static_cast<U>((U(1) << have) - 1);
    result &= kept;
    return static_cast<T>(sign ? result | static_cast<U>(~kept) : result);
  }
};
struct Bfi {  // inserts a's low bits into b
  template <class T>
  static T of(T a, T b, u32 c, u32 d) {
    const u32 position = c & 255u, length = d & 255u, width = 8 * sizeof(T);
    if (length == 0 || position >= width) return b;
    const T ones = length >= width ? static_cast<T>(~T(0)) : static_cast<T>((T(1) << length) - 1);
    const T mask = static_cast<T>(ones << position);
    return static_cast<T>((b & ~mask) | ((a << position) & mask));
  }
};
template <bool kWrap>
struct Bmsk {  // b ones from bit a on
  static u32 of(u32 a, u32 b) {
    const u32 position = kWrap ? a & 31u : a, length = kWrap ? b & 31u : b;
    if (position > 31) return 0;
    const u64 ones = length > 31 ? 0xffffffffull : (u64{1} << length) - 1;
    return static_cast<u32>(ones << position);
  }
};
template <class T, bool kWrap>
struct Szext {  // the low b bits, sign-extended
  static T of(T a, u32 b) {
    if (kWrap) b &= 31u;
    if (b > 31) return a;
    if (b == 0) return 0;
    const u32 kept = static_cast<u32>(a) & ((1u << b) - 1);
    const bool sign = std::is_signed_v<T> && (kept >> (b - 1) & 1u);
    return static_cast<T>(sign ? kept | ~((1u << b) - 1) : kept);
  }
};
struct Fns {  // the |offset|-th set bit from base on, upwards or downwards; all ones if there is none
  static u32 of(u32 mask, u32 base, s32 offset) {
    if (offset == 0) return base < 32 && (mask >> base & 1u) ? base : kAllLanes;
    const s32 step = offset > 0 ? 1 : -1;
    s32 count = 0;
    for (s32 at = static_cast<s32>(base); at >= 0 && at < 32; at += step) {
      if (mask >> at & 1u && ++count == offset * step) return static_cast<u32>(at);
    }
    return kAllLanes;
  }
};

struct Prmt {
  static u32 of(u32 a, u32 b, u32 c) {
    const u64 bytes = u64{b} << 32 | a;
    u32 result = 0;
    for (u32 k = 0; k < 4; ++k) {
      const u32 choice = c >> (4 * k) & 15u;
      u32 byte = static_cast<u32>(bytes >> (8 * (choice & 7u))) & 255u;
      if (choice & 8u) byte = byte & 128u ? 255u : 0u;  // the sign, eight times
      result |= byte << (8 * k);
    }
    return result;
  }
};
enum class PrmtMode : u8 { kF4e, kB4e, kRc8, kEcl, kEcr, kRc16 };
template <PrmtMode kMode>
struct PrmtModes {
  static u32 of(u32 a, u32 b, u32 c) {
    const u32 n = c & 3u;
    u32 s = 0;
    for (u32 k = 0; k < 4; ++k) {
      u32 choice = 0;
      if (kMode == PrmtMode::kF4e) choice = n + k;
      if (kMode == PrmtMode::kB4e) choice = (n - k) & 7u;
      if (kMode == PrmtMode::kRc8) choice = n;
      if (kMode == PrmtMode::kEcl) choice = std::max(k, n);
      if (kMode == PrmtMode::kEcr) choice = std::min(k, n);
      if (kMode == PrmtMode::kRc16) choice = (n & 1u) * 2 + (k & 1u);
      s |= choice << (4 * k);
    }
    return Prmt::of(a, b, s);
  }
};

void lop3(const Instruction& i, Warp& warp) {
  u32* d = warp.at<u32>(i.place[0]);
  const u32 *a = warp.in<u32>(i, 1), *b = warp.in<u32>(i, 2), *c = warp.in<u32>(i, 3);
  u32 fresh[kLanes];
  u32 terms[8];
  for (u32 k = 0; k < 8; ++k) terms[k] = i.lookup >> k & 1u ? kAllLanes : 0;
  for (u32 l = 0; l < kLanes; ++l) {
    u32 result = 0;
    for (u32 k = 0; k < 8; ++k) result |= terms[k] & (k & 4u ? a[l] : ~a[l]) & (k & 2u ? b[l] : ~b[l]) & (k & 1u ? c[l] : ~c[l]);
    fresh[l] = result;
  }
  keep(d, fresh, warp.mask);
}

void lop3_predicate(const Instruction& i, Warp& warp) {  // lop3.or, lop3.and: p = (d != 0) op q
  lop3(i, warp);
  const u32* d = warp.at<u32>(i.place[0]);
  u32 nonzero = 0;
  for (u32 l = 0; l < kLanes; ++l) nonzero |= u32{d[l] != 0} << l;
  const u32 q = i.flag ? ~warp.predicate(i.place[5]) : warp.predicate(i.place[5]);
  warp.set_predicate(i.place[4], i.extend ? nonzero & q : nonzero | q);
}

template <class Operation>
void predicates(const Instruction& i, Warp& warp) {
  warp.set_predicate(i.place[0], Operation::of(warp.predicate(i.place[1]), warp.predicate(i.place[2])));
}
void not_predicate(const Instruction& i, Warp& warp) { warp.set_predicate(i.place[0], ~warp.predicate(i.place[1])); }

template <class Operation>
void logic(Form& form) {
  const Type type = form.take_type();
  form.wants_operands(3, 3);
  if (type == Type::kPred) {
    form.to_predicate(form.operand(0));
    form.from_predicate(form.operand(1));
    form.from_predicate(form.operand(2));
    return form.sets(predicates<Operation>);
  }
  form.to(0, type);
  form.from(1, type);
  form.from(2, type);
  form.sets(by_plain_bits(type, []<class T>() -> Handler { return Lanewise<Operation, T, T, T>::run; }));
}

void negation(Form& form) {
  const Type type = form.take_type();
  form.wants_operands(2, 2);
  if (type == Type::kPred) {
    form.to_predicate(form.operand(0));
    form.from_predicate(form.operand(1));
    return form.sets(not_predicate);
  }
  form.to(0, type);
  form.from(1, type);
  const bool cnot = form.base() == "cnot";
  form.sets(by_plain_bits(type, [&]<class T>() -> Handler { return cnot ? Lanewise<Cnot, T, T>::run : Lanewise<Not, T, T>::run; }));
}

void shift(Form& form) {
  const Type type = form.take_type();
  form.wants_operands(3, 3);
  form.to(0, type);
  form.from(1, type);
  form.from(2, Type::kU32);
  if (form.base() == "shl") return form.sets(by_plain_bits(type, []<class T>() -> Handler { return Lanewise<Shl, T, T, u32>::run; }));
  if (is_signed(type))
    form.sets(by_integer(type, []<class T>() -> Handler { return Lanewise<Shr, T, T, u32>::run; }));
  else
    form.sets(by_bits(type, []<class T>() -> Handler { return Lanewise<Shr, T, T, u32>::run; }));
}

void three(Form& form, Handler handler) {
  form.wants_operands(4, 4);
  form.to(0, Type::kB32);
  for (size_t k = 1; k < 4; ++k) form.from(k, Type::kB32);
  form.sets(handler);
}

void funnel(Form& form) {
  const bool left = form.take("l");
  if (!left && !form.take("r")) form.unknown();
  const bool wrap = form.take("wrap");
  if (!wrap && !form.take("clamp")) form.unknown();
  if (form.take_type() != Type::kB32) form.unknown();
  three(form, left ? (wrap ? Lanewise<Shf<true, true>, u32, u32, u32, u32>::run : Lanewise<Shf<true, false>, u32, u32, u32, u32>::run)
                   : (wrap ? Lanewise<Shf<false, true>, u32, u32, u32, u32>::run : Lanewise<Shf<false, false>, u32, u32, u32, u32>::run));
}

void permute(Form& form) {
  if (form.take_type() != Type::kB32) form.unknown();
  constexpr Handler kModes[]{
      Lanewise<PrmtModes<PrmtMode::kF4e>, u32, u32, u32, u32>::run, Lanewise<PrmtModes<PrmtMode::kB4e>, u32, u32, u32, u32>::run,
      Lanewise<PrmtModes<PrmtMode::kRc8>, u32, u32, u32, u32>::run, Lanewise<PrmtModes<PrmtMode::kEcl>, u32, u32, u32, u32>::run,
      Lanewise<PrmtModes<PrmtMode::kEcr>, u32, u32, u32, u32>::run, Lanewise<PrmtModes<PrmtMode::kRc16>, u32, u32, u32, u32>::run};
  const int mode = form.take_one({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"});
  three(form, mode < 0 ? Lanewise<Prmt, u32, u32, u32, u32>::run : kModes[mode]);
}

void lop(Form& form) {
  const int with = form.take_one({"or", "and"});
  if (form.take_type() != Type::kB32) form.unknown();
  form.wants_operands(with < 0 ? 5 : 6, with < 0 ? 5 : 6);
  const Operand& d = form.operand(0);
  form.to(d, Type::kB32);
  for (size_t k = 1; k < 4; ++k) form.from(k, Type::kB32);
  form.out.lookup = static_cast<u32>(form.literal(4)) & 255u;
  if (with < 0) return form.sets(lop3);
  Operand p;
  p.word = d.second;
  form.to_predicate(p);
  form.from_predicate(form.operand(5), &form.out.flag);
  form.out.extend = with == 1;
  form.sets(lop3_predicate);
}

template <class Operation>
void count_bits(Form& form) {
  const Type type = form.take_type();
  form.wants_operands(2, 2);
  form.to(0, Type::kU32);
  form.from(1, type);
  if (type == Type::kB32) form.sets(Lanewise<Operation, u32, u32>::run);
  if (type == Type::kB64) form.sets(Lanewise<Operation, u32, u64>::run);
}

void brev(Form& form) {
  const Type type = form.take_type();
  form.wants_operands(2, 2);
  form.to(0, type);
  form.from(1, type);
  if (type == Type::kB32) form.sets(Lanewise<Brev, u32, u32>::run);
  if (type == Type::kB64) form.sets(Lanewise<Brev, u64, u64>::run);
}

void bfind(Form& form) {
  const bool amount = form.take("shiftamt");
  const Type type = form.take_type();
  form.wants_operands(2, 2);
  form.to(0, Type::kU32);
  form.from(1, type);
  if (bytes_of(type) < 4) form.unknown();
  form.sets(by_integer(
      type, [&]<class T>() -> Handler { return amount ? Lanewise<Bfind<true>, u32, T>::run : Lanewise<Bfind<false>, u32, T>::run; }));
}

void bfe(Form& form) {
  const Type type = form.take_type();
  form.wants_operands(4, 4);
  form.to(0, type);
  form.from(1, type);
  form.from(2, Type::kU32);
  form.from(3, Type::kU32);
  if (bytes_of(type) < 4) form.unknown();
  form.sets(by_integer(type, []<class T>() -> Handler { return Lanewise<Bfe, T, T, u32, u32>::run; }));
}

void bfi(Form& form) {
  const Type type = form.take_type();
  form.wants_operands(5, 5);
  form.to(0, type);
  form.from(1, type);
  form.from(2, type);
  form.from(3, Type::kU32);
  form.from(4, Type::kU32);
  if (type == Type::kB32) form.sets(Lanewise<Bfi, u32, u32, u32, u32, u32>::run);
  if (type == Type::kB64) form.sets(Lanewise<Bfi, u64, u64, u64, u32, u32>::run);
}

void fns(Form& form) {
  if (form.take_type() != Type::kB32) form.unknown();
  three(form, Lanewise<Fns, u32, u32, u32, s32>::run);
}

void bmsk_szext(Form& form) {
  const bool wrap = form.take("wrap");
  if (!wrap && !form.take("clamp")) form.unknown();
  const Type type = form.take_type();
  form.wants_operands(3, 3);
  form.to(0, type);
  form.from(1, type);
  form.from(2, Type::kU32);
  if (form.base() == "bmsk") {
    if (type == Type::kB32) form.sets(wrap ? Lanewise<Bmsk<true>, u32, u32, u32>::run : Lanewise<Bmsk<false>, u32, u32, u32>::run);
  } else if (type == Type::kU32) {
    form.sets(wrap ? Lanewise<Szext<u32, true>, u32, u32, u32>::run : Lanewise<Szext<u32, false>, u32, u32, u32>::run);
  } else if (type == Type::kS32) {
    form.sets(wrap ? Lanewise<Szext<s32, true>, s32, s32, u32>::run : Lanewise<Szext<s32, false>, s32, s32, u32>::run);
  }
}

}  // namespace

void add_bit_forms(Families& families) {
  families["and"] = logic<And>;
  families["or"] = logic<Or>;
  families["xor"] = logic<Xor>;
  for (std::string_view name : {"not", "cnot"}) families[name] = negation;
  for (std::string_view name : {"shl", "shr"}) families[name] = shift;
  families["shf"] = funnel;
  families["prmt"] = permute;
  families["lop3"] = lop;
  families["popc"] = count_bits<Popc>;
  families["clz"] = count_bits<Clz>;
  families["brev"] = brev;
  families["bfind"] = bfind;
  families["bfe"] = bfe;
  families["bfi"] = bfi;
  families["fns"] = fns;
  for (std::string_view name : {"bmsk", "szext"}) families[name] = bmsk_szext;
}

}  // namespace mirilla::ptx
