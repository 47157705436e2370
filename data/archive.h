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

/// What lies in a source and cannot be taken, and why: `reason` goes on "x.jpg: ", as "a link that leads nowhere".
struct Unusable {
  std::string path;
  std::string reason;
};

/// A file larger than this is not read: no picture needs it, and an archive of a few kilobytes may claim any size.
inline constexpr uint64_t kMaxEntryBytes = uint64_t{256} << 20;

/// Where pictures come from: a zip (on disk or in memory) or a folder, behind one face. Nothing is ever extracted or written.
///
/// Entries are sorted by path, bytewise. Hidden files and folders (is_hidden_name in data/names.h) are left out. Paths are readable UTF-8:
/// what is not is written as shown() does it, and a zip's names without a stated encoding are taken for CP437 where they are not UTF-8, as
/// the format says. All methods may be called from many threads at once.
class Source {
 public:
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  /// As the user named it, for messages; readable.
  const std::string& name() const { return name_; }
  const std::vector<Entry>& entries() const { return entries_; }
  /// The folders, sorted: all of a folder's, and of a zip's those that it names.
  const std::vector<std::string>& folders() const { return folders_; }
  /// Links that cannot be followed or lead to what is listed already; of several files of one name in a zip all but the first.
  const std::vector<Unusable>& unusable() const { return unusable_; }
  bool contains(std::string_view path) const;

  /// The bytes of one entry. Throws DataError where there is no such entry, it is larger than kMaxEntryBytes, encrypted, cut off, or its
  /// checksum is wrong.
  std::vector<uint8_t> read(std::string_view path) const;

 protected:
  explicit Source(std::string name) : name_(std::move(name)) {}
  /// What the source holds, in any order; hidden names are dropped here, repeated ones become unusable.
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

/// Opens a zip file or a folder. Links in a folder are followed, each folder is read once (list_folder in data/walk.h), and those of
/// `leave_out` are not looked at. Throws DataError where it is missing, is neither (saying what it is instead), is damaged, locked with a
/// password or packed in a way that is not unpacked, holds no file, holds a path that leads out of it ("../x", "/x") or is longer than a
/// file system takes, or a folder in it cannot be listed.
std::shared_ptr<const Source> open_source(const std::filesystem::path& path, std::span<const std::filesystem::path> leave_out = {});

/// The same for a zip that lies in memory; `name` stands for its path in messages.
std::shared_ptr<const Source> open_source(std::vector<uint8_t> zip, std::string name);

}  // namespace mirilla::data
