// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/archive/archive.h"

// The two kinds of source behind data/archive/archive.h; callers use open_source().
namespace mirilla::data::detail {

/// A zip on disk, or in memory where `bytes` is not empty.
std::shared_ptr<const Source> open_zip(const std::filesystem::path& path, std::vector<uint8_t> bytes, std::string name);
std::shared_ptr<const Source> open_folder(const std::filesystem::path& path, std::span<const std::filesystem::path> leave_out);

/// Throws DataError where `size` is more than kMaxEntryBytes.
void check_entry_size(const std::string& source, const std::string& path, uint64_t size);

}  // namespace mirilla::data::detail
