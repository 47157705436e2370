// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <tuple>

#include "kernels/core/view.h"

namespace mirilla {

/// A call of one operation of the table (kernels/core/operations.h): a struct with its views and its options. ConstViews are read, Views
/// are written. It says its name, and it lists its views, so that one template can treat the views of any call alike:
///
///   struct Relu {
///     static constexpr std::string_view kName = "relu";
///     ConstView x;
///     View y;
///     static auto views(auto& call) { return std::tie(call.x, call.y); }
///   };
template <class T>
concept Operation = requires(T& call) {
  std::string_view(T::kName);
  T::views(call);
};

/// A form of a call that a device may lack, though it has the plain form: it says its name, and which calls ask for it. The struct of the
/// call lists them: `using Forms = Operations<...>`.
template <class T>
concept Form = requires {
  std::string_view(T::kName);
}
&&!Operation<T>;

/// A list of operations and forms.
template <class... T>
struct Operations {};

/// Calls f(view) for each view of a call: ConstView, View, or std::span<const ConstView>.
template <Operation T, class F>
void for_each_view(T& call, F&& f) {
  std::apply([&](auto&... view) { (f(view), ...); }, std::remove_const_t<T>::views(call));
}

/// Whether a device's kernel reads and writes halves itself, also on a device that computes in f32 (kernels/widening). Otherwise false.
template <class T>
inline constexpr bool kTakesHalves = requires {
  requires T::kTakesHalves;
};

}  // namespace mirilla
