// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::data {

/// One file of a source: its path relative to the source, components divided by '/', and its size in bytes as the source states it.
struct Entry {
  std::string path;
  uint64_t size = 0;
};

/// A file larger than this is not read: no picture needs it, and an archive of a few kilobytes may claim any size.
inline constexpr uint64_t kMaxEntryBytes = uint64_t{256} << 20;

/// Where pictures come from: a zip (on disk or in memory) or a folder, behind one face. Nothing is ever extracted or written.
///
/// Entries are sorted by path, bytewise. Folders, hidden files and folders (a component that begins with '.') and macOS's `__MACOSX` are
/// left out. All methods may be called from many threads at once.
class Source {
 public:
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  /// As the user named it, for messages.
  const std::string& name() const { return name_; }
  const std::vector<Entry>& entries() const { return entries_; }
  bool contains(std::string_view path) const;

  /// The bytes of one entry. Throws DataError where there is no such entry, it is larger than kMaxEntryBytes, encrypted, cut off, or its
  /// checksum is wrong.
  std::vector<uint8_t> read(std::string_view path) const;

 protected:
  explicit Source(std::string name) : name_(std::move(name)) {}
  /// Sorts, drops what is hidden and repeated names, and refuses paths that lead out of the source.
  void set_entries(std::vector<Entry> entries);
  /// The entry's bytes; `entry` is one of entries().
  virtual std::vector<uint8_t> read_entry(const Entry& entry) const = 0;

 private:
  const Entry* find(std::string_view path) const;

  std::string name_;
  std::vector<Entry> entries_;
};

/// Opens a zip file or a folder. Throws DataError where it is missing, is neither, is corrupt, holds no file, or holds a path that leads
/// out of it ("../x", "/x").
std::shared_ptr<const Source> open_source(const std::filesystem::path& path);

/// The same for a zip that lies in memory; `name` stands for its path in messages.
std::shared_ptr<const Source> open_source(std::vector<uint8_t> zip, std::string name);

}  // namespace mirilla::data
