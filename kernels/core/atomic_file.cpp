// SPDX-License-Identifier: MIT
#include "kernels/core/atomic_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <fstream>
#include <system_error>

#include "kernels/core/error.h"
#include "kernels/core/system_reason.h"

namespace mirilla {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void throw_unwritable(const fs::path& path, std::string_view why) {
  throw Error(fmt::format("'{}' cannot be written: {}", path.string(), why),
              "does the folder exist, may you write there, and is there space left?");
}

/// The name of a file that is being written, kept where a signal handler finds it.
struct Unfinished {
  std::atomic<bool> taken = false, named = false;
  std::array<char, PATH_MAX> path{};
};
std::array<Unfinished, 16> unfinished;  // a signal leaves further temporary files behind, under hidden names

/// Keeps a name in `unfinished` as long as it lives.
class Listed {
 public:
  explicit Listed(const std::string& path) {
    if (path.size() >= PATH_MAX) return;
    for (Unfinished& slot : unfinished) {
      if (slot.taken.exchange(true)) continue;
      slot_ = &slot;
      slot.path[path.copy(slot.path.data(), path.size())] = '\0';
      slot.named = true;
      return;
    }
  }
  ~Listed() {
    if (!slot_) return;
    slot_->named = false;
    slot_->taken = false;
  }
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;

 private:
  Unfinished* slot_ = nullptr;
};

fs::path temporary_name(const fs::path& target) {
  static std::atomic<unsigned> counter = 0;  // two threads may write the same file
  fs::path path = target;
  path.replace_filename(fmt::format(".{}.{}-{}.part", target.filename().string(), ::getpid(), counter++));
  return path;
}

/// Removes the temporary file unless it was renamed away.
class Temporary {
 public:
  explicit Temporary(const fs::path& target) : path_(temporary_name(target)), listed_(path_.string()) {}
  ~Temporary() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  Listed listed_;
};

/// The file that receives the bytes: a link's target, so that the link survives the rename.
fs::path resolve_target(const fs::path& path) {
  std::error_code failed;
  if (path.filename().empty()) throw_unwritable(path, "it names a folder and not a file");
  fs::path target = path;
  if (fs::is_symlink(fs::symlink_status(path, failed))) {
    target = fs::weakly_canonical(path, failed);
    if (failed) throw_unwritable(path, system_reason(failed));
  }
  if (fs::is_directory(target, failed)) throw_unwritable(path, "it is a folder");
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, failed)) throw_unwritable(path, fmt::format("there is no folder '{}'", folder.string()));
  return target;
}

void fill(const fs::path& file, const fs::path& named, const std::function<void(std::ostream&)>& writer) {
  errno = 0;
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  if (!stream) throw_unwritable(named, system_reason(errno));
  writer(stream);
  stream.close();
  if (!stream) throw_unwritable(named, errno != 0 ? system_reason(errno) : "a write came up short");
}

void rename_over(const fs::path& temporary, const fs::path& target, const fs::path& named) {
  std::error_code failed;
  fs::rename(temporary, target, failed);
  if (failed) throw_unwritable(named, system_reason(failed));
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

void remove_unfinished_files() noexcept {
  for (const Unfinished& slot : unfinished)
    if (slot.named) ::unlink(slot.path.data());
}

}  // namespace mirilla
