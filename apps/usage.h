// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/error.h"

namespace mirilla::apps {

/// A command line that CLI11 refused, in a sentence of ours: what is missing, what is no option and which one it looks like.
UsageError usage_error(const CLI::App& app, const CLI::ParseError& refused);

/// The same error, with a hint at --help of the command that was named where it has none.
UsageError with_help_hint(const CLI::App& app, const UsageError& error);

/// The word that differs from `text` in the fewest letters (added, removed, replaced), where those are a third of it at most, or two;
/// else "".
std::string nearest(std::string_view text, const std::vector<std::string>& words);

}  // namespace mirilla::apps
