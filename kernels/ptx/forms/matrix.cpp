// SPDX-License-Identifier: MIT
#include "kernels/ptx/count.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/forms/fragments.h"
#include "kernels/ptx/forms/lanes.h"
#include "kernels/ptx/forms/memory.h"

#include <algorithm>
#include <limits>

// PTX ISA 9.7.14: ldmatrix, stmatrix, movmatrix, mma. The sums of a tensor core are computed here in single precision, one product after
// another, each rounded once; a GPU's order and rounding are not documented.

namespace mirilla::ptx {

namespace {

// ---- matrices of 8x8 halves: lane l holds elements 2*(l%4) and 2*(l%4)+1 of row l/4 ----

template <bool kTransposed>
void ldmatrix(const Instruction& i, Warp& warp) {  // places: d..., address
  const u32 n = i.count;
  const Addresses all = addresses_of(i, warp, static_cast<int>(n));
  const u32 lanes = n == 4 ? kAllLanes : (1u << (8 * n)) - 1;  // lane 8j+r has the address of row r of matrix j
  by_space(i, all, lanes, [&](Space space, const Addresses& addresses, u32 mask) {
    if (space != Space::kShared || mask != lanes) fail(warp, i, first_lane(mask), Fault::Kind::kOutside, "a row outside of shared memory");
    AccessKind kind;
    kind.bytes = 16;
    kind.whole_warp = true;
    const Pointers row = reach(i, warp, space, addresses, mask, kind);
    for (u32 j = 0; j < n; ++j) {
      u32* d = warp.at<u32>(i.place[j]);
      for (u32 l = 0; l < kLanes; ++l) {
        if constexpr (kTransposed) {
          u16 low = 0, high = 0;
          std::memcpy(&low, row[8 * j + 2 * (l % 4)] + 2 * (l / 4), 2);
          std::memcpy(&high, row[8 * j + 2 * (l % 4) + 1] + 2 * (l / 4), 2);
          d[l] = low | static_cast<u32>(high) << 16;
        } else {
          std::memcpy(&d[l], row[8 * j + l / 4] + 4 * (l % 4), 4);
        }
      }
    }
  });
}

template <bool kTransposed>
void stmatrix(const Instruction& i, Warp& warp) {  // places: address, sources...
  const u32 n = i.count;
  const Addresses all = addresses_of(i, warp, 0);
  const u32 lanes = n == 4 ? kAllLanes : (1u << (8 * n)) - 1;
  by_space(i, all, lanes, [&](Space space, const Addresses& addresses, u32 mask) {
    if (space != Space::kShared || mask != lanes) fail(warp, i, first_lane(mask), Fault::Kind::kOutside, "a row outside of shared memory");
    AccessKind kind;
    kind.bytes = 16;
    kind.store = true;
    kind.load = false;
    const Pointers row = reach(i, warp, space, addresses, mask, kind);
    for (u32 j = 0; j < n; ++j) {
      const u32* s = warp.in<u32>(i, static_cast<int>(1 + j));
      for (u32 l = 0; l < kLanes; ++l) {
        if constexpr (kTransposed) {
          const u16 low = static_cast<u16>(s[l]), high = static_cast<u16>(s[l] >> 16);
          std::memcpy(row[8 * j + 2 * (l % 4)] + 2 * (l / 4), &low, 2);
          std::memcpy(row[8 * j + 2 * (l % 4) + 1] + 2 * (l / 4), &high, 2);
        } else {
          std::memcpy(row[8 * j + l / 4] + 4 * (l % 4), &s[l], 4);
        }
      }
    }
  });
}

void movmatrix(const Instruction& i, Warp& warp) {
  u16 m[8][8];
  const u32* a = warp.in<u32>(i, 1);
  for (u32 l = 0; l < kLanes; ++l) {
    m[l / 4][2 * (l % 4)] = static_cast<u16>(a[l]);
    m[l / 4][2 * (l % 4) + 1] = static_cast<u16>(a[l] >> 16);
  }
  u32* d = warp.at<u32>(i.place[0]);
  for (u32 l = 0; l < kLanes; ++l) d[l] = m[2 * (l % 4)][l / 4] | static_cast<u32>(m[2 * (l % 4) + 1][l / 4]) << 16;
}

void matrix_memory(Form& form) {
  Instruction& out = form.out;
  const bool loads = form.base() == "ldmatrix";
  if (!form.take("sync") || !form.take("aligned") || !form.take("m8n8")) form.unknown();
  const int size = form.take_one({"x1", "x2", "x4"});
  const bool transposed = form.take("trans");
  const bool shared = form.take("shared") || form.take("shared::cta");
  if (size < 0 || form.take_type() != Type::kB16) form.unknown();
  out.space = form.space = shared ? Space::kShared : Space::kGeneric;
  out.count = static_cast<u8>(1 << size);
  out.bytes = 16;
  form.wants_operands(2, 2);
  const Operand& registers = form.operand(loads ? 0 : 1);
  const std::vector<Operand> parts = registers.kind == Operand::Kind::kVector ? registers.parts : std::vector<Operand>{registers};
  if (parts.size() != out.count) form.wrong("the vector does not fit its size");
  if (!loads) form.address(0);
  for (const Operand& part : parts) {
    if (loads)
      form.to(part, Type::kB32);
    else
      form.from(part, Type::kB32);
  }
  if (loads) form.address(1);
  out.step = Step::kWholeWarp;
  if (loads)
    form.sets(transposed ? ldmatrix<true> : ldmatrix<false>);
  else
    form.sets(transposed ? stmatrix<true> : stmatrix<false>);
}

void move_matrix(Form& form) {
  if (!form.take("sync") || !form.take("aligned") || !form.take("m8n8") || !form.take("trans") || form.take_type() != Type::kB16)
    form.unknown();
  form.wants_operands(2, 2);
  form.to(0, Type::kB32);
  form.from(1, Type::kB32);
  form.out.step = Step::kWholeWarp;
  form.sets(movmatrix);
}

// ---- mma.m16n8k*: with g = l/4, t = l%4, and e elements to a register of 32 bits,
//   register r of A: rows g + 8*(r%2), columns (t + 4*(r/2))*e and the next e-1
//   register r of B: rows (t + 4*r)*e and the next e-1, column g
//   element  c of C: row g + 8*(c/2), column 2*t + c%2            (PTX ISA 9.7.14.5.8 and the like)

constexpr u32 kMostK = 64;

// Eight columns at once, four rows side by side: the additions of one row overlap with those of the others.
typedef f32 Row __attribute__((vector_size(32)));

template <u32 kK>
void multiply_add(const f32 (&a)[16][kK], const f32 (&b)[kK][8], f32 (&c)[16][8]) {
  constexpr u32 kRows = 4;
  for (u32 first = 0; first < 16; first += kRows) {
    Row sum[kRows];
    for (u32 r = 0; r < kRows; ++r) std::memcpy(&sum[r], c[first + r], sizeof(Row));
    for (u32 k = 0; k < kK; ++k) {
      Row right;
      std::memcpy(&right, b[k], sizeof(Row));
      for (u32 r = 0; r < kRows; ++r) sum[r] += a[first + r][k] * right;  // this file fuses products and sums: kernels/CMakeLists.txt
    }
    for (u32 r = 0; r < kRows; ++r) std::memcpy(c[first + r], &sum[r], sizeof(Row));
  }
  for (auto& row : c) {
    for (f32& x : row) x = canonical(x);
  }
}

/// f(lane, its group g, its index in the group t)
template <class F>
inline void each_place(F f) {
  for (u32 g = 0; g < 8; ++g) {
    for (u32 t = 0; t < 4; ++t) f(4 * g + t, g, t);
  }
}

/// kARegisters is 2 or 4; B has half as many. kHalves: D and C are f16.
template <Element kA, u32 kARegisters, bool kHalves>
void mma_float(const Instruction& i, Warp& warp) {  // places: d, a, b, c
  constexpr u32 kEach = 32 / bits_of(kA), kK = 4 * kEach * kARegisters / 2;
  alignas(64) f32 a[16][kK], b[kK][8], c[16][8];
  constexpr u32 kResults = kHalves ? 2 : 4;
  const u32* place = i.place + kResults;
  for (u32 r = 0; r < kARegisters; ++r) {
    const u32* bits = warp.at<u32>(place[r]);
    for (u32 e = 0; e < kEach; ++e) {
      alignas(64) f32 wide[kLanes];
      for (u32 l = 0; l < kLanes; ++l) wide[l] = float_of<kA>(kEach == 1 ? bits[l] : bits[l] >> (e * (32 / kEach)));
      each_place([&](u32 l, u32 g, u32 t) { a[g + 8 * (r % 2)][(t + 4 * (r / 2)) * kEach + e] = wide[l]; });
    }
  }
  place += kARegisters;
  for (u32 r = 0; r < kARegisters / 2; ++r) {
    const u32* bits = warp.at<u32>(place[r]);
    for (u32 e = 0; e < kEach; ++e) {
      alignas(64) f32 wide[kLanes];
      for (u32 l = 0; l < kLanes; ++l) wide[l] = float_of<kA>(kEach == 1 ? bits[l] : bits[l] >> (e * (32 / kEach)));
      each_place([&](u32 l, u32 g, u32 t) { b[(t + 4 * r) * kEach + e][g] = wide[l]; });
    }
  }
  place += kARegisters / 2;
  for (u32 k = 0; k < 4; ++k) {
    const u32* bits = warp.at<u32>(place[kHalves ? k / 2 : k]);
    each_place([&](u32 l, u32 g, u32 t) {
      c[g + 8 * (k / 2)][2 * t + k % 2] = kHalves ? f32_of_half(static_cast<u16>(bits[l] >> (16 * (k % 2)))) : std::bit_cast<f32>(bits[l]);
    });
  }
  multiply_add<kK>(a, b, c);
  for (u32 k = 0; k < kResults; ++k) {
    u32* d = warp.at<u32>(i.place[k]);
    each_place([&](u32 l, u32 g, u32 t) {
      if constexpr (kHalves)
        d[l] = half_of_f32(c[g + 8 * k][2 * t]) | static_cast<u32>(half_of_f32(c[g + 8 * k][2 * t + 1])) << 16;
      else
        d[l] = std::bit_cast<u32>(c[g + 8 * (k / 2)][2 * t + k % 2]);
    });
  }
  if (warp.block->options->counts) count_products(*warp.block, i, 16 * 8 * kK);
}

/// lookup: the elements of A and, eight bits up, of B; 16 bits up: .satfinite. count: registers of A.
void mma_integer(const Instruction& i, Warp& warp) {
  const Element kind_a = static_cast<Element>(i.lookup & 255u), kind_b = static_cast<Element>(i.lookup >> 8 & 255u);
  const bool clamp = i.lookup >> 16 & 1u;
  const u32 width = bits_of(kind_a), each = 32 / width, registers = i.count, depth = 2 * each * registers;
  s32 a[16][kMostK], b[kMostK][8];
  for (u32 r = 0; r < registers; ++r) {
    const u32* bits = warp.in<u32>(i, static_cast<int>(4 + r));
    for (u32 l = 0; l < kLanes; ++l) {
      for (u32 e = 0; e < each; ++e)
        a[l / 4 + 8 * (r % 2)][(l % 4 + 4 * (r / 2)) * each + e] = integer_of_element(kind_a, bits[l] >> (e * width));
    }
  }
  for (u32 r = 0; r < registers / 2; ++r) {
    const u32* bits = warp.in<u32>(i, static_cast<int>(4 + registers + r));
    for (u32 l = 0; l < kLanes; ++l) {
      for (u32 e = 0; e < each; ++e) b[(l % 4 + 4 * r) * each + e][l / 4] = integer_of_element(kind_b, bits[l] >> (e * width));
    }
  }
  for (u32 k = 0; k < 4; ++k) {
    const u32* c = warp.in<u32>(i, static_cast<int>(4 + registers + registers / 2 + k));
    u32* d = warp.at<u32>(i.place[k]);
    for (u32 l = 0; l < kLanes; ++l) {
      s64 sum = static_cast<s32>(c[l]);
      for (u32 n = 0; n < depth; ++n) sum += s64{a[l / 4 + 8 * (k / 2)][n]} * b[n][2 * (l % 4) + k % 2];
      if (clamp) sum = std::clamp<s64>(sum, std::numeric_limits<s32>::min(), std::numeric_limits<s32>::max());
      d[l] = static_cast<u32>(sum);
    }
  }
  if (warp.block->options->counts) count_products(*warp.block, i, u64{16 * 8} * depth);
}

// m8n8k4 of f64: A row l/4, column l%4; B row l%4, column l/4; C row l/4, columns 2*(l%4) and the next.
void mma_f64(const Instruction& i, Warp& warp) {
  const f64 *a = warp.in<f64>(i, 2), *b = warp.in<f64>(i, 3);
  f64 sums[2][kLanes];
  for (u32 k = 0; k < 2; ++k) {
    const f64* c = warp.in<f64>(i, static_cast<int>(4 + k));
    for (u32 l = 0; l < kLanes; ++l) {
      f64 sum = c[l];
      for (u32 n = 0; n < 4; ++n) sum = std::fma(a[4 * (l / 4) + n], b[4 * (2 * (l % 4) + k) + n], sum);
      sums[k][l] = sum;
    }
  }
  for (u32 k = 0; k < 2; ++k) std::memcpy(warp.at<f64>(i.place[k]), sums[k], sizeof sums[k]);
  if (warp.block->options->counts) count_products(*warp.block, i, 8 * 8 * 4);
}

void registers(Form& form, size_t operand, size_t count, Type type, bool writes) {
  const Operand& all = form.operand(operand);
  const std::vector<Operand> parts = all.kind == Operand::Kind::kVector ? all.parts : std::vector<Operand>{all};
  if (parts.size() != count) form.wrong(fmt::format("operand {} has {} registers instead of {}", operand + 1, parts.size(), count));
  for (const Operand& part : parts) {
    if (writes)
      form.to(part, type);
    else
      form.from(part, type);
  }
}

Element take_element(Form& form) {
  const int kind = form.take_one({"s4", "u4"});
  if (kind >= 0) return kind == 0 ? Element::kS4 : Element::kU4;
  switch (form.take_type()) {
    case Type::kF16: return Element::kF16;
    case Type::kBf16: return Element::kBf16;
    case Type::kTf32: return Element::kTf32;
    case Type::kS8: return Element::kS8;
    case Type::kU8: return Element::kU8;
    case Type::kF64: return Element::kF64;
    default: form.unknown("the type of the elements");
  }
}

Handler float_handler(Element a, u32 registers, bool halves) {
  if (halves) return registers == 4 ? mma_float<Element::kF16, 4, true> : mma_float<Element::kF16, 2, true>;
  if (a == Element::kTf32) return registers == 4 ? mma_float<Element::kTf32, 4, false> : mma_float<Element::kTf32, 2, false>;
  if (a == Element::kF16) return registers == 4 ? mma_float<Element::kF16, 4, false> : mma_float<Element::kF16, 2, false>;
  if (a == Element::kBf16) return registers == 4 ? mma_float<Element::kBf16, 4, false> : mma_float<Element::kBf16, 2, false>;
  return nullptr;
}

void mma(Form& form) {
  Instruction& out = form.out;
  if (!form.take("sync") || !form.take("aligned")) form.unknown();
  const int shape = form.take_one({"m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32", "m16n8k64", "m8n8k4"});
  if (shape < 0 || !form.take("row") || !form.take("col")) form.unknown("the shape");
  const bool clamp = form.take("satfinite");
  const Type d = form.take_type();
  const Element a = take_element(form), b = take_element(form);
  const Type c = form.take_type();
  form.wants_operands(4, 4);
  out.step = Step::kWholeWarp;
  if (a == Element::kF64 && b == a && shape == 5 && c == Type::kF64 && d == c && !clamp) {
    registers(form, 0, 2, d, true);
    registers(form, 1, 1, d, false);
    registers(form, 2, 1, d, false);
    registers(form, 3, 2, d, false);
    return form.sets(mma_f64);
  }
  if (shape == 5) form.unknown("the shape");
  const u32 depth = 4u << shape;
  const u32 a_registers = depth * bits_of(a) / 64;  // 16 rows of `depth` elements, in 32 lanes of 32 bits
  if (bits_of(a) != bits_of(b) || (a_registers != 2 && a_registers != 4)) form.unknown("the shape");
  const bool integer = bits_of(a) <= 8;
  const bool halves = d == Type::kF16;
  if (integer ? d != Type::kS32 || c != d : a != b || clamp || c != d || (d != Type::kF32 && !(halves && a == Element::kF16)))
    form.unknown("the types");
  const size_t results = halves ? 2 : 4;
  registers(form, 0, results, Type::kB32, true);
  registers(form, 1, a_registers, Type::kB32, false);
  registers(form, 2, a_registers / 2, Type::kB32, false);
  registers(form, 3, results, Type::kB32, false);
  out.count = static_cast<u8>(a_registers);
  out.lookup = static_cast<u32>(a) | static_cast<u32>(b) << 8 | u32{clamp} << 16;
  form.sets(integer ? mma_integer : float_handler(a, a_registers, halves));
}

}  // namespace

void add_matrix_forms(Families& families) {
  for (std::string_view name : {"ldmatrix", "stmatrix"}) families[name] = matrix_memory;
  families["movmatrix"] = move_matrix;
  families["mma"] = mma;
}

}  // namespace mirilla::ptx
