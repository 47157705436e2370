// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>
#include <zip.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/zip_reason.h"
#include "kernels/core/error.h"

namespace mirilla {

struct ZipEntry {
  std::string path;
  std::span<const std::byte> bytes;  // must live until pack_zip returns
};

namespace detail {

struct DiscardZip {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct ReleaseSource {
  void operator()(zip_source_t* source) const { zip_source_free(source); }
};

[[noreturn]] inline void fail_to_pack(const zip_error_t* error) {
  throw Error(fmt::format("a zip cannot be made in memory: {}", zip_reason(error)));
}

inline void add_entry(zip_t* archive, const ZipEntry& entry) {
  zip_source_t* source = zip_source_buffer(archive, entry.bytes.data(), entry.bytes.size(), 0);
  const zip_int64_t index = source != nullptr ? zip_file_add(archive, entry.path.c_str(), source, ZIP_FL_ENC_UTF_8) : -1;
  if (index < 0) {
    zip_source_free(source);
    fail_to_pack(zip_get_error(archive));
  }
  constexpr zip_uint16_t kMidnight = 0, kFirstDate = (1 << 5) | 1;
  const auto at = static_cast<zip_uint64_t>(index);
  if (zip_set_file_compression(archive, at, ZIP_CM_STORE, 0) != 0 || zip_file_set_dostime(archive, at, kMidnight, kFirstDate, 0) != 0)
    fail_to_pack(zip_get_error(archive));
}

}  // namespace detail

/// A zip in memory, to be written in one step: entries in this order, not compressed, all with the first date that a zip can hold, so that
/// the same entries give the same bytes. Throws Error.
inline std::vector<uint8_t> pack_zip(std::span<const ZipEntry> entries) {
  zip_error_t error;
  zip_error_init(&error);
  const std::unique_ptr<zip_source_t, detail::ReleaseSource> memory(zip_source_buffer_create(nullptr, 0, 0, &error));
  if (!memory) detail::fail_to_pack(&error);
  std::unique_ptr<zip_t, detail::DiscardZip> archive(zip_open_from_source(memory.get(), ZIP_TRUNCATE, &error));
  if (!archive) detail::fail_to_pack(&error);
  zip_source_keep(memory.get());  // zip_close drops the archive's reference; this one stays
  for (const ZipEntry& entry : entries) detail::add_entry(archive.get(), entry);
  if (zip_close(archive.get()) != 0) detail::fail_to_pack(zip_get_error(archive.get()));
  static_cast<void>(archive.release());
  zip_stat_t stat;
  if (zip_source_stat(memory.get(), &stat) != 0 || zip_source_open(memory.get()) != 0) detail::fail_to_pack(zip_source_error(memory.get()));
  std::vector<uint8_t> bytes(stat.size);
  const zip_int64_t got = zip_source_read(memory.get(), bytes.data(), bytes.size());
  zip_source_close(memory.get());
  if (got != static_cast<zip_int64_t>(bytes.size())) throw Error("a zip cannot be made in memory: it cannot be read back");
  return bytes;
}

}  // namespace mirilla
