// SPDX-License-Identifier: MIT
#include "data/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernels/error.h"

namespace mirilla::data {
namespace {

[[noreturn]] void fail(const std::string& path, int reason) {
  throw DataError(fmt::format("cannot write {}: {}", path, std::strerror(reason)),
                  "does its folder exist, is it writable, is there space left?");
}

// The number of the error, 0 when all went well.
int write_all(int file, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(file, bytes.data(), bytes.size());
    if (done < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
  return ::fsync(file) == 0 ? 0 : errno;
}

}  // namespace

void write_file_atomically(const std::string& path, std::span<const uint8_t> bytes) {
  static std::atomic<int> count{0};
  const std::string temporary = fmt::format("{}.part-{}-{}", path, ::getpid(), count++);
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file < 0) fail(path, errno);
  int error = write_all(file, bytes);
  if (::close(file) != 0 && error == 0) error = errno;
  if (error == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary.c_str());
    fail(path, error);
  }
}

}  // namespace mirilla::data
