// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <ostream>
#include <span>
#include <string_view>

namespace mirilla {

/// Writes a file whole or not at all: `writer` fills a binary stream to a temporary file in the same folder, which is then renamed over
/// `path`. If the writer throws, the disk is full or the rename fails, the temporary file is removed and the old file at `path` stays as it
/// was. A symbolic link stays, and its target is replaced; a device or a pipe (/dev/stdout) is written to directly. The data is not forced
/// to the disk (no fsync): this guards against a program that stops, not against a machine that stops.
///
/// Throws Error naming the path where the folder is missing or not writable, where `path` is a folder, or where fewer bytes are written
/// than asked for.
void write_atomically(const std::filesystem::path& path, const std::function<void(std::ostream&)>& writer);

/// The same for bytes already in memory.
void write_atomically(const std::filesystem::path& path, std::string_view bytes);

void write_atomically(const std::filesystem::path& path, std::span<const uint8_t> bytes);

/// Removes the temporary files that are being written at this moment, by any thread. Made for a signal handler that is about to end the
/// program: it takes no lock and allocates no memory.
void remove_unfinished_files() noexcept;

}  // namespace mirilla
