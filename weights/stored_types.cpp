// SPDX-License-Identifier: MIT
#include "weights/stored_types.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace mirilla::weights {
namespace {

template <class From, class To>
void widen(const std::byte* from, std::byte* to) {
  From value;
  std::memcpy(&value, from, sizeof value);
  const To wide = static_cast<To>(value);
  std::memcpy(to, &wide, sizeof wide);
}

/// Sign, exponent and mantissa as IEEE 754 has them, in 8 bits. `kFinite`: there are no infinities, and only all ones are NaN.
template <int kMantissa, int kBias, bool kFinite>
void widen_float8(const std::byte* from, std::byte* to) {
  const auto bits = std::to_integer<unsigned>(*from);
  constexpr unsigned kOnes = (1u << kMantissa) - 1, kExponents = 0x7fu >> kMantissa;
  const unsigned mantissa = bits & kOnes, exponent = (bits & 0x7fu) >> kMantissa;
  float value = 0;
  if (kFinite ? (bits & 0x7fu) == 0x7fu : exponent == kExponents && mantissa != 0) {
    value = std::numeric_limits<float>::quiet_NaN();
  } else if (!kFinite && exponent == kExponents) {
    value = std::numeric_limits<float>::infinity();
  } else {
    const int digits = static_cast<int>(exponent == 0 ? mantissa : mantissa + (1u << kMantissa));
    value = std::ldexp(static_cast<float>(digits), static_cast<int>(exponent == 0 ? 1 : exponent) - kBias - kMantissa);
  }
  if ((bits & 0x80u) != 0) value = -value;
  std::memcpy(to, &value, sizeof value);
}

constexpr StoredType kTypes[] = {
    {"torch.FloatStorage", "torch.float32", "F32", 4, DType::f32, nullptr},
    {"torch.DoubleStorage", "torch.float64", "F64", 8, DType::f64, nullptr},
    {"torch.HalfStorage", "torch.float16", "F16", 2, DType::f16, nullptr},
    {"torch.BFloat16Storage", "torch.bfloat16", "BF16", 2, DType::bf16, nullptr},
    {"torch.ByteStorage", "torch.uint8", "U8", 1, DType::u8, nullptr},
    {"torch.LongStorage", "torch.int64", "I64", 8, DType::i64, nullptr},
    {"torch.BoolStorage", "torch.bool", "BOOL", 1, DType::u8, widen<uint8_t, uint8_t>},
    {"torch.CharStorage", "torch.int8", "I8", 1, DType::i64, widen<int8_t, int64_t>},
    {"torch.ShortStorage", "torch.int16", "I16", 2, DType::i64, widen<int16_t, int64_t>},
    {"torch.IntStorage", "torch.int32", "I32", 4, DType::i64, widen<int32_t, int64_t>},
    {"", "torch.uint16", "U16", 2, DType::i64, widen<uint16_t, int64_t>},
    {"", "torch.uint32", "U32", 4, DType::i64, widen<uint32_t, int64_t>},
    {"", "torch.float8_e4m3fn", "F8_E4M3", 1, DType::f32, widen_float8<3, 7, true>},
    {"", "torch.float8_e5m2", "F8_E5M2", 1, DType::f32, widen_float8<2, 15, false>},
};

}  // namespace

const StoredType* stored_type(std::string_view name) {
  for (const StoredType& type : kTypes)
    if (type.torch == name || type.safetensors == name || (!type.storage.empty() && type.storage == name)) return &type;
  return nullptr;
}

const StoredType* stored_type_of(DType dtype) {
  for (const StoredType& type : kTypes)
    if (type.convert == nullptr && type.dtype == dtype) return &type;
  return nullptr;
}

}  // namespace mirilla::weights
