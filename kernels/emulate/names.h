// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace mirilla::emulate {

/// A kernel's name as its source has it: "_Z4reluPfi" to "relu(float*, int)". What is not mangled stays.
std::string readable(const std::string& kernel);
/// The text with the kernel's name made readable.
std::string readable(std::string_view text, const std::string& kernel);

}  // namespace mirilla::emulate
