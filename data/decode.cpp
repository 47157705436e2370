// SPDX-License-Identifier: MIT
#include "data/decode.h"

#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include "data/archive.h"
#include "data/decode_kinds.h"
#include "data/names.h"
#include "kernels/error.h"

namespace mirilla::data {

namespace detail {

void check_picture_size(int64_t width, int64_t height, size_t bytes, std::string_view name, int64_t most_pixels) {
  // Deflate's best is 1032 : 1, so a byte of a 1-bit PNG gives 8256 pixels; no other kind comes near. A tiny file with a huge size would
  // otherwise cost seconds and gigabytes before it turns out to be cut off.
  constexpr int64_t kMostPixelsPerByte = 10'000;
  if (width < 1 || height < 1) throw DataError(fmt::format("{}: the picture has no pixels ({}x{})", name, width, height));
  if (height > most_pixels / width) {
    throw DataError(
        fmt::format("{}: {}x{} pixels are more than the {} million that a picture may have", name, width, height, most_pixels / 1'000'000));
  }
  if (width * height > kMostPixelsPerByte * static_cast<int64_t>(bytes)) {
    throw DataError(fmt::format("{}: {} bytes cannot hold {}x{} pixels", name, bytes, width, height), "the file is cut off or damaged");
  }
}

}  // namespace detail

Picture decode(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels) {
  if (bytes.empty()) throw DataError(fmt::format("{}: the file is empty", name));
  if (bytes.size() > kMaxEntryBytes)
    throw DataError(fmt::format("{}: {} MiB are more than the {} that are read", name, bytes.size() >> 20, kMaxEntryBytes >> 20));
  const bool is_jpeg = bytes.size() >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
  return is_jpeg ? detail::decode_jpeg(bytes, name, most_pixels) : detail::decode_other(bytes, name, most_pixels);
}

Picture load_picture(const std::filesystem::path& path) {
  const std::string name = shown(path.string());
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw DataError(fmt::format("{}: there is no such picture", name));
  if (!std::filesystem::is_regular_file(status)) throw DataError(fmt::format("{}: not a file", name));
  const uint64_t size = std::filesystem::file_size(path, error);
  if (!error && size > kMaxEntryBytes)
    throw DataError(fmt::format("{}: {} MiB are more than the {} that are read", name, size >> 20, kMaxEntryBytes >> 20));
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> bytes(error ? 0 : size);
  if (file) file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (error || !file || static_cast<uint64_t>(file.gcount()) != size)
    throw DataError(fmt::format("{}: the file cannot be read", name), "may it be read by you?");
  return decode(bytes, name);
}

}  // namespace mirilla::data
