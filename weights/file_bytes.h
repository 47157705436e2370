// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace mirilla::weights {

/// The size of a file that can be read. Throws WeightsError where it is missing, empty, a folder, a device or not readable.
size_t readable_size(const std::filesystem::path& path);

/// The first `count` bytes, or fewer where the file is shorter. Throws like readable_size.
std::string first_bytes(const std::filesystem::path& path, size_t count);

struct FileBytes {
  std::shared_ptr<const std::byte> data;
  size_t size = 0;
};

/// A whole file, mapped: its bytes are read when they are used, and are not the program's memory. A file must not be cut while it is
/// mapped. Throws like readable_size.
FileBytes map_file(const std::filesystem::path& path);

/// A name from a file, safe to show: quoted, at most 80 characters, with '?' for characters that a terminal would act on.
std::string shown(std::string_view name);

}  // namespace mirilla::weights
