// SPDX-License-Identifier: MIT
#include "kernels/emulate/names.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

namespace mirilla::emulate {

std::string readable(const std::string& kernel) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(kernel.c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? std::string(name.get()) : kernel;
}

std::string readable(std::string_view text, const std::string& kernel) {
  std::string changed(text);
  const size_t at = kernel.empty() ? std::string::npos : changed.find(kernel);
  if (at != std::string::npos) changed.replace(at, kernel.size(), readable(kernel));
  return changed;
}

}  // namespace mirilla::emulate
