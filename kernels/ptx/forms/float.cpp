// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/float.h"

#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"
#include "kernels/ptx/forms/numbers.h"

#include <cfenv>
#include <cmath>

// PTX ISA 9.7.3, floating point. Rounded as IEEE 754 says; the .approx forms are correctly rounded or computed by the host's functions:
// this satisfies the ISA but does not give the same bits as a GPU.

namespace mirilla::ptx {

namespace {

struct Add {
  template <class T>
  static T of(T a, T b) {
    return a + b;
  }
};
struct Sub {
  template <class T>
  static T of(T a, T b) {
    return a - b;
  }
};
struct Mul {
  template <class T>
  static T of(T a, T b) {
    return a * b;
  }
};
struct Fma {
  template <class T>
  static T of(T a, T b, T c) {
    return std::fma(a, b, c);
  }
};
struct Div {
  template <class T>
  static T of(T a, T b) {
    return a / b;
  }
};
struct DivApprox {  // ISA: for 2^126 < |b| the result is 0, or NaN where a is infinite
  static f32 of(f32 a, f32 b) {
    const f32 magnitude = std::fabs(b);
    if (magnitude > 0x1p126f && magnitude <= std::numeric_limits<f32>::max())
      return std::isinf(a) ? nan_f32() : std::copysign(0.0f, a) * std::copysign(1.0f, b);
    return a / b;
  }
};
struct Rcp {
  template <class T>
  static T of(T a) {
    return T(1) / a;
  }
};
struct Sqrt {
  template <class T>
  static T of(T a) {
    return std::sqrt(a);
  }
};
struct Rsqrt {
  static f32 of(f32 a) { return static_cast<f32>(1.0 / std::sqrt(static_cast<f64>(a))); }
  static f64 of(f64 a) { return 1.0 / std::sqrt(a); }
};
struct Sin {
  static f32 of(f32 a) { return std::sin(a); }
};
struct Cos {
  static f32 of(f32 a) { return std::cos(a); }
};
struct Log2 {
  static f32 of(f32 a) { return std::log2(a); }
};
struct Exp2 {
  static f32 of(f32 a) { return std::exp2(a); }
};
struct Tanh {
  static f32 of(f32 a) { return std::tanh(a); }
};
template <class Operation>
struct Gross {  // rcp.approx.ftz.f64, rsqrt.approx.ftz.f64: the lower 32 bits are zero
  static f64 flush64(f64 x) { return std::fabs(x) < std::numeric_limits<f64>::min() ? std::copysign(0.0, x) : x; }
  static f64 of(f64 a) {
    const f64 result = flush64(Operation::of(flush64(a)));
    return std::isnan(result) ? result : std::bit_cast<f64>(std::bit_cast<u64>(result) & ~u64{0xffffffff});
  }
};

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 4, u32, u64>;
template <class T>
constexpr BitsOf<T> kSign = BitsOf<T>(1) << (8 * sizeof(T) - 1);

// -0 is less than +0; of a number and a NaN, the number is the result.
struct Min {
  template <class T>
  static T of(T a, T b) {
    const T both = std::bit_cast<T>(std::bit_cast<BitsOf<T>>(a) | std::bit_cast<BitsOf<T>>(b));
    const T less = a == b ? both : (a < b ? a : b);
    return a != a ? b : (b != b ? a : less);
  }
};
struct Max {
  template <class T>
  static T of(T a, T b) {
    const T both = std::bit_cast<T>(std::bit_cast<BitsOf<T>>(a) & std::bit_cast<BitsOf<T>>(b));
    const T more = a == b ? both : (a > b ? a : b);
    return a != a ? b : (b != b ? a : more);
  }
};
template <class Operation>
struct NanWins {
  template <class T>
  static T of(T a, T b) {
    return a != a || b != b ? std::numeric_limits<T>::quiet_NaN() : Operation::template of<T>(a, b);
  }
};
template <class Operation>
struct XorSign {
  template <class T>
  static T of(T a, T b) {
    const auto sign = (std::bit_cast<BitsOf<T>>(a) ^ std::bit_cast<BitsOf<T>>(b)) & kSign<T>;
    return std::bit_cast<T>(std::bit_cast<BitsOf<T>>(Operation::template of<T>(std::fabs(a), std::fabs(b))) | sign);
  }
};
struct Abs {
  template <class T>
  static T of(T a) {
    return std::bit_cast<T>(std::bit_cast<BitsOf<T>>(a) & ~kSign<T>);
  }
};
struct Neg {
  template <class T>
  static T of(T a) {
    return std::bit_cast<T>(std::bit_cast<BitsOf<T>>(a) ^ kSign<T>);
  }
};
struct CopySign {
  template <class T>
  static T of(T a, T b) {
    return std::copysign(b, a);
  }
};

template <class T>
T saturated(T x) {
  return x > T(0) ? (x < T(1) ? x : T(1)) : T(0);
}

template <class Operation, bool kFtz, bool kSat>
struct Single {
  template <class... T>
  static f32 of(T... operands) {
    f32 result;
    if constexpr (kFtz)
      result = flush(Operation::of(flush(operands)...));
    else
      result = Operation::of(operands...);
    if constexpr (kSat)
      return saturated(result);
    else
      return canonical(result);
  }
};
template <class Operation>
struct Plain {  // abs, neg, copysign: other bits are unchanged
  template <class... T>
  static auto of(T... operands) {
    return Operation::of(operands...);
  }
};

template <class Operation, class... S>
Handler single(const FloatModifiers& m) {
  if (m.ftz)
    return m.sat ? Lanewise<Single<Operation, true, true>, f32, S...>::run : Lanewise<Single<Operation, true, false>, f32, S...>::run;
  return m.sat ? Lanewise<Single<Operation, false, true>, f32, S...>::run : Lanewise<Single<Operation, false, false>, f32, S...>::run;
}
template <class Operation>
Handler unary(Type type, const FloatModifiers& m) {
  return type == Type::kF32 ? single<Operation, f32>(m) : Lanewise<Operation, f64, f64>::run;
}
template <class Operation>
Handler binary(Type type, const FloatModifiers& m) {
  return type == Type::kF32 ? single<Operation, f32, f32>(m) : Lanewise<Operation, f64, f64, f64>::run;
}

template <int kMode>
void rounded(const Instruction& i, Warp& warp) {
  std::fesetround(kMode);
  i.inner(i, warp);
  std::fesetround(FE_TONEAREST);
}

template <class Operation>
Handler chooses(Type type, const FloatModifiers& m) {
  if (m.xorsign) return m.nan ? binary<XorSign<NanWins<Operation>>>(type, m) : binary<XorSign<Operation>>(type, m);
  return m.nan ? binary<NanWins<Operation>>(type, m) : binary<Operation>(type, m);
}

void check(Form& form, Type type, const FloatModifiers& m, std::string_view base) {
  const bool minimum = base == "min" || base == "max";
  if (type != Type::kF32 && type != Type::kF64) form.unknown();
  if (type == Type::kF64 && (m.ftz || m.sat || m.approx || m.full || m.nan || m.xorsign)) form.unknown();
  if (m.relu || ((m.nan || m.xorsign) && !minimum) || m.xorsign != m.absolute || m.rounding == Rounding::kNearestAway) form.unknown();
  const bool rounds = base == "add" || base == "sub" || base == "mul" || base == "fma" || base == "mad" || base == "div";
  if (!rounds && m.rounding != Rounding::kNone) form.unknown();
  if ((m.approx || m.full) && base != "div") form.unknown();
  if ((base == "fma" || base == "mad") && m.rounding == Rounding::kNone) form.unknown("a fused product and sum without a rounding");
  if (base == "div" && m.rounding == Rounding::kNone && !m.approx && !m.full) form.unknown("a division without a rounding or .approx");
  if (m.sat && !rounds) form.unknown();
}

void operands(Form& form, Type type, size_t sources) {
  form.wants_operands(sources + 1, sources + 1);
  form.to(0, type);
  for (size_t k = 1; k <= sources; ++k) form.from(k, type);
}

}  // namespace

void round_with(Form& form, Rounding rounding) {
  if (rounding == Rounding::kNone || rounding == Rounding::kNearest) return;
  form.out.inner = form.out.run;
  if (rounding == Rounding::kZero) form.out.run = rounded<FE_TOWARDZERO>;
  if (rounding == Rounding::kDown) form.out.run = rounded<FE_DOWNWARD>;
  if (rounding == Rounding::kUp) form.out.run = rounded<FE_UPWARD>;
}

FloatModifiers take_float_modifiers(Form& form, bool sat) {
  FloatModifiers m;
  const int rounding = form.take_one({"rn", "rz", "rm", "rp"});
  constexpr Rounding kWays[]{Rounding::kNearest, Rounding::kZero, Rounding::kDown, Rounding::kUp};
  if (rounding >= 0) m.rounding = kWays[rounding];
  m.approx = form.take("approx");
  m.full = form.take("full");
  m.ftz = form.take("ftz");
  m.sat = sat || form.take("sat");
  m.nan = form.take("NaN");
  m.xorsign = form.take("xorsign");
  m.absolute = form.take("abs");
  return m;
}

void float_arithmetic(Form& form, Type type, const FloatModifiers& m) {
  if (half_arithmetic(form, type, m)) return;
  const std::string& base = form.base();
  check(form, type, m, base);
  operands(form, type, base == "fma" || base == "mad" ? 3 : base == "abs" || base == "neg" ? 1 : 2);
  if (base == "add") form.sets(binary<Add>(type, m));
  if (base == "sub") form.sets(binary<Sub>(type, m));
  if (base == "mul") form.sets(binary<Mul>(type, m));
  if (base == "div") form.sets(m.approx ? single<DivApprox, f32, f32>(m) : binary<Div>(type, m));
  if (base == "min") form.sets(chooses<Min>(type, m));
  if (base == "max") form.sets(chooses<Max>(type, m));
  if (base == "fma" || base == "mad")
    form.sets(type == Type::kF32 ? single<Fma, f32, f32, f32>(m) : Lanewise<Fma, f64, f64, f64, f64>::run);
  if (base == "abs")
    form.sets(type == Type::kF64 ? Lanewise<Abs, f64, f64>::run
              : m.ftz            ? Lanewise<Single<Abs, true, false>, f32, f32>::run
                                 : Lanewise<Abs, f32, f32>::run);
  if (base == "neg")
    form.sets(type == Type::kF64 ? Lanewise<Neg, f64, f64>::run
              : m.ftz            ? Lanewise<Single<Neg, true, false>, f32, f32>::run
                                 : Lanewise<Neg, f32, f32>::run);
  round_with(form, m.rounding);
}

namespace {

void fma(Form& form) {
  FloatModifiers m = take_float_modifiers(form, false);
  m.relu = form.take("relu");
  float_arithmetic(form, form.take_type(), m);
}

void function_of_one(Form& form) {  // rcp, sqrt, rsqrt, sin, cos, lg2, ex2, tanh
  const FloatModifiers m = take_float_modifiers(form, false);
  const Type type = form.take_type();
  const std::string& base = form.base();
  if (half_arithmetic(form, type, m)) return;
  const bool exact = base == "rcp" || base == "sqrt";
  if (m.sat || m.nan || m.xorsign || m.full || (type != Type::kF32 && type != Type::kF64)) form.unknown();
  if (m.approx == (m.rounding != Rounding::kNone) || (!exact && !m.approx)) form.unknown("the accuracy");
  operands(form, type, 1);
  if (type == Type::kF64 && m.approx) {
    if (!m.ftz) form.unknown();
    if (base == "rcp") form.sets(Lanewise<Gross<Rcp>, f64, f64>::run);
    if (base == "rsqrt") form.sets(Lanewise<Gross<Rsqrt>, f64, f64>::run);
    return;
  }
  if (type == Type::kF64 && m.ftz) form.unknown();
  if (base == "rcp") form.sets(unary<Rcp>(type, m));
  if (base == "sqrt") form.sets(unary<Sqrt>(type, m));
  if (type == Type::kF32) {
    if (base == "rsqrt") form.sets(single<Rsqrt, f32>(m));
    if (base == "sin") form.sets(single<Sin, f32>(m));
    if (base == "cos") form.sets(single<Cos, f32>(m));
    if (base == "lg2") form.sets(single<Log2, f32>(m));
    if (base == "ex2") form.sets(single<Exp2, f32>(m));
    if (base == "tanh") form.sets(single<Tanh, f32>(m));
  }
  round_with(form, m.rounding);
}

void copysign(Form& form) {
  const Type type = form.take_type();
  operands(form, type, 2);
  if (type == Type::kF32) form.sets(Lanewise<CopySign, f32, f32, f32>::run);
  if (type == Type::kF64) form.sets(Lanewise<CopySign, f64, f64, f64>::run);
}

enum class Property : u8 { kFinite, kInfinite, kNumber, kNan, kNormal, kSubnormal };
template <class T>
bool has(T x, Property property) {
  switch (property) {
    case Property::kFinite: return std::isfinite(x);
    case Property::kInfinite: return std::isinf(x);
    case Property::kNumber: return !std::isnan(x);
    case Property::kNan: return std::isnan(x);
    case Property::kNormal: return std::isnormal(x);
    case Property::kSubnormal: return std::fpclassify(x) == FP_SUBNORMAL;
  }
  return false;
}
template <class T>
void run_testp(const Instruction& i, Warp& warp) {
  const T* a = warp.in<T>(i, 1);
  u32 bits = 0;
  each_lane(warp.mask, [&](u32 l) { bits |= u32{has(a[l], static_cast<Property>(i.lookup))} << l; });
  warp.set_predicate(i.place[0], bits);
}
void testp(Form& form) {
  const int property = form.take_one({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  const Type type = form.take_type();
  form.wants_operands(2, 2);
  form.to_predicate(form.operand(0));
  form.from(1, type);
  if (property < 0) form.unknown();
  form.out.lookup = static_cast<u32>(property);
  if (type == Type::kF32) form.sets(run_testp<f32>);
  if (type == Type::kF64) form.sets(run_testp<f64>);
}

}  // namespace

void add_float_forms(Families& families) {
  families["fma"] = fma;
  for (std::string_view name : {"rcp", "sqrt", "rsqrt", "sin", "cos", "lg2", "ex2", "tanh"}) families[name] = function_of_one;
  families["copysign"] = copysign;
  families["testp"] = testp;
}

}  // namespace mirilla::ptx
