// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "apps/command.h"
#include "kernels/core/error.h"

/// What the program says of an error: a sentence on stderr, and with --json a document on stdout.
namespace mirilla::apps {

/// The error's own hint with the flags of this command (apps/flags.h), and the options that help.
std::string hint_for(const Error& error, const CLI::App& command);

/// {"error": the sentence, "hint": what to do}, and of what is not finite also
///
///   module, wrote     the first that wrote such a number (null where none is known), and "NaN" or "infinity"
///   overflow          whether its numbers grew too large; otherwise weights or the input are to blame
///   pictures          names, where they are known
///
/// of weights that are refused
///
///   tensors           [{name, values, nan, infinite, too_large, negative}]
nlohmann::ordered_json error_json(const Error& error, const std::string& hint);

/// Says it on stderr, and as JSON where the command was told to and no document is out yet.
void tell(const Error& error, const CLI::App& command);

}  // namespace mirilla::apps
