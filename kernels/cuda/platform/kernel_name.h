// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace mirilla {

/// The kernel's name in the signature of a function that has it as the template argument Kernel, as __PRETTY_FUNCTION__ gives it:
/// "... [with auto Kernel = mirilla::simt::relu_kernel<float>; ...]" to "relu_kernel<float>".
inline std::string_view kernel_in(std::string_view function) {
  constexpr std::string_view kBefore = "Kernel = ";
  const size_t start = function.find(kBefore);
  if (start == std::string_view::npos) return function;
  std::string_view name = function.substr(start + kBefore.size());
  name = name.substr(0, name.find_first_of(";]"));
  const size_t scope = name.substr(0, name.find('<')).rfind("::");  // namespaces; the unnamed one has a name made by the compiler
  if (scope != std::string_view::npos) name.remove_prefix(scope + 2);
  return name;
}

}  // namespace mirilla
