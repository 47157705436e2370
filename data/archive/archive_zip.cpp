// SPDX-License-Identifier: MIT
#include <sys/stat.h>
#include <zip.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <mutex>
#include <system_error>
#include <utility>

#include "data/archive/archive_sources.h"
#include "data/archive/foreign.h"
#include "data/archive/names.h"
#include "kernels/core/error.h"

namespace mirilla::data::detail {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kReadStep = uint64_t{1} << 20;

struct CloseZip {
  void operator()(zip_t* zip) const { zip_discard(zip); }
};
using ZipHandle = std::unique_ptr<zip_t, CloseZip>;

struct CloseZipFile {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};
using ZipFile = std::unique_ptr<zip_file_t, CloseZipFile>;

/// A zip stores a link as a file that contains the link's target.
bool is_link(zip_t* zip, zip_uint64_t place) {
  constexpr zip_uint32_t kFileTypeShift = 16;
  zip_uint8_t system = 0;
  zip_uint32_t attributes = 0;
  return zip_file_get_external_attributes(zip, place, 0, &system, &attributes) == 0 && system == ZIP_OPSYS_UNIX &&
         S_ISLNK(attributes >> kFileTypeShift);
}

/// The common name of a zip's compression method.
std::string packing_name(int method) {
  static constexpr std::pair<int, const char*> kNames[] = {{1, "Shrink"}, {6, "Implode"}, {9, "Deflate64"}, {12, "bzip2"}, {14, "LZMA"},
                                                           {93, "zstd"},  {95, "xz"},     {96, "JPEG"},     {98, "PPMd"}};
  for (const auto& [number, name] : kNames)
    if (number == method) return name;
  return fmt::format("method {}", method);
}

/// Why one file cannot be read.
std::string reason_of_entry(zip_error_t* error) {
  switch (zip_error_code_zip(error)) {
    case ZIP_ER_NOPASSWD:
    case ZIP_ER_WRONGPASSWD:
    case ZIP_ER_ENCRNOTSUPP: return "it is locked with a password";
    case ZIP_ER_COMPNOTSUPP: return "it is compressed by a method that is not supported here";
    case ZIP_ER_CRC: return "its checksum is wrong";
    case ZIP_ER_MEMORY: return "there is not enough memory";
    case ZIP_ER_EOF: return "it is cut off";
    case ZIP_ER_READ:
    case ZIP_ER_OPEN:
    case ZIP_ER_SEEK: return reason_of({zip_error_code_system(error), std::generic_category()});
    default: return "its data in the zip is damaged";
  }
}

/// Throws where a component, or the path, is longer than file systems take: no file packed from a file system is.
void check_length(const std::string& source, std::string_view path) {
  constexpr size_t kMostPath = 4096, kMostComponent = 1024;
  bool long_component = false;
  for (size_t begin = 0; begin < path.size() && !long_component;) {
    const size_t end = std::min(path.find('/', begin), path.size());
    long_component = end - begin > kMostComponent;
    begin = end + 1;
  }
  if (path.size() <= kMostPath && !long_component) return;
  throw DataError(fmt::format("{}: it contains a name of {} bytes ({}), longer than any file system allows", source, path.size(),
                              shortened(shown(path), 60)),
                  "was it made by a program? its names should be <class>/<picture>");
}

void check_stays_inside(const std::string& source, std::string_view path) {
  bool out = path.starts_with('/') || (path.size() > 1 && path[1] == ':');
  for (size_t begin = 0; begin <= path.size() && !out;) {
    const size_t end = std::min(path.find('/', begin), path.size());
    out = path.substr(begin, end - begin) == "..";
    begin = end + 1;
  }
  if (!out) return;
  throw DataError(fmt::format("{}: it contains the path \"{}\", which leads outside", source, shown(path)),
                  "pack it again with paths relative to one folder");
}

/// Without empty components and dots: "./a//b" -> "a/b".
std::string tidied(std::string_view path) {
  std::string tidy;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    const bool last = end == path.size();
    if (!part.empty() && part != ".") tidy += part;
    if (!last && !part.empty() && part != ".") tidy += '/';
    begin = end + 1;
  }
  return tidy;
}

/// Only one thread at a time may use a libzip handle, so each read borrows one; there are as many handles as concurrent reads so far.
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
  void check_readable(zip_t* zip) const;
  ZipHandle open() const;
  ZipHandle take() const;
  void put_back(ZipHandle handle) const;
  std::vector<uint8_t> head() const;
  std::vector<uint8_t> read_entry(const Entry& entry) const override;
  [[noreturn]] void throw_open(int code, int system_code) const;
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
  const int code = zip_error_code_zip(&error), system_code = zip_error_code_system(&error);
  zip_error_fini(&error);
  if (!zip) {
    if (source) zip_source_free(source);
    throw_open(code, system_code);
  }
  return ZipHandle(zip);
}

