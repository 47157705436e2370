// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/by_type.h"
#include "kernels/ptx/forms/float.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/lanes.h"

#include <limits>

// PTX ISA 9.7.1, integer arithmetic. Overflow wraps.

namespace mirilla::ptx {

namespace {

template <class T>
using Wide = std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, s32, u32>,
                                std::conditional_t<std::is_signed_v<T>, s64, u64>>;

// Arithmetic without C++'s undefined overflow: 16 bits are widened to int before they are multiplied.
template <class T>
constexpr T wrap(u64 value) {
  return static_cast<T>(value);
}

struct Add {
  template <class T>
  static T of(T a, T b) {
    return wrap<T>(static_cast<u64>(a) + static_cast<u64>(b));
  }
};
struct Sub {
  template <class T>
  static T of(T a, T b) {
    return wrap<T>(static_cast<u64>(a) - static_cast<u64>(b));
  }
};
struct MulLow {
  template <class T>
  static T of(T a, T b) {
    if constexpr (sizeof(T) == 4)
      return static_cast<T>(static_cast<u32>(a) * static_cast<u32>(b));
    else
      return wrap<T>(static_cast<u64>(a) * static_cast<u64>(b));
  }
};
struct MulHigh {
  template <class T>
  static T of(T a, T b) {
    if constexpr (sizeof(T) == 8) {
      using Double = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
      return static_cast<T>((static_cast<Double>(a) * b) >> 64);
    } else {
      return static_cast<T>((static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b)) >> (8 * sizeof(T)));
    }
  }
};
struct MulWide {
  template <class T>
  static Wide<T> of(T a, T b) {
    return static_cast<Wide<T>>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b));
  }
};
template <class Product>
struct MulAdd {
  template <class T, class C>
  static C of(T a, T b, C c) {
    return Add::of<C>(static_cast<C>(Product::of(a, b)), c);
  }
};

s32 clamp32(s64 value) {
  if (value > std::numeric_limits<s32>::max()) return std::numeric_limits<s32>::max();
  return value < std::numeric_limits<s32>::min() ? std::numeric_limits<s32>::min() : static_cast<s32>(value);
}
struct AddSat {
  static s32 of(s32 a, s32 b) { return clamp32(s64{a} + b); }
};
struct SubSat {
  static s32 of(s32 a, s32 b) { return clamp32(s64{a} - b); }
};
struct MadHighSat {
  static s32 of(s32 a, s32 b, s32 c) { return clamp32(s64{MulHigh::of(a, b)} + c); }
};

// Division by zero gives all ones on a GPU (the ISA leaves it open), and the remainder is the dividend; -2^31 / -1 wraps.
struct Div {
  template <class T>
  static T of(T a, T b) {
    if (b == 0) return static_cast<T>(-1);
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return static_cast<T>(0 - static_cast<u64>(a));
    }
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <class T>
  static T of(T a, T b) {
    if (b == 0) return a;
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
    }
    return static_cast<T>(a % b);
  }
};
struct Min {
  template <class T>
  static T of(T a, T b) {
    return a < b ? a : b;
  }
};
struct Max {
  template <class T>
  static T of(T a, T b) {
    return a > b ? a : b;
  }
};
template <class Base>
struct NotBelowZero {
  template <class T>
  static T of(T a, T b) {
    return Max::of<T>(Base::of(a, b), 0);
  }
};
struct Abs {
  template <class T>
  static T of(T a) {
    return a < 0 ? static_cast<T>(0 - static_cast<u64>(a)) : a;
  }
};
struct Neg {
  template <class T>
  static T of(T a) {
    return static_cast<T>(0 - static_cast<u64>(a));
  }
};
struct Sad {  // c + |a - b|
  template <class T>
  static T of(T a, T b, T c) {
    return Add::of<T>(c, a < b ? Sub::of(b, a) : Sub::of(a, b));
  }
};

// Two 16-bit integers at once.
template <class Operation, class T>
struct Pairs {
  static u32 of(u32 a, u32 b) {
    const T low = Operation::of(static_cast<T>(a), static_cast<T>(b)),
            high = Operation::of(static_cast<T>(a >> 16), static_cast<T>(b >> 16));
    return static_cast<u16>(low) | static_cast<u32>(static_cast<u16>(high)) << 16;
  }
};

template <bool kHigh, class T>
struct Mul24 {  // of the low 24 bits, the low or the high 32 of 48
  static T of(T a, T b) {
    using W = Wide<T>;
    const W product = (static_cast<W>(a << 8) >> 8) * (static_cast<W>(b << 8) >> 8);
    return static_cast<T>(kHigh ? product >> 16 : product);
  }
};

