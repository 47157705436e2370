// SPDX-License-Identifier: MIT
#include "kernels/ptx/count.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/fragments.h"
#include "kernels/ptx/forms/lanes.h"
#include "kernels/ptx/forms/memory.h"

#include <algorithm>
#include <limits>

// PTX ISA 9.7.14.4, wmma. The ISA leaves open which lane holds which element. Here, with n = rows*columns/32, lane l holds the
// elements l*n to l*n+n-1 of the matrix, row after row; registers beyond n elements repeat them.

namespace mirilla::ptx {

namespace {

struct Shape {
  u32 m, n, k;
};
constexpr Shape kShapes[]{{16, 16, 16}, {8, 32, 16}, {32, 8, 16}, {16, 16, 8}, {8, 8, 4}};

int take_shape(Form& form) { return form.take_one({"m16n16k16", "m8n32k16", "m32n8k16", "m16n16k8", "m8n8k4"}); }

/// One matrix of a wmma instruction: element kind, extent, registers per lane.
struct Fragment {
  Element element = Element::kF32;
  u32 rows = 0, columns = 0;
  u32 register_bits() const { return element == Element::kF64 ? 64 : 32; }
  u32 each() const { return register_bits() / bits_of(element); }
  u32 per_lane() const { return rows * columns / kLanes; }
  u32 registers() const {
    const bool doubled = element == Element::kF16 && repeats;  // A and B of f16 have 8 registers for every shape
    return doubled ? 8 : std::max(1u, per_lane() / each());
  }
  bool repeats = false;

