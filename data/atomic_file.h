// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace mirilla::data {

/// Writes a whole file: beside its place under a temporary name, then renamed over it, so that a reader sees the old file or the new one
/// and an error leaves nothing behind. Throws DataError with the path and the system's reason.
void write_file_atomically(const std::string& path, std::span<const uint8_t> bytes);

}  // namespace mirilla::data
