// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mirilla::data {

/// A file given in place of a zip: what it is, and what to do with it.
struct ForeignFile {
  std::string what;    // "a RAR archive"
  std::string advice;  // "unpack it, with `unrar x`, and take the folder"
};

/// The number of bytes of a file's beginning that foreign_file() needs.
inline constexpr size_t kForeignHeadBytes = 1024;

/// What a file is by its first bytes, and by its name where it is one part of several; empty if unknown. Archives of other kinds,
/// a web page, a Git LFS pointer, a picture, a document, zeros. `head` is the file or its first kForeignHeadBytes.
std::optional<ForeignFile> foreign_file(std::span<const uint8_t> head, std::string_view name);

/// Whether a file's name is that of an archive (zip, rar, 7z, tar, tgz, gz, bz2, xz, zst), or of a part of one (.z01, .001).
bool is_archive_name(std::string_view path);

/// A picture's kind by its first bytes, also of kinds that are not decoded: "JPEG", "HEIC"; "" for anything else.
std::string_view picture_kind(std::span<const uint8_t> head);

}  // namespace mirilla::data
