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

/// A file's name as it may go to a terminal, into JSON and into a message: valid UTF-8 without control characters. A byte that is neither
/// is written as \xHH, so Latin-1's "for\xEAt" stays different from "forêt". Names that are clean UTF-8 come back as they are.
///
/// Two names never become one: a backslash before what looks like such an escape is itself written as \x5C. Control characters are C0, DEL,
/// C1, the line and paragraph separators, and those that change the direction of writing.
std::string shown(std::string_view bytes);

/// A whole text for a terminal: the same for control characters and bytes that are no UTF-8, but lines stay lines, and what shown() has
/// made is left alone.
std::string printable(std::string_view text);

/// The bytes that shown() made `text` of.
std::string unshown(std::string_view text);

/// For a shown name with escapes: what it reads in Latin-1, where its bytes are letters there; "" otherwise.
std::string as_latin1(std::string_view shown_name);

/// The beginning and the end of a long text, with "..." between; never cuts a character in two.
std::string shortened(std::string_view text, size_t most_bytes = 160);

/// The name between quotation marks, shortened.
std::string in_quotes(std::string_view name);
std::vector<std::string> all_in_quotes(std::span<const std::string> names);

/// "a", "a and b", "a, b and c", "a, b, c and 5 more".
std::string listed(std::span<const std::string> names, size_t most = 4);

/// "1 picture", "2 pictures".
std::string counted(int64_t n, std::string_view thing);

/// What two names have in common that a person takes for one: without blanks, in small letters, decomposed as macOS writes them (NFD).
/// Small letters beyond ASCII where the C library has the locale C.UTF-8.
std::string name_key(std::string_view name);

/// One component of a path that no command looks at: hidden ones (".x"), and what macOS, Windows and some servers put beside people's
/// files:
/// __MACOSX, Thumbs.db, desktop.ini, $RECYCLE.BIN, System Volume Information, @eaDir, #recycle, lost+found.
bool is_hidden_name(std::string_view component);

/// Why the system refused a file, in this project's words: "you may not read it".
std::string reason_of(const std::error_code& error);

}  // namespace mirilla::data
