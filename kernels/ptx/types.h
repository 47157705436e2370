// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mirilla::ptx {

// PTX's own names for its types.
using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using f32 = float;
using f64 = double;

constexpr u32 kLanes = 32;
constexpr u32 kAllLanes = 0xffffffffu;

/// The types an instruction can name. kNone for a word that is not a type.
enum class Type : u8 {
  kNone,
  kPred,
  kB8,
  kB16,
  kB32,
  kB64,
  kB128,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kF16,
  kF16x2,
  kBf16,
  kBf16x2,
  kTf32,
  kF32,
  kF64,
  kU16x2,
  kS16x2,
  kE4m3x2,
  kE5m2x2,
};

/// "s32", without the dot.
Type parse_type(std::string_view word);
std::string_view name_of(Type type);
/// Bytes in memory; 0 for a predicate.
u32 bytes_of(Type type);
bool is_signed(Type type);
bool is_integer(Type type);  // u, s and b types, 8 to 64 bits
bool is_float(Type type);    // f16, bf16, tf32, f32, f64: one value

enum class Space : u8 { kGeneric, kGlobal, kShared, kLocal, kConst, kParam };

// Generic addresses: global memory uses host addresses; the other spaces lie where no host address can be.
constexpr u64 kSharedWindow = u64{1} << 56;
constexpr u64 kLocalWindow = u64{2} << 56;
constexpr u64 kParamWindow = u64{3} << 56;
constexpr u64 kCodeWindow = u64{4} << 56;  // addresses of functions
constexpr u64 kWindowMask = u64{0xff} << 56;

}  // namespace mirilla::ptx
