// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <ostream>
#include <string_view>

namespace mirilla::weights {

/// Writes a file that is there whole or not at all: `writer` fills a binary stream to a temporary file in the same folder, which is then
/// renamed over `path`. If the writer throws, the disk is full or the rename fails, the temporary file is removed and what stood at `path`
/// before stays as it was. A symbolic link keeps pointing where it did and its target is replaced; a device or a pipe (/dev/stdout) is
/// written to directly. The data is not forced to the disk (no fsync): this guards against a program that stops, not a machine that does.
///
/// Throws Error naming the path where the folder is missing or not writable, where `path` is a folder, or where a write comes up short.
void write_atomically(const std::filesystem::path& path, const std::function<void(std::ostream&)>& writer);

/// The same for bytes already in memory.
void write_atomically(const std::filesystem::path& path, std::string_view bytes);

/// The same for libraries that want a path of their own (libzip): `writer` makes the file at the path it is given, which does not exist yet
/// and is in the same folder. Throws Error also where the writer left no file there. Not for devices and pipes.
void replace_atomically(const std::filesystem::path& path, const std::function<void(const std::filesystem::path& temporary)>& writer);

}  // namespace mirilla::weights
