// SPDX-License-Identifier: MIT
#include "weights/file_bytes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

#include "kernels/core/error.h"
#include "kernels/core/system_reason.h"
#include "weights/state_dict.h"

namespace mirilla::weights {
namespace fs = std::filesystem;
namespace {

std::ifstream open_for_reading(const fs::path& path) {
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw WeightsError(fmt::format("{} cannot be read: {}", shown(path.string()), system_reason(errno)));
  return stream;
}

}  // namespace

size_t readable_size(const fs::path& path) {
  std::error_code failed;
  const fs::file_status status = fs::status(path, failed);
  if (!fs::exists(status))
    throw WeightsError(fmt::format("there is no weights file {}", shown(path.string())), "is the path spelled right?");
  if (fs::is_directory(status)) throw WeightsError(fmt::format("{} is a folder and not a weights file", shown(path.string())));
  if (!fs::is_regular_file(status)) throw WeightsError(fmt::format("{} is not a regular file", shown(path.string())));
  const auto size = fs::file_size(path, failed);
  if (failed) throw WeightsError(fmt::format("{} cannot be read: {}", shown(path.string()), system_reason(failed)));
  if (size == 0)
    throw WeightsError(fmt::format("the weights file {} is empty", shown(path.string())), "was its download or copy interrupted?");
  return size;
}

std::string first_bytes(const fs::path& path, size_t count) {
  std::string bytes(std::min(count, readable_size(path)), '\0');
  std::ifstream stream = open_for_reading(path);
  stream.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(stream.gcount()));
  return bytes;
}

FileBytes map_file(const fs::path& path) {
  const size_t size = readable_size(path);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  void* const begin = file < 0 ? MAP_FAILED : ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  const int reason = errno;
  if (file >= 0) ::close(file);
  if (begin == MAP_FAILED) throw WeightsError(fmt::format("{} cannot be read: {}", shown(path.string()), system_reason(reason)));
  return {{static_cast<const std::byte*>(begin), [size](const std::byte* mapped) { ::munmap(const_cast<std::byte*>(mapped), size); }},
          size};
}

std::string shown(std::string_view name) {
  constexpr size_t kLongest = 80;
  std::string text = "'";
  for (const char c : name.substr(0, kLongest)) text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (name.size() > kLongest) text += "...";
  return text + "'";
}

}  // namespace mirilla::weights
