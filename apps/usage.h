// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/error.h"

namespace mirilla::apps {

/// The error for a command line that CLI11 refused, in our words: what is missing, what is not an option and which option is similar.
UsageError usage_error(const CLI::App& app, const CLI::ParseError& refused);

/// The same error; if it has no hint, with one that points to --help of the command.
UsageError with_help_hint(const CLI::App& app, const UsageError& error);

/// The word that differs from `text` in the fewest letters (added, removed, replaced), if those are at most a third of it, or two;
/// else "".
std::string nearest(std::string_view text, const std::vector<std::string>& words);

}  // namespace mirilla::apps
