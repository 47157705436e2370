// SPDX-License-Identifier: MIT
#pragma once

#include <type_traits>

#include "kernels/core/backend.h"

namespace mirilla {

namespace detail {

template <class T, class... Listed>
inline constexpr bool kIsListed = (std::is_same_v<T, Listed> || ...);

/// Whether the first list contains every member of the second.
template <class... Listed, class... Wanted>
constexpr bool has_all(Operations<Listed...>, Operations<Wanted...>) {
  return (kIsListed<Wanted, Listed...> && ...);
}

}  // namespace detail

/// The base of a device's table. The lists say once what the device has, and has() answers from them; all core operations must be among
/// them. The device declares one member
///
///   template <class T> void execute(const T& call);
///
/// without a body, and defines it for each operation in the file of that name: `template <> void CpuBackend::execute(const op::Relu&
/// call)`. A listed operation without such a definition does not link.
template <class Device, class... Lists>
class Implements;

template <class Device, class... T>
class Implements<Device, Operations<T...>> : public Backend {
 protected:
  static_assert(detail::has_all(Operations<T...>(), CoreOperations()), "a device must list every core operation");

  Implements() : Backend(table()) {}

 private:
  static Table table() {
    Table table;
    (fill(table.template row<T>()), ...);
    return table;
  }
  template <Operation One>
  static void fill(detail::Row<One>& row) {
    row.kernel = [](Backend& self, const One& call) { static_cast<Device&>(self).execute(call); };
  }
  template <Form One>
  static void fill(detail::Row<One>& row) {
    row.listed = true;
  }
};

/// Several lists are one.
template <class Device, class... A, class... B, class... Rest>
class Implements<Device, Operations<A...>, Operations<B...>, Rest...> : public Implements<Device, Operations<A..., B...>, Rest...> {};

}  // namespace mirilla
