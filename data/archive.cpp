// SPDX-License-Identifier: MIT
#include "data/archive.h"

#include <zip.h>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "kernels/error.h"

namespace mirilla::data {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kReadStep = uint64_t{1} << 20;

/// Calls f with each component of a path that is divided by '/'.
template <class F>
void each_component(std::string_view path, F&& f) {
  while (true) {
    const size_t slash = path.find('/');
    f(path.substr(0, slash));
    if (slash == std::string_view::npos) return;
    path.remove_prefix(slash + 1);
  }
}

bool is_hidden(std::string_view path) {
  bool hidden = false;
  each_component(path, [&](std::string_view part) {
    const bool dot = part == "." || part == "..";
    hidden = hidden || part == "__MACOSX" || (part.starts_with('.') && !dot);
  });
  return hidden;
}

bool leads_out(std::string_view path) {
  if (path.starts_with('/') || (path.size() > 1 && path[1] == ':')) return true;
  bool out = false;
  each_component(path, [&](std::string_view part) { out = out || part == ".."; });
  return out;
}

void check_size(const std::string& source, const std::string& path, uint64_t size) {
  if (size <= kMaxEntryBytes) return;
  throw DataError(fmt::format("{}: {} has {} MiB and at most {} are read", source, path, size >> 20, kMaxEntryBytes >> 20),
                  "a picture of that size is a mistake, or an archive made to fill the memory");
}

// ---- zip ----

struct CloseZip {
  void operator()(zip_t* zip) const { zip_discard(zip); }
};
using ZipHandle = std::unique_ptr<zip_t, CloseZip>;

struct CloseZipFile {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
using ZipFile = std::unique_ptr<zip_file_t, CloseZipFile>;

/// A zip on disk, or in memory where `bytes` is not empty. A libzip handle serves one thread at a time, so each read borrows one and
/// there are as many as ever read at once.
class ZipSource final : public Source {
 public:
  ZipSource(fs::path path, std::vector<uint8_t> bytes, std::string name)
      : Source(std::move(name)), path_(std::move(path)), bytes_(std::move(bytes)) {
    list();
  }

 private:
  class Borrowed {
   public:
    explicit Borrowed(const ZipSource& owner) : owner_(owner), handle_(owner.take()) {}
    ~Borrowed() { owner_.put_back(std::move(handle_)); }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    zip_t* get() const { return handle_.get(); }

   private:
    const ZipSource& owner_;
    ZipHandle handle_;
  };

  void list();
  ZipHandle open() const;
  ZipHandle take() const;
  void put_back(ZipHandle handle) const;
  std::vector<uint8_t> read_entry(const Entry& entry) const override;
  [[noreturn]] void throw_entry(const std::string& path, zip_error_t* error) const;

  fs::path path_;
  std::vector<uint8_t> bytes_;
  std::vector<std::pair<std::string, uint64_t>> index_;  // path and place in the zip, sorted by path
  mutable std::mutex mutex_;
  mutable std::vector<ZipHandle> idle_;
};

ZipHandle ZipSource::open() const {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* source = bytes_.empty() ? zip_source_file_create(path_.c_str(), 0, 0, &error)
                                        : zip_source_buffer_create(bytes_.data(), bytes_.size(), 0, &error);
  zip_t* zip = source ? zip_open_from_source(source, ZIP_RDONLY, &error) : nullptr;
  if (!zip) {
    if (source) zip_source_free(source);
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    throw DataError(fmt::format("{}: not a zip file, or a damaged one ({})", name(), reason), "was it copied whole? `unzip -t` checks it");
  }
  zip_error_fini(&error);
  return ZipHandle(zip);
}

void ZipSource::list() {
  ZipHandle zip = open();
  std::vector<Entry> found;
  const zip_int64_t count = zip_get_num_entries(zip.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t stat;
    if (zip_stat_index(zip.get(), static_cast<zip_uint64_t>(i), 0, &stat) != 0 || !(stat.valid & ZIP_STAT_NAME)) continue;
    std::string path = stat.name;
    std::replace(path.begin(), path.end(), '\\', '/');  // as some Windows programs write them
    if (path.empty() || path.back() == '/') continue;
    index_.emplace_back(path, static_cast<uint64_t>(i));
    found.push_back({std::move(path), stat.valid & ZIP_STAT_SIZE ? stat.size : 0});
  }
  std::stable_sort(index_.begin(), index_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  set_entries(std::move(found));
  put_back(std::move(zip));
}

ZipHandle ZipSource::take() const {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      ZipHandle handle = std::move(idle_.back());
      idle_.pop_back();
      return handle;
    }
  }
  return open();
}

void ZipSource::put_back(ZipHandle handle) const {
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(handle));
}

void ZipSource::throw_entry(const std::string& path, zip_error_t* error) const {
  const int code = zip_error_code_zip(error);
  if (code == ZIP_ER_NOPASSWD || code == ZIP_ER_WRONGPASSWD) {
    throw DataError(fmt::format("{}: {} is encrypted", name(), path), "pack it again without a password");
  }
  throw DataError(fmt::format("{}: {} cannot be read ({})", name(), path, zip_error_strerror(error)), "was the zip copied whole?");
}