std::vector<uint8_t> ZipSource::head() const {
  std::vector<uint8_t> bytes(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(std::min(bytes_.size(), kForeignHeadBytes)));
  if (!bytes_.empty()) return bytes;
  bytes.resize(kForeignHeadBytes);
  std::ifstream file(path_, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return bytes;
}

void ZipSource::throw_open(int code, int system_code) const {
  if (code == ZIP_ER_OPEN || code == ZIP_ER_READ || code == ZIP_ER_SEEK || code == ZIP_ER_NOENT)
    throw DataError(fmt::format("{}: the file cannot be read: {}", name(), reason_of({system_code, std::generic_category()})));
  if (code == ZIP_ER_MULTIDISK)
    throw DataError(fmt::format("{}: the last part of a zip that was split", name()),
                    "join the parts (`zip -s 0 photos.zip --out whole.zip`) and use the joined zip");
  const std::vector<uint8_t> begin = head();
  const bool is_zip = begin.size() >= 4 && begin[0] == 'P' && begin[1] == 'K' && begin[2] == 3 && begin[3] == 4;
  if (const auto foreign = foreign_file(begin, path_.empty() ? name() : path_.filename().string()))
    throw DataError(fmt::format("{}: not a zip file but {}", name(), foreign->what), foreign->advice);
  if (!is_zip) throw DataError(fmt::format("{}: not a zip file", name()), "pictures come as a zip or a folder of <class>/<picture>");
  if (code == ZIP_ER_NOZIP)
    throw DataError(fmt::format("{}: the end of the zip is missing, which contains its list of files", name()),
                    "the copy or download is incomplete; fetch it again");
  throw DataError(fmt::format("{}: a damaged zip: its list of files contradicts itself", name()), "fetch it again; `unzip -t` checks it");
}

/// Where no file at all can be read, naming each would not help.
void ZipSource::check_readable(zip_t* zip) const {
  size_t locked = 0, foreign = 0;
  int method = 0;
  for (const auto& [path, place] : index_) {
    zip_stat_t stat;
    if (zip_stat_index(zip, place, 0, &stat) != 0) continue;
    if (stat.valid & ZIP_STAT_ENCRYPTION_METHOD && stat.encryption_method != ZIP_EM_NONE) {
      ++locked;
    } else if (stat.valid & ZIP_STAT_COMP_METHOD && !zip_compression_method_supported(stat.comp_method, 0)) {
      ++foreign;
      method = stat.comp_method;
    }
  }
  if (index_.empty() || locked + foreign < index_.size()) return;
  if (locked > 0)
    throw DataError(fmt::format("{}: its files are locked with a password", name()),
                    "unpack it with the password (`unzip` asks for it) and use the folder, or pack it again without a password");
  throw DataError(fmt::format("{}: its files are compressed with {}, which is not supported here", name(), packing_name(method)),
                  "unpack it, with `7z x`, and use the folder, or pack it again with `zip`");
}

void ZipSource::list() {
  ZipHandle zip = open();
  std::vector<Entry> found;
  std::vector<std::string> folders;
  std::vector<Unusable> unusable;
  const zip_int64_t count = zip_get_num_entries(zip.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t stat;
    if (zip_stat_index(zip.get(), static_cast<zip_uint64_t>(i), 0, &stat) != 0 || !(stat.valid & ZIP_STAT_NAME)) continue;
    std::string path = stat.name;
    std::replace(path.begin(), path.end(), '\\', '/');  // some Windows programs write backslashes
    check_length(name(), path);
    check_stays_inside(name(), path);
    path = shown(tidied(path));
    if (path.empty()) continue;
    if (path.back() == '/') {
      path.pop_back();
      folders.push_back(std::move(path));
      continue;
    }
    if (is_link(zip.get(), static_cast<zip_uint64_t>(i))) {
      unusable.push_back({std::move(path), "a link that is not followed in a zip"});
      continue;
    }
    index_.emplace_back(path, static_cast<uint64_t>(i));
    found.push_back({std::move(path), stat.valid & ZIP_STAT_SIZE ? stat.size : 0});
  }
  std::stable_sort(index_.begin(), index_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  check_readable(zip.get());
  set_contents(std::move(found), std::move(folders), std::move(unusable));
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
  throw DataError(fmt::format("{}: {} cannot be read: {}", name(), path, reason_of_entry(error)), "was the zip copied completely?");
}

std::vector<uint8_t> ZipSource::read_entry(const Entry& entry) const {
  const auto place =
      std::lower_bound(index_.begin(), index_.end(), entry.path, [](const auto& a, const std::string& p) { return a.first < p; });
  const Borrowed zip(*this);
  const ZipFile file(zip_fopen_index(zip.get(), place->second, 0));
  if (!file) throw_entry(entry.path, zip_get_error(zip.get()));
  // The stated size may be wrong, so memory grows with the bytes read; reading past the end makes libzip compare the checksum.
  std::vector<uint8_t> bytes;
  uint64_t filled = 0;
  while (true) {
    if (filled == bytes.size()) bytes.resize(filled == 0 ? std::min(entry.size, kReadStep) + 1 : std::min(2 * filled, kMaxEntryBytes + 1));
    const zip_int64_t got = zip_fread(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (got < 0) throw_entry(entry.path, zip_file_get_error(file.get()));
    if (got == 0) break;
    filled += static_cast<uint64_t>(got);
    check_entry_size(name(), entry.path, filled);
  }
  bytes.resize(filled);
  if (filled != entry.size) {
    throw DataError(fmt::format("{}: {} has {} bytes and the archive says {}", name(), entry.path, filled, entry.size),
                    "was the zip copied completely?");
  }
  return bytes;
}

}  // namespace

std::shared_ptr<const Source> open_zip(const fs::path& path, std::vector<uint8_t> bytes, std::string name) {
  return std::make_shared<ZipSource>(path, std::move(bytes), std::move(name));
}

}  // namespace mirilla::data::detail
