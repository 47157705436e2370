// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace mirilla::data::detail {

/// What a file is that decode() does not take, told by its first bytes, whatever its name says.
struct UndecodedKind {
  std::string_view what;  // "a HEIC photo"; "" where nobody knows
  std::string_view hint;  // what to do with it
};

/// Pictures of other kinds, raw photos, videos, documents, archives, web pages, what stands in for a file that was not fetched, what a
/// system puts beside pictures, text, and zeros.
UndecodedKind undecoded_kind(std::span<const uint8_t> bytes);

}  // namespace mirilla::data::detail