std::vector<uint8_t> ZipSource::read_entry(const Entry& entry) const {
  const auto place =
      std::lower_bound(index_.begin(), index_.end(), entry.path, [](const auto& a, const std::string& p) { return a.first < p; });
  const Borrowed zip(*this);
  const ZipFile file(zip_fopen_index(zip.get(), place->second, 0));
  if (!file) throw_entry(entry.path, zip_get_error(zip.get()));
  // The stated size may be a lie, so memory follows what really comes; reading past the end makes libzip compare the checksum.
  std::vector<uint8_t> bytes;
  uint64_t filled = 0;
  while (true) {
    if (filled == bytes.size()) bytes.resize(filled == 0 ? std::min(entry.size, kReadStep) + 1 : std::min(2 * filled, kMaxEntryBytes + 1));
    const zip_int64_t got = zip_fread(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0) throw_entry(entry.path, zip_file_get_error(file.get()));
    if (got == 0) break;
    filled += static_cast<uint64_t>(got);
    check_size(name(), entry.path, filled);
  }
  bytes.resize(filled);
  if (filled != entry.size) {
    throw DataError(fmt::format("{}: {} has {} bytes and the archive says {}", name(), entry.path, filled, entry.size),
                    "was the zip copied whole?");
  }
  return bytes;
}

// ---- folder ----

std::vector<uint8_t> read_file(const fs::path& path, const std::string& source, const std::string& entry, uint64_t expected) {
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> bytes(expected + 1);  // one more shows a file that grew
  if (file) file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file.is_open() || file.bad()) throw DataError(fmt::format("{}: {} cannot be read", source, entry), "may it be read by you?");
  if (static_cast<uint64_t>(file.gcount()) != expected) {
    throw DataError(fmt::format("{}: {} changed its size while it was read", source, entry));
  }
  bytes.resize(expected);
  return bytes;
}

class FolderSource final : public Source {
 public:
  explicit FolderSource(fs::path root) : Source(root.string()), root_(std::move(root)) {
    try {
      list();
    } catch (const fs::filesystem_error& e) {
      throw DataError(fmt::format("{}: cannot be listed: {} ({})", name(), e.path1().string(), e.code().message()),
                      "may it be read by you?");
    }
  }

 private:
  void list() {
    std::vector<Entry> found;
    std::set<fs::path> linked{fs::canonical(root_)};  // folders reached through links, so that a circle of links ends
    const auto options = fs::directory_options::follow_directory_symlink;
    for (auto it = fs::recursive_directory_iterator(root_, options); it != fs::recursive_directory_iterator(); ++it) {
      const std::string file_name = it->path().filename().string();
      std::error_code broken_link;
      if (it->is_directory(broken_link)) {
        if (file_name.starts_with('.') || (it->is_symlink() && !linked.insert(fs::canonical(it->path())).second))
          it.disable_recursion_pending();
      } else if (it->is_regular_file(broken_link) && !file_name.starts_with('.')) {
        found.push_back({it->path().lexically_relative(root_).generic_string(), it->file_size()});
      }
    }
    set_entries(std::move(found));
  }

  std::vector<uint8_t> read_entry(const Entry& entry) const override {
    check_size(name(), entry.path, entry.size);
    return read_file(root_ / entry.path, name(), entry.path, entry.size);
  }

  fs::path root_;
};

std::shared_ptr<const Source> not_empty(std::shared_ptr<const Source> source) {
  if (source->entries().empty())
    throw DataError(fmt::format("{}: it holds no file", source->name()), "pictures are expected in <class>/<picture>");
  return source;
}

}  // namespace

// ---- what both share ----

void Source::set_entries(std::vector<Entry> entries) {
  std::erase_if(entries, [](const Entry& entry) { return is_hidden(entry.path); });
  for (const Entry& entry : entries) {
    if (!leads_out(entry.path)) continue;
    throw DataError(fmt::format("{}: it holds the path \"{}\", which leads out of it", name_, entry.path),
                    "pack it again with paths relative to one folder");
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.path < b.path; });
  const auto same = [](const Entry& a, const Entry& b) { return a.path == b.path; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
  entries_ = std::move(entries);
}

const Entry* Source::find(std::string_view path) const {
  const auto place =
      std::lower_bound(entries_.begin(), entries_.end(), path, [](const Entry& a, std::string_view p) { return a.path < p; });
  return place != entries_.end() && place->path == path ? &*place : nullptr;
}

bool Source::contains(std::string_view path) const { return find(path) != nullptr; }

std::vector<uint8_t> Source::read(std::string_view path) const {
  const Entry* entry = find(path);
  if (!entry) throw DataError(fmt::format("{}: it holds no \"{}\"", name_, path));
  check_size(name_, entry->path, entry->size);
  return read_entry(*entry);
}

std::shared_ptr<const Source> open_source(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    throw DataError(fmt::format("{}: there is no such file or folder", path.string()),
                    "pictures come as a zip or a folder of <class>/<picture>");
  }
  if (fs::is_directory(status)) return not_empty(std::make_shared<FolderSource>(path));
  if (!fs::is_regular_file(status)) throw DataError(fmt::format("{}: neither a file nor a folder", path.string()));
  if (fs::file_size(path) == 0) throw DataError(fmt::format("{}: the file is empty", path.string()), "was it copied whole?");
  return not_empty(std::make_shared<ZipSource>(path, std::vector<uint8_t>{}, path.string()));
}

std::shared_ptr<const Source> open_source(std::vector<uint8_t> zip, std::string name) {
  if (zip.empty()) throw DataError(fmt::format("{}: the zip has no bytes", name));
  return not_empty(std::make_shared<ZipSource>(fs::path{}, std::move(zip), std::move(name)));
}

}  // namespace mirilla::data
