// SPDX-License-Identifier: MIT
#include "kernels/error.h"

namespace mirilla {

namespace {

std::string with_hint(std::string_view message, std::string_view hint) {
  if (hint.empty()) return std::string(message);
  return fmt::format("{}\n  hint: {}", message, hint);
}

}  // namespace

Error::Error(std::string_view message, std::string_view hint)
    : std::runtime_error(with_hint(message, hint)), message_(message), hint_(hint) {}

}  // namespace mirilla
