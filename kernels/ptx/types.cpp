// SPDX-License-Identifier: MIT
#include "kernels/ptx/types.h"

#include <array>

namespace mirilla::ptx {

namespace {

enum class Nature : u8 { kOther, kSigned, kUnsigned, kFloat };

struct Row {
  std::string_view name;
  Type type;
  u8 bytes;
  Nature nature;
};

constexpr std::array kTypes{
    Row{"pred", Type::kPred, 0, Nature::kOther},     Row{"b8", Type::kB8, 1, Nature::kUnsigned},
    Row{"b16", Type::kB16, 2, Nature::kUnsigned},    Row{"b32", Type::kB32, 4, Nature::kUnsigned},
    Row{"b64", Type::kB64, 8, Nature::kUnsigned},    Row{"b128", Type::kB128, 16, Nature::kOther},
    Row{"u8", Type::kU8, 1, Nature::kUnsigned},      Row{"u16", Type::kU16, 2, Nature::kUnsigned},
    Row{"u32", Type::kU32, 4, Nature::kUnsigned},    Row{"u64", Type::kU64, 8, Nature::kUnsigned},
    Row{"s8", Type::kS8, 1, Nature::kSigned},        Row{"s16", Type::kS16, 2, Nature::kSigned},
    Row{"s32", Type::kS32, 4, Nature::kSigned},      Row{"s64", Type::kS64, 8, Nature::kSigned},
    Row{"f16", Type::kF16, 2, Nature::kFloat},       Row{"f16x2", Type::kF16x2, 4, Nature::kOther},
    Row{"bf16", Type::kBf16, 2, Nature::kFloat},     Row{"bf16x2", Type::kBf16x2, 4, Nature::kOther},
    Row{"tf32", Type::kTf32, 4, Nature::kFloat},     Row{"f32", Type::kF32, 4, Nature::kFloat},
    Row{"f64", Type::kF64, 8, Nature::kFloat},       Row{"u16x2", Type::kU16x2, 4, Nature::kOther},
    Row{"s16x2", Type::kS16x2, 4, Nature::kOther},   Row{"e4m3x2", Type::kE4m3x2, 2, Nature::kOther},
    Row{"e5m2x2", Type::kE5m2x2, 2, Nature::kOther},
};

const Row* find(Type type) {
  for (const Row& row : kTypes) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

Nature nature_of(Type type) {
  const Row* row = find(type);
  return row ? row->nature : Nature::kOther;
}

}  // namespace

Type parse_type(std::string_view word) {
  for (const Row& row : kTypes) {
    if (row.name == word) return row.type;
  }
  return Type::kNone;
}

std::string_view name_of(Type type) {
  const Row* row = find(type);
  return row ? row->name : "none";
}

u32 bytes_of(Type type) {
  const Row* row = find(type);
  return row ? row->bytes : 0;
}

bool is_signed(Type type) { return nature_of(type) == Nature::kSigned; }
bool is_integer(Type type) { return nature_of(type) == Nature::kSigned || nature_of(type) == Nature::kUnsigned; }
bool is_float(Type type) { return nature_of(type) == Nature::kFloat; }

}  // namespace mirilla::ptx
