// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/forms/form.h"

namespace mirilla::ptx {

enum class Rounding : u8 { kNone, kNearest, kZero, kDown, kUp, kNearestAway };

/// The modifiers between a float instruction's name and its type.
struct FloatModifiers {
  Rounding rounding = Rounding::kNone;
  bool ftz = false;  // subnormal operands and results become zeros of their sign
  bool sat = false;  // clamp to [0, 1], NaN to 0
  bool approx = false, full = false;
  bool nan = false;      // min, max: NaN wins
  bool xorsign = false;  // min, max: of the magnitudes, with the product's sign
  bool absolute = false;
  bool relu = false;
  bool any() const { return rounding != Rounding::kNone || ftz || sat || approx || full || nan || xorsign || absolute || relu; }
};
FloatModifiers take_float_modifiers(Form& form, bool sat);

/// add, sub, mul, mad, fma, div, min, max, abs, neg of f16, bf16, their pairs, f32 and f64.
void float_arithmetic(Form& form, Type type, const FloatModifiers& modifiers);
/// The same for halves; false where the form is not one of these.
bool half_arithmetic(Form& form, Type type, const FloatModifiers& modifiers);
/// Makes `form.out.run` run with the processor set to this rounding.
void round_with(Form& form, Rounding rounding);

void add_with_carry(Form& form);            // add.cc, sub.cc
void mad_with_carry(Form& form, int part);  // mad.lo.cc, mad.hi.cc

}  // namespace mirilla::ptx
