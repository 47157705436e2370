// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <system_error>

namespace mirilla {

/// Why the system refused an operation, in plain words that fit after a colon: "there is no such file or folder", "no space is left on the
/// disk". Takes an errno, or the error that std::filesystem gives. Rare errors are given by their number.
std::string system_reason(int error_number);
std::string system_reason(const std::error_code& error);

}  // namespace mirilla
