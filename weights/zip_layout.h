// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>

namespace mirilla::weights {

/// Where the bytes of the entries begin that a zip keeps as they are, neither compressed nor encrypted, by the entries' names. libzip does
/// not tell; with it such an entry is used in place. An entry that is named twice, and all entries of a zip whose directory is not where
/// it should be, are missing from the answer. The answer says nothing about lengths and contents: compare the entry's checksum.
///   [APPNOTE.TXT 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3]
std::unordered_map<std::string, size_t> stored_entries(std::span<const std::byte> zip);

}  // namespace mirilla::weights
