// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace mirilla::data {

/// A file's name as it may go to a terminal, into JSON and into a message: valid UTF-8 without control characters. Any other byte
/// is written as \xHH, so Latin-1's "for\xEAt" stays different from "forêt". Names that are clean UTF-8 come back as they are.
///
/// Two names never become equal: a backslash before text that looks like such an escape is itself written as \x5C. Control characters are
/// C0, DEL, C1, the line and paragraph separators, and those that change the direction of writing.
std::string shown(std::string_view bytes);

/// A whole text for a terminal: the same for control characters and bytes that are not UTF-8, but line breaks stay, and the output of
/// shown() is not changed.
std::string printable(std::string_view text);

/// The inverse of shown(): the original bytes.
std::string unshown(std::string_view text);

/// For a shown name with escapes: the name read as Latin-1, if its bytes are letters there; else "".
std::string as_latin1(std::string_view shown_name);

/// The beginning and the end of a long text, with "..." between; never cuts inside a character.
std::string shortened(std::string_view text, size_t most_bytes = 160);

/// The name between quotation marks, shortened.
std::string in_quotes(std::string_view name);
std::vector<std::string> all_in_quotes(std::span<const std::string> names);

/// "a", "a and b", "a, b and c", "a, b, c and 5 more".
std::string listed(std::span<const std::string> names, size_t most = 4);

/// "1 picture", "2 pictures".
std::string counted(int64_t n, std::string_view thing);

/// A key that is equal for names that a person would confuse: without blanks, in small letters, decomposed as on macOS (NFD).
/// Letters beyond ASCII become small only where the C library has the locale C.UTF-8.
std::string name_key(std::string_view name);

/// Whether commands ignore this component of a path: hidden ones (".x"), and files that macOS, Windows and some servers put beside the
/// user's files:
/// __MACOSX, Thumbs.db, desktop.ini, $RECYCLE.BIN, System Volume Information, @eaDir, #recycle, lost+found.
bool is_hidden_name(std::string_view component);

/// Why the system refused a file, in this project's words: "you may not read it".
std::string reason_of(const std::error_code& error);

}  // namespace mirilla::data
