// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace mirilla::data::detail {

/// The kind of a file that decode() does not accept, recognised by its first bytes and not by its name.
struct UndecodedKind {
  std::string_view what;  // "a HEIC photo"; "" if unknown
  std::string_view hint;  // what to do with it
};

/// Pictures of other kinds, raw photos, videos, documents, archives, web pages, placeholders for files that were not fetched, files that a
/// system puts beside pictures, text, and zeros.
UndecodedKind undecoded_kind(std::span<const uint8_t> bytes);

}  // namespace mirilla::data::detail