template <class A, class B>
struct Dp4a {
  static u32 of(u32 a, u32 b, u32 c) {
    for (int k = 0; k < 4; ++k)
      c += static_cast<u32>(static_cast<s32>(static_cast<A>(a >> (8 * k))) * static_cast<s32>(static_cast<B>(b >> (8 * k))));
    return c;
  }
};
template <class A, class B, bool kHigh>
struct Dp2a {
  static u32 of(u32 a, u32 b, u32 c) {
    for (int k = 0; k < 2; ++k) {
      c += static_cast<u32>(static_cast<s32>(static_cast<std::conditional_t<std::is_signed_v<A>, s16, u16>>(a >> (16 * k))) *
                            static_cast<s32>(static_cast<B>(b >> (8 * (k + (kHigh ? 2 : 0))))));
    }
    return c;
  }
};

template <class Operation>
Handler binary(Type type) {
  return by_integer(type, []<class T>() -> Handler { return Lanewise<Operation, T, T, T>::run; });
}

void operands(Form& form, Type type, size_t sources) {
  form.wants_operands(sources + 1, sources + 1);
  form.to(0, type);
  for (size_t k = 1; k <= sources; ++k) form.from(k, type);
}

void add_sub(Form& form) {
  const bool add = form.base() == "add";
  if (form.take("cc")) return add_with_carry(form);
  const bool sat = form.take("sat");
  if (sat && form.take("s32")) {
    operands(form, Type::kS32, 2);
    return form.sets(add ? Lanewise<AddSat, s32, s32, s32>::run : Lanewise<SubSat, s32, s32, s32>::run);
  }
  const FloatModifiers modifiers = take_float_modifiers(form, sat);
  const Type type = form.take_type();
  if (!is_integer(type) && type != Type::kU16x2 && type != Type::kS16x2) return float_arithmetic(form, type, modifiers);
  if (sat || modifiers.any()) form.unknown();
  operands(form, type, 2);
  if (type == Type::kU16x2 || type == Type::kS16x2) {
    if (!add) form.unknown();
    return form.sets(Lanewise<Pairs<Add, u16>, u32, u32, u32>::run);
  }
  form.sets(add ? binary<Add>(type) : binary<Sub>(type));
}

void mul(Form& form) {
  const int part = form.take_one({"lo", "hi", "wide"});
  if (part < 0) {
    const FloatModifiers modifiers = take_float_modifiers(form, form.take("sat"));
    const Type type = form.take_type();
    if (is_integer(type)) form.unknown("mul without .lo, .hi or .wide");
    return float_arithmetic(form, type, modifiers);
  }
  const Type type = form.take_type();
  if (part < 2) {
    operands(form, type, 2);
    return form.sets(part == 0 ? binary<MulLow>(type) : binary<MulHigh>(type));
  }
  const bool narrow = bytes_of(type) == 2;
  form.wants_operands(3, 3);
  form.to(0, narrow ? Type::kU32 : Type::kU64);
  form.from(1, type);
  form.from(2, type);
  if (bytes_of(type) <= 4) {
    form.sets(by_integer(type, []<class T>() -> Handler {
      if constexpr (sizeof(T) == 8)
        return nullptr;
      else
        return Lanewise<MulWide, Wide<T>, T, T>::run;
    }));
  }
}

void mad(Form& form) {
  const int part = form.take_one({"lo", "hi", "wide"});
  if (part < 0) {
    const FloatModifiers modifiers = take_float_modifiers(form, form.take("sat"));
    return float_arithmetic(form, form.take_type(), modifiers);
  }
  if (form.take("cc")) return mad_with_carry(form, part);
  const bool sat = form.take("sat");
  const Type type = form.take_type();
  form.wants_operands(4, 4);
  if (part == 2) {
    const Type wide = bytes_of(type) == 2 ? Type::kU32 : Type::kU64;
    form.to(0, wide);
    form.from(1, type);
    form.from(2, type);
    form.from(3, wide);
    return form.sets(by_integer(type, []<class T>() -> Handler {
      if constexpr (sizeof(T) == 8)
        return nullptr;
      else
        return Lanewise<MulAdd<MulWide>, Wide<T>, T, T, Wide<T>>::run;
    }));
  }
  operands(form, type, 3);
  if (sat) {
    if (part != 1 || type != Type::kS32) form.unknown();
    return form.sets(Lanewise<MadHighSat, s32, s32, s32, s32>::run);
  }
  if (part == 0)
    form.sets(by_integer(type, []<class T>() -> Handler { return Lanewise<MulAdd<MulLow>, T, T, T, T>::run; }));
  else
    form.sets(by_integer(type, []<class T>() -> Handler { return Lanewise<MulAdd<MulHigh>, T, T, T, T>::run; }));
}

template <class T>
struct Mad24 {
  template <bool kHigh>
  struct Of {
    static T of(T a, T b, T c) { return Add::of<T>(Mul24<kHigh, T>::of(a, b), c); }
  };
};

