// SPDX-License-Identifier: MIT
#include "kernels/atomic_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "kernels/error.h"

namespace mirilla {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void throw_unwritable(const fs::path& path, std::string_view why) {
  throw Error(fmt::format("'{}' cannot be written: {}", path.string(), why),
              "does the folder exist, may you write there, and is there space left?");
}

/// Removes the temporary file unless it was renamed away.
class Temporary {
 public:
  explicit Temporary(const fs::path& target) {
    static std::atomic<unsigned> counter = 0;  // two threads may write the same file
    path_ = target;
    path_.replace_filename(fmt::format(".{}.{}-{}.part", target.filename().string(), ::getpid(), counter++));
  }
  ~Temporary() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Where the bytes really go: a link's target, so that the link survives the rename.
fs::path resolve_target(const fs::path& path) {
  std::error_code failed;
  if (path.filename().empty()) throw_unwritable(path, "it names a folder and not a file");
  fs::path target = path;
  if (fs::is_symlink(fs::symlink_status(path, failed))) {
    target = fs::weakly_canonical(path, failed);
    if (failed) throw_unwritable(path, failed.message());
  }
  if (fs::is_directory(target, failed)) throw_unwritable(path, "it is a folder");
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, failed)) throw_unwritable(path, fmt::format("there is no folder '{}'", folder.string()));
  return target;
}

void fill(const fs::path& file, const fs::path& named, const std::function<void(std::ostream&)>& writer) {
  errno = 0;
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  if (!stream) throw_unwritable(named, std::strerror(errno));
  writer(stream);
  stream.close();
  if (!stream) throw_unwritable(named, errno != 0 ? std::strerror(errno) : "a write came up short");
}

void rename_over(const fs::path& temporary, const fs::path& target, const fs::path& named) {
  std::error_code failed;
  fs::rename(temporary, target, failed);
  if (failed) throw_unwritable(named, failed.message());
}

}  // namespace

void write_atomically(const fs::path& path, const std::function<void(std::ostream&)>& writer) {
  const fs::path target = resolve_target(path);
  std::error_code failed;
  if (fs::is_other(target, failed)) return fill(target, path, writer);  // a device or a pipe: nothing to rename over
  const Temporary temporary(target);
  fill(temporary.path(), path, writer);
  rename_over(temporary.path(), target, path);
}

void write_atomically(const fs::path& path, std::string_view bytes) {
  write_atomically(path, [&](std::ostream& out) { out.write(bytes.data(), static_cast<std::streamsize>(bytes.size())); });
}

void write_atomically(const fs::path& path, std::span<const uint8_t> bytes) {
  write_atomically(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

}  // namespace mirilla
