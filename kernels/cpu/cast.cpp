// SPDX-License-Identifier: MIT
#include <cstring>
#include <type_traits>

#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"

namespace mirilla {

namespace {

/// Halves go through f32; integers and f32 convert as C++ does.
template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>) {
    return convert<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>) {
    return To(static_cast<float>(value));
  } else {
    return static_cast<To>(value);
  }
}

/// Every dtype that this device holds.
template <class F>
void dispatch_held(DType dtype, std::string_view what, F&& f) {
  switch (dtype) {
    case DType::f32: return f.template operator()<float>();
    case DType::f16: return f.template operator()<Half>();
    case DType::bf16: return f.template operator()<BFloat16>();
    case DType::u8: return f.template operator()<uint8_t>();
    case DType::i64: return f.template operator()<int64_t>();
    case DType::f64: break;
  }
  cpu::no_such(dtype, what);
}

}  // namespace

void CpuBackend::fill(View y, double value) {
  dispatch_held(y.dtype, "fill", [&]<class T>() {
    auto* py = y.data<T>();
    T element;
    if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
      element = T(static_cast<float>(value));
    } else {
      element = static_cast<T>(value);
    }
    cpu::parallel_shares(y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) { std::fill(py + i, py + end, element); });
  });
}

void CpuBackend::cast(ConstView x, View y) {
  dispatch_held(x.dtype, "cast", [&]<class From>() {
    dispatch_held(y.dtype, "cast", [&]<class To>() {
      const auto* px = x.data<From>();
      auto* py = y.data<To>();
      cpu::parallel_shares(y.numel(), cpu::kGrain, [&](int64_t i, int64_t end) {
        if constexpr (std::is_same_v<From, To>) {
          std::memcpy(py + i, px + i, static_cast<size_t>(end - i) * sizeof(To));
        } else {
          for (; i < end; ++i) py[i] = convert<To>(px[i]);
        }
      });
    });
  });
}

}  // namespace mirilla