template <class T>
Handler handler24(bool high, bool adds) {
  if (adds)
    return high ? Lanewise<typename Mad24<T>::template Of<true>, T, T, T, T>::run
                : Lanewise<typename Mad24<T>::template Of<false>, T, T, T, T>::run;
  return high ? Lanewise<Mul24<true, T>, T, T, T>::run : Lanewise<Mul24<false, T>, T, T, T>::run;
}

void mul24(Form& form) {
  const int part = form.take_one({"lo", "hi"});
  const Type type = form.take_type();
  const bool adds = form.base() == "mad24";
  if (part < 0 || (type != Type::kU32 && type != Type::kS32)) form.unknown();
  operands(form, type, adds ? 3 : 2);
  form.sets(type == Type::kU32 ? handler24<u32>(part == 1, adds) : handler24<s32>(part == 1, adds));
}

void div_rem(Form& form) {
  const bool divides = form.base() == "div";
  const FloatModifiers modifiers = take_float_modifiers(form, false);
  const Type type = form.take_type();
  if (is_float(type)) return float_arithmetic(form, type, modifiers);
  if (modifiers.any()) form.unknown();
  operands(form, type, 2);
  form.sets(divides ? binary<Div>(type) : binary<Rem>(type));
}

template <class Operation>
Handler min_max_handler(Type type, bool relu) {
  if (type == Type::kU16x2) return Lanewise<Pairs<Operation, u16>, u32, u32, u32>::run;
  if (type == Type::kS16x2)
    return relu ? Lanewise<Pairs<NotBelowZero<Operation>, s16>, u32, u32, u32>::run : Lanewise<Pairs<Operation, s16>, u32, u32, u32>::run;
  if (type == Type::kS32 && relu) return Lanewise<NotBelowZero<Operation>, s32, s32, s32>::run;
  return relu ? nullptr : binary<Operation>(type);
}

void min_max(Form& form) {
  FloatModifiers modifiers = take_float_modifiers(form, false);
  modifiers.relu = form.take("relu");
  const Type type = form.take_type();
  if (!is_integer(type) && type != Type::kU16x2 && type != Type::kS16x2) return float_arithmetic(form, type, modifiers);
  operands(form, type, 2);
  const bool relu = modifiers.relu;
  modifiers.relu = false;
  if (modifiers.any()) form.unknown();
  form.sets(form.base() == "min" ? min_max_handler<Min>(type, relu) : min_max_handler<Max>(type, relu));
}

void abs_neg(Form& form) {
  const FloatModifiers modifiers = take_float_modifiers(form, false);
  const Type type = form.take_type();
  if (!is_integer(type)) return float_arithmetic(form, type, modifiers);
  if (!is_signed(type) || modifiers.any()) form.unknown();
  operands(form, type, 1);
  if (form.base() == "abs")
    form.sets(by_integer(type, []<class T>() -> Handler { return Lanewise<Abs, T, T>::run; }));
  else
    form.sets(by_integer(type, []<class T>() -> Handler { return Lanewise<Neg, T, T>::run; }));
}

void sad(Form& form) {
  const Type type = form.take_type();
  operands(form, type, 3);
  form.sets(by_integer(type, []<class T>() -> Handler { return Lanewise<Sad, T, T, T, T>::run; }));
}

template <class A, class B>
Handler dot(bool four, bool high) {
  if (four) return Lanewise<Dp4a<A, B>, u32, u32, u32, u32>::run;
  return high ? Lanewise<Dp2a<A, B, true>, u32, u32, u32, u32>::run : Lanewise<Dp2a<A, B, false>, u32, u32, u32, u32>::run;
}

void dp(Form& form) {
  const bool four = form.base() == "dp4a";
  const int part = four ? 0 : form.take_one({"lo", "hi"});
  const Type a = form.take_type(), b = form.take_type();
  if (part < 0 || bytes_of(a) != 4 || bytes_of(b) != 4) form.unknown();
  operands(form, Type::kU32, 3);
  const bool high = part == 1;
  if (is_signed(a))
    form.sets(is_signed(b) ? dot<s8, s8>(four, high) : dot<s8, u8>(four, high));
  else
    form.sets(is_signed(b) ? dot<u8, s8>(four, high) : dot<u8, u8>(four, high));
}

}  // namespace

void add_integer_forms(Families& families) {
  for (std::string_view name : {"add", "sub"}) families[name] = add_sub;
  families["mul"] = mul;
  families["mad"] = mad;
  for (std::string_view name : {"mul24", "mad24"}) families[name] = mul24;
  for (std::string_view name : {"div", "rem"}) families[name] = div_rem;
  for (std::string_view name : {"min", "max"}) families[name] = min_max;
  for (std::string_view name : {"abs", "neg"}) families[name] = abs_neg;
  families["sad"] = sad;
  for (std::string_view name : {"dp4a", "dp2a"}) families[name] = dp;
}

}  // namespace mirilla::ptx
