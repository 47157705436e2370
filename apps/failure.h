// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "apps/command.h"
#include "kernels/core/error.h"

/// The output for an error: a sentence on stderr, and with --json a document on stdout.
namespace mirilla::apps {

/// The error's own hint with the flags of this command (apps/flags.h), and the options that help.
std::string hint_for(const Error& error, const CLI::App& command);

/// {"error": the sentence, "hint": what to do}, and for numbers that are not finite also
///
///   module, wrote     the first that wrote such a number (null if unknown), and "NaN" or "infinity"
///   overflow          whether its numbers grew too large; otherwise weights or the input are the cause
///   pictures          names, if they are known
///
/// for refused weights also
///
///   tensors           [{name, values, nan, infinite, too_large, negative}]
nlohmann::ordered_json error_json(const Error& error, const std::string& hint);

/// Prints it on stderr, and as JSON if the command has --json and has printed no document yet.
void tell(const Error& error, const CLI::App& command);

}  // namespace mirilla::apps