  u32 packed() const { return static_cast<u32>(element) | rows << 8 | columns << 16 | u32{repeats} << 24; }
  static Fragment of(u32 bits) { return {static_cast<Element>(bits & 255u), bits >> 8 & 255u, bits >> 16 & 255u, (bits >> 24 & 1u) != 0}; }
};

u64 element_at(const Warp& warp, const u32* place, const Fragment& f, u32 flat) {
  const u32 lane = flat / f.per_lane(), e = flat % f.per_lane();
  if (f.element == Element::kF64) return warp.at<u64>(place[e])[lane];
  const u32 word = warp.at<u32>(place[e / f.each()])[lane];
  const u32 width = bits_of(f.element);
  return width == 32 ? word : (word >> (e % f.each() * width)) & ((1u << width) - 1);
}

void set_element(const Warp& warp, const u32* place, const Fragment& f, u32 flat, u64 bits) {
  const u32 lane = flat / f.per_lane(), width = bits_of(f.element);
  for (u32 e = flat % f.per_lane(); e < f.registers() * f.each(); e += f.per_lane()) {
    if (width == 64) {
      warp.at<u64>(place[e])[lane] = bits;
    } else if (width == 32) {
      warp.at<u32>(place[e])[lane] = static_cast<u32>(bits);
    } else {
      u32& word = warp.at<u32>(place[e / f.each()])[lane];
      const u32 shift = e % f.each() * width, ones = ((1u << width) - 1) << shift;
      word = (word & ~ones) | (static_cast<u32>(bits) << shift & ones);
    }
  }
}

// Places: registers, address, stride. flag: the matrix is stored by columns; lookup: the fragment.
template <bool kStores>
void move_fragment(const Instruction& i, Warp& warp) {
  const Fragment f = Fragment::of(i.lookup);
  const u32 registers = f.registers(), bytes = bits_of(f.element) / 8;
  const Addresses base = addresses_of(i, warp, static_cast<int>(registers));
  const u32* stride = warp.in<u32>(i, static_cast<int>(registers + 1));
  for (u32 e = 0; e < f.per_lane(); ++e) {
    Addresses all;
    for (u32 l = 0; l < kLanes; ++l) {
      const u32 flat = l * f.per_lane() + e, row = flat / f.columns, column = flat % f.columns;
      const u64 at = i.flag ? u64{column} * stride[l] + row : u64{row} * stride[l] + column;
      all[l] = base[l] + at * bytes;
    }
    by_space(i, all, kAllLanes, [&](Space space, const Addresses& addresses, u32 mask) {
      AccessKind kind;
      kind.bytes = bytes;
      kind.store = kStores;
      kind.load = !kStores;
      const Pointers at = reach(i, warp, space, addresses, mask, kind);
      each_lane(mask, [&](u32 l) {
        u64 value = kStores ? element_at(warp, i.place, f, l * f.per_lane() + e) : 0;
        std::memcpy(kStores ? static_cast<void*>(at[l]) : static_cast<void*>(&value),
                    kStores ? static_cast<const void*>(&value) : static_cast<const void*>(at[l]), bytes);
        if (!kStores) set_element(warp, i.place, f, l * f.per_lane() + e, value);
      });
    });
  }
}

struct Product {
  Fragment a, b, c, d;
};

f64 number_of(Element e, u64 bits) {
  switch (e) {
    case Element::kF16: return static_cast<f64>(f32_of_half(static_cast<u16>(bits)));
    case Element::kBf16: return static_cast<f64>(f32_of_bf16(static_cast<u16>(bits)));
    case Element::kTf32: return static_cast<f64>(float_of<Element::kTf32>(static_cast<u32>(bits)));
    case Element::kF32: return static_cast<f64>(std::bit_cast<f32>(static_cast<u32>(bits)));
    case Element::kF64: return std::bit_cast<f64>(bits);
    default: return static_cast<f64>(integer_of_element(e, static_cast<u32>(bits)));
  }
}

u64 sum_of(const Warp& warp, const Product& p, const u32* a, const u32* b, const u32* c, u32 row, u32 column, bool clamp) {
  const u64 start = element_at(warp, c, p.c, row * p.c.columns + column);
  const auto left = [&](u32 k) { return element_at(warp, a, p.a, row * p.a.columns + k); };
  const auto right = [&](u32 k) { return element_at(warp, b, p.b, k * p.b.columns + column); };
  if (p.c.element == Element::kS32) {
    s64 sum = static_cast<s32>(start);
    for (u32 k = 0; k < p.a.columns; ++k)
      sum += s64{integer_of_element(p.a.element, static_cast<u32>(left(k)))} * integer_of_element(p.b.element, static_cast<u32>(right(k)));
    return static_cast<u32>(clamp ? std::clamp<s64>(sum, std::numeric_limits<s32>::min(), std::numeric_limits<s32>::max()) : sum);
  }
  if (p.c.element == Element::kF64) {
    f64 sum = std::bit_cast<f64>(start);
    for (u32 k = 0; k < p.a.columns; ++k) sum = std::fma(std::bit_cast<f64>(left(k)), std::bit_cast<f64>(right(k)), sum);
    return std::bit_cast<u64>(sum);
  }
  f32 sum = static_cast<f32>(number_of(p.c.element, start));
  for (u32 k = 0; k < p.a.columns; ++k)
    sum = std::fma(static_cast<f32>(number_of(p.a.element, left(k))), static_cast<f32>(number_of(p.b.element, right(k))), sum);
  return p.d.element == Element::kF16 ? half_of_f32(sum) : std::bit_cast<u32>(canonical(sum));
}

// The shape is in lookup, the element kinds of d, a, b, c in offset, one byte each.
Product product_of(const Instruction& i) {
  const Shape shape = kShapes[i.lookup];
  const auto element = [&](int k) { return static_cast<Element>(i.offset >> (8 * k) & 255); };
  Product p;
  p.d = {element(0), shape.m, shape.n};
  p.a = {element(1), shape.m, shape.k, true};
  p.b = {element(2), shape.k, shape.n, true};
  p.c = {element(3), shape.m, shape.n};
  return p;
}

void multiply(const Instruction& i, Warp& warp) {
  const Product p = product_of(i);
  const u32 *d = i.place, *a = d + p.d.registers(), *b = a + p.a.registers(), *c = b + p.b.registers();
  std::vector<u64> sums(size_t{p.d.rows} * p.d.columns);
  for (u32 row = 0; row < p.d.rows; ++row) {
    for (u32 column = 0; column < p.d.columns; ++column) sums[row * p.d.columns + column] = sum_of(warp, p, a, b, c, row, column, i.flag);
  }
  for (u32 flat = 0; flat < sums.size(); ++flat) set_element(warp, d, p.d, flat, sums[flat]);
  if (warp.block->options->counts) count_products(*warp.block, i, sums.size() * p.a.columns);
}

Element element_of(Form& form, Type type) {
  switch (type) {
    case Type::kF16: return Element::kF16;
    case Type::kBf16: return Element::kBf16;
    case Type::kTf32: return Element::kTf32;
    case Type::kS8: return Element::kS8;
    case Type::kU8: return Element::kU8;
    case Type::kF32: return Element::kF32;
    case Type::kS32: return Element::kS32;
    case Type::kF64: return Element::kF64;
    default: form.unknown("the type of the elements");
  }
}

void registers(Form& form, size_t operand, const Fragment& f, bool writes) {
  const Operand& all = form.operand(operand);
  const std::vector<Operand> parts = all.kind == Operand::Kind::kVector ? all.parts : std::vector<Operand>{all};
  if (parts.size() != f.registers())
    form.wrong(fmt::format("operand {} has {} registers instead of {}", operand + 1, parts.size(), f.registers()));
  const Type type = f.element == Element::kF64 ? Type::kB64 : Type::kB32;
  for (const Operand& part : parts) {
    if (writes)
      form.to(part, type);
    else
      form.from(part, type);
  }
}

Fragment fragment_for(int which, const Shape& shape, Element element) {  // a, b, c or d
  if (which == 0) return {element, shape.m, shape.k, true};
  if (which == 1) return {element, shape.k, shape.n, true};
  return {element, shape.m, shape.n};
}

void load_store(Form& form, bool stores) {
  Instruction& out = form.out;
  const int which = form.take_one({"a", "b", "c", "d"});
  const int layout = form.take_one({"row", "col"}), shape = take_shape(form);
  const bool global = form.take("global"), shared = form.take("shared") || form.take("shared::cta");
  if (which < 0 || layout < 0 || shape < 0 || stores != (which == 3)) form.unknown();
  const Fragment f = fragment_for(which, kShapes[shape], element_of(form, form.take_type()));
  out.space = form.space = global ? Space::kGlobal : shared ? Space::kShared : Space::kGeneric;
  out.flag = layout == 1;
  out.lookup = f.packed();
  out.bytes = static_cast<u8>(bits_of(f.element) / 8);
  form.wants_operands(2, 3);
  registers(form, stores ? 1 : 0, f, !stores);
  form.address(stores ? 0 : 1);
  if (form.operands() == 3)
    form.from(2, Type::kU32);
  else
    form.from_value(layout == 0 ? f.columns : f.rows, Type::kU32);
  form.sets(stores ? move_fragment<true> : move_fragment<false>);
}

void product(Form& form) {
  const int a_layout = form.take_one({"row", "col"}), b_layout = form.take_one({"row", "col"});
  static_cast<void>(a_layout);
  static_cast<void>(b_layout);
  const int shape = take_shape(form);
  form.out.flag = form.take("satfinite");
  const bool nearest = form.take("rn");
  const Type d = form.take_type(), second = form.take_type();
  const std::optional<Type> third = form.take_type_if_any(), fourth = form.take_type_if_any();
  if (shape < 0 || third.has_value() != fourth.has_value()) form.unknown();
  // .dtype.ctype of halves; .dtype.atype.btype.ctype of all others
  const Element kinds[]{element_of(form, d), third ? element_of(form, second) : Element::kF16,
                        third ? element_of(form, *third) : Element::kF16, element_of(form, third ? *fourth : second)};
  if (nearest && kinds[0] != Element::kF64) form.unknown("the modifier .rn");
  form.out.lookup = static_cast<u32>(shape);
  for (int k = 0; k < 4; ++k) form.out.offset |= static_cast<s64>(kinds[k]) << (8 * k);
  const Product p = product_of(form.out);
  form.wants_operands(4, 4);
  registers(form, 0, p.d, true);
  registers(form, 1, p.a, false);
  registers(form, 2, p.b, false);
  registers(form, 3, p.c, false);
  form.sets(multiply);
}

void wmma(Form& form) {
  const int what = form.take_one({"load", "store", "mma"});
  if (what < 0 || !form.take("sync") || !form.take("aligned")) form.unknown();
  form.out.step = Step::kWholeWarp;
  if (what == 2)
    product(form);
  else
    load_store(form, what == 1);
}

}  // namespace

void add_wmma_forms(Families& families) { families["wmma"] = wmma; }

}  // namespace mirilla::ptx
