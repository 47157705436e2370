// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"
#include "kernels/ptx/forms/numbers.h"

// PTX ISA 9.7.4, half precision: f16, bf16 and pairs of them. Each operation is rounded once, to nearest even.

namespace mirilla::ptx {

namespace {

f32 flush_half(f32 x) { return std::fabs(x) < 0x1p-14f ? std::copysign(0.0f, x) : x; }

// add, sub and mul of two halves are computed in f32, which has more than twice their bits, and so rounded correctly; an fma is
// computed in f64 and rounded once.
struct Add {
  static f32 of(f32 a, f32 b) { return a + b; }
};
struct Sub {
  static f32 of(f32 a, f32 b) { return a - b; }
};
struct Mul {
  static f32 of(f32 a, f32 b) { return a * b; }
};
struct Fma {
  static f32 of(f32 a, f32 b, f32 c) { return to_odd(static_cast<f64>(a) * static_cast<f64>(b) + static_cast<f64>(c)); }
};
struct FmaRelu {
  static f32 of(f32 a, f32 b, f32 c) {
    const f32 x = Fma::of(a, b, c);
    return x != x ? x : (x > 0.0f ? x : 0.0f);
  }
};
struct Exp2 {
  static f32 of(f32 a) { return std::exp2(a); }
};
struct Tanh {
  static f32 of(f32 a) { return std::tanh(a); }
};
struct Min {
  static f32 of(f32 a, f32 b) {
    if (a != a) return b;
    if (b != b) return a;
    return a == b ? (std::signbit(a) ? a : b) : (a < b ? a : b);
  }
};
struct Max {
  static f32 of(f32 a, f32 b) {
    if (a != a) return b;
    if (b != b) return a;
    return a == b ? (std::signbit(a) ? b : a) : (a > b ? a : b);
  }
};
template <class Operation>
struct NanWins {
  static f32 of(f32 a, f32 b) { return a != a || b != b ? nan_f32() : Operation::of(a, b); }
};
template <class Operation>
struct XorSign {
  static f32 of(f32 a, f32 b) {
    const f32 x = Operation::of(std::fabs(a), std::fabs(b));
    return std::signbit(a) != std::signbit(b) ? -x : x;
  }
};

template <class Format16, class Operation, bool kFtz, bool kSat>
struct One {
  template <class... T>
  static u16 of(T... bits) {
    f32 x;
    if constexpr (kFtz)
      x = flush_half(Operation::of(flush_half(Format16::wide(bits))...));
    else
      x = Operation::of(Format16::wide(bits)...);
    if constexpr (kSat) x = x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f;
    return Format16::narrow(x);
  }
};
template <class Single16>
struct Two {
  template <class... T>
  static u32 of(T... bits) {
    const u16 low = Single16::of(static_cast<u16>(bits)...), high = Single16::of(static_cast<u16>(bits >> 16)...);
    return low | static_cast<u32>(high) << 16;
  }
};

struct Signs {  // abs, neg: on the bits
  static u32 abs(u32 a) { return a & 0x7fff7fffu; }
  static u32 neg(u32 a) { return a ^ 0x80008000u; }
};
struct AbsBits {
  template <class T>
  static T of(T a) {
    return static_cast<T>(Signs::abs(a));
  }
};
struct NegBits {
  template <class T>
  static T of(T a) {
    return static_cast<T>(Signs::neg(a));
  }
};

bool is_pair(Type type) { return type == Type::kF16x2 || type == Type::kBf16x2; }
bool is_brain(Type type) { return type == Type::kBf16 || type == Type::kBf16x2; }

template <class Format16, class Operation, bool kFtz, bool kSat, class... S16>
Handler sized(bool pair) {
  if (pair) return Lanewise<Two<One<Format16, Operation, kFtz, kSat>>, u32, std::conditional_t<sizeof(S16) == 2, u32, void>...>::run;
  return Lanewise<One<Format16, Operation, kFtz, kSat>, u16, S16...>::run;
}
template <class Operation, class... S16>
Handler handler(Type type, const FloatModifiers& m) {
  const bool pair = is_pair(type);
  if (is_brain(type)) return m.ftz || m.sat ? nullptr : sized<Brain16, Operation, false, false, S16...>(pair);
  if (m.ftz) return m.sat ? sized<Half16, Operation, true, true, S16...>(pair) : sized<Half16, Operation, true, false, S16...>(pair);
  return m.sat ? sized<Half16, Operation, false, true, S16...>(pair) : sized<Half16, Operation, false, false, S16...>(pair);
}
template <class Operation>
Handler chooses(Type type, const FloatModifiers& m) {
  if (m.xorsign) return m.nan ? handler<XorSign<NanWins<Operation>>, u16, u16>(type, m) : handler<XorSign<Operation>, u16, u16>(type, m);
  return m.nan ? handler<NanWins<Operation>, u16, u16>(type, m) : handler<Operation, u16, u16>(type, m);
}

}  // namespace

bool half_arithmetic(Form& form, Type type, const FloatModifiers& m) {
  if (type != Type::kF16 && type != Type::kF16x2 && !is_brain(type)) return false;
  const std::string& base = form.base();
  const bool fused = base == "fma", minimum = base == "min" || base == "max",
             one = base == "abs" || base == "neg" || base == "ex2" || base == "tanh";
  if ((m.rounding != Rounding::kNone && (m.rounding != Rounding::kNearest || minimum || one)) || m.full ||
      (fused && m.rounding == Rounding::kNone))
    form.unknown();
  if (m.relu && !fused) form.unknown();
  if ((m.nan || m.xorsign) && !minimum) form.unknown();
  if (m.approx != (base == "ex2" || base == "tanh")) form.unknown();
  form.wants_operands(fused ? 4 : one ? 2 : 3, fused ? 4 : one ? 2 : 3);
  form.to(0, type);
  for (size_t k = 1; k < form.operands(); ++k) form.from(k, type);
  FloatModifiers kept = m;
  if (one && is_brain(type)) kept.ftz = false;  // ex2.approx.ftz.bf16: bf16 has the range of f32
  if (base == "add") form.sets(handler<Add, u16, u16>(type, m));
  if (base == "sub") form.sets(handler<Sub, u16, u16>(type, m));
  if (base == "mul") form.sets(handler<Mul, u16, u16>(type, m));
  if (fused) form.sets(m.relu ? handler<FmaRelu, u16, u16, u16>(type, m) : handler<Fma, u16, u16, u16>(type, m));
  if (base == "min") form.sets(chooses<Min>(type, m));
  if (base == "max") form.sets(chooses<Max>(type, m));
  if (base == "ex2") form.sets(handler<Exp2, u16>(type, kept));
  if (base == "tanh") form.sets(handler<Tanh, u16>(type, kept));
  const bool pair = is_pair(type);
  if (base == "abs") form.sets(pair ? Lanewise<AbsBits, u32, u32>::run : Lanewise<AbsBits, u16, u16>::run);
  if (base == "neg") form.sets(pair ? Lanewise<NegBits, u32, u32>::run : Lanewise<NegBits, u16, u16>::run);
  return true;
}

}  // namespace mirilla::ptx
