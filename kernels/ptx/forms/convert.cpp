// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"
#include "kernels/ptx/forms/numbers.h"

#include <algorithm>

// PTX ISA 9.7.9.21, cvt. One general path through the exact number, lane by lane, and fast paths for the conversions that compilers emit
// often.

namespace mirilla::ptx {

namespace {

struct Conversion {
  Type to = Type::kNone, from = Type::kNone;
  Rounding rounding = Rounding::kNone;
  bool to_integral = false;  // .rni and the like
  bool ftz = false, sat = false, relu = false, finite = false;

  u32 packed() const {
    return static_cast<u32>(to) | static_cast<u32>(from) << 8 | static_cast<u32>(rounding) << 16 | u32{to_integral} << 20 | u32{ftz} << 21 |
           u32{sat} << 22 | u32{relu} << 23 | u32{finite} << 24;
  }
  static Conversion of(u32 bits) {
    return {static_cast<Type>(bits & 255u),
            static_cast<Type>(bits >> 8 & 255u),
            static_cast<Rounding>(bits >> 16 & 15u),
            (bits >> 20 & 1u) != 0,
            (bits >> 21 & 1u) != 0,
            (bits >> 22 & 1u) != 0,
            (bits >> 23 & 1u) != 0,
            (bits >> 24 & 1u) != 0};
  }
};

Format format_of(Type type) {
  switch (type) {
    case Type::kF16: return kFormatF16;
    case Type::kBf16: return kFormatBf16;
    case Type::kTf32: return kFormatTf32;
    case Type::kF64: return kFormatF64;
    default: return kFormatF32;
  }
}

u64 extended(u64 bits, u32 bytes, bool is_signed_type) {
  const u32 unused = 64 - 8 * bytes;
  return is_signed_type ? static_cast<u64>(static_cast<s64>(bits << unused) >> unused) : bits << unused >> unused;
}

u64 integer_result(const Conversion& c, const Exact& number, u64 bits) {
  const u32 bytes = bytes_of(c.to);
  if (is_integer(c.from) && !c.sat) return bits;
  if (number.kind == Exact::Kind::kNan) return c.from != Type::kF64 && bytes < 8 ? 0 : u64{1} << (8 * bytes - 1);
  return integer_of(number, c.rounding, bytes, is_signed(c.to));
}

u64 float_result(const Conversion& c, Exact number) {
  if (c.to_integral) number = integral(number, c.rounding);
  const bool zero =
      (c.relu && number.negative && number.kind != Exact::Kind::kNan) || (c.sat && (number.kind == Exact::Kind::kNan || number.negative));
  if (zero) return 0;
  const Format format = format_of(c.to);
  u64 result = round_to(number, format, c.to_integral ? Rounding::kNearest : c.rounding);
  const u64 one = static_cast<u64>(format.bias()) << format.fraction_bits;
  if (c.sat) result = std::min(result, one);
  const int width = format.exponent_bits + format.fraction_bits;
  const u64 infinity = ((u64{1} << format.exponent_bits) - 1) << format.fraction_bits;
  if (c.finite && (result & ~(u64{1} << width)) == infinity) --result;
  if (c.ftz && c.to == Type::kF32 && (result & 0x7f800000u) == 0) result &= 0x80000000u;
  return c.to == Type::kTf32 ? result << 13 : result;
}

u64 convert(const Conversion& c, u64 bits) {
  Exact number;
  if (is_integer(c.from)) {
    bits = extended(bits, bytes_of(c.from), is_signed(c.from));
    number = exact_of_integer(bits, is_signed(c.from));
  } else {
    bits = extended(bits, bytes_of(c.from), false);
    if (c.ftz && c.from == Type::kF32 && (bits & 0x7f800000u) == 0) bits &= 0x80000000u;
    number = exact_of(bits, format_of(c.from));
  }
  return is_integer(c.to) ? integer_result(c, number, bits) : float_result(c, number);
}

u64 read(const Warp& warp, u32 place, u32 bytes, u32 lane) {
  if (bytes == 2) return warp.at<u16>(place)[lane];
  return bytes == 4 ? warp.at<u32>(place)[lane] : warp.at<u64>(place)[lane];
}

void general(const Instruction& i, Warp& warp) {
  const Conversion c = Conversion::of(i.lookup);
  each_lane(warp.mask, [&](u32 l) {
    u64 result = convert(c, read(warp, i.place[1], i.address_bytes, l));
    if (is_integer(c.to)) result = extended(result, bytes_of(c.to), is_signed(c.to));  // the whole register is written
    if (i.width == 2)
      warp.at<u16>(i.place[0])[l] = static_cast<u16>(result);
    else if (i.width == 4)
      warp.at<u32>(i.place[0])[l] = static_cast<u32>(result);
    else
      warp.at<u64>(i.place[0])[l] = result;
  });
}

void general_pair(const Instruction& i, Warp& warp) {  // the first source becomes the upper half
  const Conversion c = Conversion::of(i.lookup);
  const u32 *a = warp.in<u32>(i, 1), *b = warp.in<u32>(i, 2);
  write_lanes<u32>(warp, i.place[0], [&](u32 l) { return convert(c, b[l]) | convert(c, a[l]) << 16; });
}

// The fast paths.
template <class Format16>
struct Widen {
  static f32 of(u16 a) { return Format16::wide(a); }
};
template <class Format16>
struct Narrow {
  static u16 of(f32 a) { return Format16::narrow(a); }
};
template <class Format16>
struct NarrowPair {
  static u32 of(f32 a, f32 b) { return static_cast<u32>(Format16::narrow(a)) << 16 | Format16::narrow(b); }
};
template <class To>
struct Cast {
  template <class T>
  static To of(T a) {
    return static_cast<To>(a);
  }
};
template <class To, class Part>
struct CastPart {  // through a narrower type
  template <class T>
  static To of(T a) {
    return static_cast<To>(static_cast<Part>(a));
  }
};
template <class To>
struct Truncate {  // float to integer, towards zero
  static To of(f32 a) {
    constexpr f32 kLimit = static_cast<f32>(u64{1} << (8 * sizeof(To) - 2)) * (std::is_signed_v<To> ? 2.0f : 4.0f);
    constexpr f32 kLeast = std::is_signed_v<To> ? -kLimit : 0.0f;
    const f32 inside = a < kLimit ? (a > kLeast ? a : kLeast) : 0.0f;  // a NaN becomes 0
    const To value = static_cast<To>(inside);
    return a >= kLimit ? std::numeric_limits<To>::max() : value;
  }
};
struct Saturate {
  static f32 of(f32 a) { return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f; }
};
template <class T, Rounding kWay>
struct Integral {
  static T of(T a) {
    T x = a;
    if constexpr (kWay == Rounding::kNearest) x = std::nearbyint(a);
    if constexpr (kWay == Rounding::kZero) x = std::trunc(a);
    if constexpr (kWay == Rounding::kDown) x = std::floor(a);
    if constexpr (kWay == Rounding::kUp) x = std::ceil(a);
    return canonical(x);
  }
};
struct Canonical {
  static f32 of(f64 a) { return canonical(static_cast<f32>(a)); }
};

template <class T>
Handler integral_handler(Rounding way) {
  if (way == Rounding::kNearest) return Lanewise<Integral<T, Rounding::kNearest>, T, T>::run;
  if (way == Rounding::kZero) return Lanewise<Integral<T, Rounding::kZero>, T, T>::run;
  return way == Rounding::kDown ? Lanewise<Integral<T, Rounding::kDown>, T, T>::run : Lanewise<Integral<T, Rounding::kUp>, T, T>::run;
}

template <class To>
Handler from_integer(Type from) {
  switch (from) {
    case Type::kS16: return Lanewise<Cast<To>, To, s16>::run;
    case Type::kU16: return Lanewise<Cast<To>, To, u16>::run;
    case Type::kS32: return Lanewise<Cast<To>, To, s32>::run;
    case Type::kU32: return Lanewise<Cast<To>, To, u32>::run;
    case Type::kS64: return Lanewise<Cast<To>, To, s64>::run;
    case Type::kU64: return Lanewise<Cast<To>, To, u64>::run;
    default: return nullptr;
  }
}

template <class To>
Handler truncates(Type from) {  // an integer register of its type's size, or 8 bits of it
  if (from == Type::kU8) return Lanewise<CastPart<To, u8>, To, u16>::run;
  if (from == Type::kS8) return Lanewise<CastPart<To, s8>, To, u16>::run;
  return from_integer<To>(from);
}

/// A fast path for registers of the natural sizes; nullptr where there is none.
Handler short_road(const Conversion& c) {
  const bool nearest = c.rounding == Rounding::kNearest || c.rounding == Rounding::kNone;
  if (c.ftz || c.relu || c.finite) return nullptr;
  if (c.sat) return c.to == Type::kF32 && c.from == Type::kF32 && !c.to_integral ? Lanewise<Saturate, f32, f32>::run : nullptr;
  if (c.to_integral && c.to == c.from)
    return c.to == Type::kF32 ? integral_handler<f32>(c.rounding) : c.to == Type::kF64 ? integral_handler<f64>(c.rounding) : nullptr;
  if (is_integer(c.to) && is_integer(c.from)) {
    switch (c.to) {
      case Type::kU16:
      case Type::kS16: return truncates<u16>(c.from);
      case Type::kU32:
      case Type::kS32: return truncates<u32>(c.from);
      case Type::kU64:
      case Type::kS64: return truncates<u64>(c.from);
      default: return nullptr;
    }
  }
  if (is_integer(c.to)) {
    if (c.from != Type::kF32 || c.rounding != Rounding::kZero) return nullptr;
    if (c.to == Type::kS32) return Lanewise<Truncate<s32>, s32, f32>::run;
    return c.to == Type::kU32 ? Lanewise<Truncate<u32>, u32, f32>::run : nullptr;
  }
  if (is_integer(c.from)) return c.to == Type::kF32 ? from_integer<f32>(c.from) : c.to == Type::kF64 ? from_integer<f64>(c.from) : nullptr;
  if (c.to == Type::kF32 && c.from == Type::kF16) return Lanewise<Widen<Half16>, f32, u16>::run;
  if (c.to == Type::kF32 && c.from == Type::kBf16) return Lanewise<Widen<Brain16>, f32, u16>::run;
  if (c.to == Type::kF16 && c.from == Type::kF32 && nearest) return Lanewise<Narrow<Half16>, u16, f32>::run;
  if (c.to == Type::kBf16 && c.from == Type::kF32 && nearest) return Lanewise<Narrow<Brain16>, u16, f32>::run;
  if (c.to == Type::kF64 && c.from == Type::kF32) return Lanewise<Cast<f64>, f64, f32>::run;
  return c.to == Type::kF32 && c.from == Type::kF64 ? Lanewise<Canonical, f32, f64>::run : nullptr;
}

Rounding take_rounding(Form& form, bool* to_integral) {
  const int way = form.take_one({"rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi"});
  constexpr Rounding kWays[]{Rounding::kNearest, Rounding::kZero, Rounding::kDown, Rounding::kUp, Rounding::kNearestAway,
                             Rounding::kNearest, Rounding::kZero, Rounding::kDown, Rounding::kUp};
  *to_integral = way >= 5;
  return way < 0 ? Rounding::kNone : kWays[way];
}

void check(Form& form, const Conversion& c) {
  const bool from_float = is_float(c.from), to_float = is_float(c.to);
  if ((!from_float && !is_integer(c.from)) || (!to_float && !is_integer(c.to))) form.unknown("the types");
  if (from_float && !to_float && !c.to_integral) form.unknown("a float to an integer without .rni, .rzi, .rmi or .rpi");
  if (!from_float && (c.to_integral || (to_float && c.rounding == Rounding::kNone))) form.unknown("the rounding");
  if (!from_float && !to_float && c.rounding != Rounding::kNone) form.unknown("the rounding");
  if (from_float && to_float && c.rounding == Rounding::kNone && bytes_of(c.to) < bytes_of(c.from))
    form.unknown("a narrower float without a rounding");
  if (c.rounding == Rounding::kNearestAway && c.to != Type::kTf32) form.unknown("the rounding");
}

void cvt(Form& form) {
  Conversion c;
  c.rounding = take_rounding(form, &c.to_integral);
  c.ftz = form.take("ftz");
  c.sat = form.take("sat");
  c.relu = form.take("relu");
  c.finite = form.take("satfinite");
  c.to = form.take_type();
  c.from = form.take_type();
  Instruction& out = form.out;
  if (c.to == Type::kF16x2 || c.to == Type::kBf16x2) {
    const bool half = c.to == Type::kF16x2;
    form.wants_operands(3, 3);
    if (c.from != Type::kF32 || c.to_integral || c.sat || c.ftz || (c.rounding != Rounding::kNearest && c.rounding != Rounding::kZero))
      form.unknown();
    form.to(0, Type::kB32);
    form.from(1, Type::kF32);
    form.from(2, Type::kF32);
    const bool quick = c.rounding == Rounding::kNearest && !c.relu && !c.finite;
    c.to = half ? Type::kF16 : Type::kBf16;
    out.lookup = c.packed();
    if (!quick) return form.sets(general_pair);
    return form.sets(half ? Lanewise<NarrowPair<Half16>, u32, f32, f32>::run : Lanewise<NarrowPair<Brain16>, u32, f32, f32>::run);
  }
  form.wants_operands(2, 2);
  check(form, c);
  out.width = static_cast<u8>(form.to_wide(form.operand(0), c.to));
  out.address_bytes = static_cast<u8>(form.from_wide(form.operand(1), c.from));
  out.lookup = c.packed();
  const bool natural = out.width == std::max(2u, bytes_of(c.to)) && out.address_bytes == std::max(2u, bytes_of(c.from));
  const Handler quick = natural ? short_road(c) : nullptr;
  form.sets(quick ? quick : general);
  if (quick && !c.to_integral && !is_integer(c.to)) round_with(form, c.rounding);
}

// cvt.pack.sat.s16.s32 d, a, b and cvt.pack.sat.s8.s32.b32 d, a, b, c: two clamped integers, then the remaining bits of c.
void run_pack(const Instruction& i, Warp& warp) {
  const u32 *a = warp.in<u32>(i, 1), *b = warp.in<u32>(i, 2), *c = warp.in<u32>(i, 3);
  const u32 bytes = bytes_of(i.type);
  const auto clamped = [&](u32 x) {
    return integer_of(exact_of_integer(extended(x, 4, true), true), Rounding::kZero, bytes, is_signed(i.type)) &
           ((u64{1} << (8 * bytes)) - 1);
  };
  write_lanes<u32>(warp, i.place[0],
                   [&](u32 l) { return clamped(b[l]) | clamped(a[l]) << (8 * bytes) | (bytes == 2 ? 0 : u64{c[l]} << 16); });
}

void any_cvt(Form& form) {
  if (!form.take("pack")) return cvt(form);
  if (!form.take("sat")) form.unknown();
  form.out.type = form.take_type();
  if (form.take_type() != Type::kS32 || bytes_of(form.out.type) > 2) form.unknown();
  const bool four = form.take("b32");
  form.wants_operands(four ? 4 : 3, four ? 4 : 3);
  form.to(0, Type::kB32);
  for (size_t k = 1; k < form.operands(); ++k) form.from(k, Type::kB32);
  if (!four) form.from_value(0, Type::kB32);
  form.sets(run_pack);
}

}  // namespace

void add_convert_forms(Families& families) { families["cvt"] = any_cvt; }

}  // namespace mirilla::ptx
