// SPDX-License-Identifier: MIT
#include "data/pictures/decode.h"

#include <fstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "data/archive/archive.h"
#include "data/archive/names.h"
#include "data/pictures/chunks.h"
#include "data/pictures/decode_kinds.h"
#include "data/pictures/orientation.h"
#include "data/pictures/undecoded.h"
#include "kernels/core/error.h"

namespace mirilla::data {

namespace detail {

void check_picture_size(int64_t width, int64_t height, std::string_view name, int64_t most_pixels) {
  if (width < 1 || height < 1) throw DataError(fmt::format("{}: the picture has no pixels ({}x{})", name, width, height));
  if (height > most_pixels / width) {
    throw DataError(fmt::format("{}: {}x{} pixels are more than the limit of {} million", name, width, height, most_pixels / 1'000'000));
  }
}

void check_pixels_fit(int64_t width, int64_t height, size_t bytes, std::string_view name) {
  if (width * height > kMostPixelsPerByte * static_cast<int64_t>(bytes)) {
    throw DataError(fmt::format("{}: {} bytes cannot hold {}x{} pixels", name, bytes, width, height), "the file is cut off or damaged");
  }
}

bool is_jpeg(std::span<const uint8_t> bytes) { return begins_with(bytes, "\xFF\xD8\xFF"); }
bool is_webp(std::span<const uint8_t> bytes) { return begins_with(bytes, "RIFF") && has_at(bytes, 8, "WEBP"); }

}  // namespace detail

namespace {

[[noreturn]] void throw_undecoded(std::span<const uint8_t> bytes, std::string_view name) {
  const detail::UndecodedKind kind = detail::undecoded_kind(bytes);
  constexpr const char* kNoPicture = "not a picture of a supported kind";
  if (kind.what.empty())
    throw DataError(fmt::format("{}: {}", name, kNoPicture), "jpg, png, webp, bmp, gif, tga, psd, ppm and pgm are supported");
  throw DataError(fmt::format("{}: this is {}, {}", name, kind.what, kNoPicture), std::string(kind.hint));
}

Picture decode_pixels(std::span<const uint8_t> bytes, std::string_view name, int64_t most_pixels) {
  if (detail::is_jpeg(bytes)) return detail::decode_jpeg(bytes, name, most_pixels);
  if (detail::is_webp(bytes)) return detail::decode_webp(bytes, name, most_pixels);
  if (detail::is_bmp(bytes)) return detail::decode_bmp(bytes, name, most_pixels);
  if (detail::is_gif(bytes)) return detail::decode_gif(bytes, name, most_pixels);
  if (detail::is_other(bytes)) return detail::decode_other(bytes, name, most_pixels);
  throw_undecoded(bytes, name);
}

}  // namespace

DecodedFile decode_file(std::span<const uint8_t> bytes, std::string_view name, const DecodeOptions& options) {
  if (bytes.empty())
    throw DataError(fmt::format("{}: the file is empty", name), "it was not copied completely: copy it again, or remove it");
  if (bytes.size() > kMaxEntryBytes)
    throw DataError(fmt::format("{}: {} MiB are more than the limit of {}", name, bytes.size() >> 20, kMaxEntryBytes >> 20));
  DecodedFile file{.picture = decode_pixels(bytes, name, options.most_pixels), .orientation = exif_orientation(bytes)};
  if (options.exif_rotate) file.picture = upright(std::move(file.picture), file.orientation);
  return file;
}

Picture decode(std::span<const uint8_t> bytes, std::string_view name, const DecodeOptions& options) {
  return decode_file(bytes, name, options).picture;
}

DecodedFile load_file(const std::filesystem::path& path, const DecodeOptions& options) {
  const std::string name = shown(path.string());
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) throw DataError(fmt::format("{}: there is no such picture", name));
  if (!std::filesystem::is_regular_file(status)) throw DataError(fmt::format("{}: not a file", name));
  const uint64_t size = std::filesystem::file_size(path, error);
  if (!error && size > kMaxEntryBytes)
    throw DataError(fmt::format("{}: {} MiB are more than the limit of {}", name, size >> 20, kMaxEntryBytes >> 20));
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> bytes(error ? 0 : size);
  if (file) file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (error || !file || static_cast<uint64_t>(file.gcount()) != size)
    throw DataError(fmt::format("{}: the file cannot be read", name), "do you have permission to read it?");
  return decode_file(bytes, name, options);
}

Picture load_picture(const std::filesystem::path& path, const DecodeOptions& options) { return load_file(path, options).picture; }

}  // namespace mirilla::data
