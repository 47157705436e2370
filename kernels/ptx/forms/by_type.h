// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/program.h"

#include <type_traits>

// From a type to its handler. `make` is a lambda with one type parameter that returns a Handler.

namespace mirilla::ptx {

template <class T>
using Unsigned = std::make_unsigned_t<T>;

/// u16, u32, u64, s16, s32, s64; nullptr for any other type.
template <class F>
Handler by_integer(Type type, F make) {
  switch (type) {
    case Type::kU16: return make.template operator()<u16>();
    case Type::kU32: return make.template operator()<u32>();
    case Type::kU64: return make.template operator()<u64>();
    case Type::kS16: return make.template operator()<s16>();
    case Type::kS32: return make.template operator()<s32>();
    case Type::kS64: return make.template operator()<s64>();
    default: return nullptr;
  }
}

/// By size only: b16, b32, b64 and all types of the same size.
template <class F>
Handler by_bits(Type type, F make) {
  switch (bytes_of(type)) {
    case 2: return make.template operator()<u16>();
    case 4: return make.template operator()<u32>();
    case 8: return make.template operator()<u64>();
    default: return nullptr;
  }
}

/// b16, b32, b64 only.
template <class F>
Handler by_plain_bits(Type type, F make) {
  return type == Type::kB16 || type == Type::kB32 || type == Type::kB64 ? by_bits(type, make) : nullptr;
}

}  // namespace mirilla::ptx
