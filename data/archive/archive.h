// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::data {

/// One file of a source: its path relative to the source, components divided by '/', and its size in bytes as the source states it.
struct Entry {
  std::string path;
  uint64_t size = 0;
};

/// An entry of a source that cannot be used. `reason` completes the message "x.jpg: ", for example "a link that leads nowhere".
struct Unusable {
  std::string path;
  std::string reason;
};

/// A file larger than this is not read: no picture needs it, and an archive of a few kilobytes may claim any size.
inline constexpr uint64_t kMaxEntryBytes = uint64_t{256} << 20;

/// The interface over sources of pictures: a zip (on disk or in memory) or a folder. Nothing is ever extracted or written.
///
/// Entries are sorted by path, bytewise. Hidden files and folders (is_hidden_name in data/archive/names.h) are left out. Paths are readable
/// UTF-8: other bytes are written as shown() writes them, and names in a zip without a stated encoding are read as CP437 where they are not
/// UTF-8, as the zip format says. All methods may be called from many threads at once.
class Source {
 public:
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  /// The name given by the user, made readable for messages.
  const std::string& name() const { return name_; }
  const std::vector<Entry>& entries() const { return entries_; }
  /// The folders, sorted: all of them for a folder, the named ones for a zip.
  const std::vector<std::string>& folders() const { return folders_; }
  /// Links that cannot be followed or lead to something already listed; and, of several files with one name in a zip, all but the first.
  const std::vector<Unusable>& unusable() const { return unusable_; }
  bool contains(std::string_view path) const;

  /// The bytes of one entry. Throws DataError where there is no such entry, or it is larger than kMaxEntryBytes, encrypted, cut off, or its
  /// checksum is wrong.
  std::vector<uint8_t> read(std::string_view path) const;

 protected:
  explicit Source(std::string name) : name_(std::move(name)) {}
  /// Sets the contents of the source, in any order; hidden names are dropped here, repeated ones become unusable.
  void set_contents(std::vector<Entry> entries, std::vector<std::string> folders, std::vector<Unusable> unusable = {});
  /// The entry's bytes; `entry` is one of entries().
  virtual std::vector<uint8_t> read_entry(const Entry& entry) const = 0;

 private:
  const Entry* find(std::string_view path) const;

  std::string name_;
  std::vector<Entry> entries_;
  std::vector<std::string> folders_;
  std::vector<Unusable> unusable_;
};

/// Opens a zip file or a folder. Links in a folder are followed, each folder is read once (list_folder in data/archive/walk.h), and folders
/// in `leave_out` are not read. Throws DataError where `path` is missing, is neither (and says what it is), is damaged, locked with a
/// password or compressed with an unknown method, contains no file, contains a path that leads out of it ("../x", "/x") or is longer than a
/// file system takes, or a folder in it cannot be listed.
std::shared_ptr<const Source> open_source(const std::filesystem::path& path, std::span<const std::filesystem::path> leave_out = {});

/// The same for a zip in memory; messages use `name` in place of its path.
std::shared_ptr<const Source> open_source(std::vector<uint8_t> zip, std::string name);

}  // namespace mirilla::data
