// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>

/// The library knows no command line: its hints and notes name options as its own headers do, in backquotes ("a smaller `batch_size`").
/// Here they become the program's.
namespace mirilla::apps {

/// The text with each option as the command takes it:
///
///   "a smaller --batch-size"   where `command` has that flag, or no command is given
///   "`mirilla train --weights`"  where another command is known to have it
///   "a smaller batch size"     else
///
/// Other words in backquotes stay as they are.
std::string with_flags(std::string_view text, const CLI::App* command = nullptr);

}  // namespace mirilla::apps
