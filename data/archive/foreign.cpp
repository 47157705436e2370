// SPDX-License-Identifier: MIT
#include "data/archive/foreign.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace mirilla::data {

namespace {

using namespace std::string_view_literals;

/// A kind recognised by fixed bytes at a fixed place.
struct Mark {
  size_t at;
  std::string_view bytes;
  std::string_view what;
  std::string_view advice;
};

constexpr std::string_view kUnpackUnrar = "unpack it with `unrar x` or `7z x`, and use the resulting folder";
constexpr std::string_view kUnpack7z = "unpack it with `7z x`, and use the resulting folder";
constexpr std::string_view kUnpackTar = "unpack it with `tar xf`, and use the resulting folder";
constexpr std::string_view kPicturesAsFiles = "give the pictures as files in a zip or a folder of <class>/<picture>";

constexpr std::array kMarks = {
    Mark{0, "Rar!\x1A\x07"sv, "a RAR archive", kUnpackUnrar},
    Mark{0, "7z\xBC\xAF\x27\x1C"sv, "a 7z archive", kUnpack7z},
    Mark{257, "ustar"sv, "a tar archive", kUnpackTar},
    Mark{0, "\x1F\x8B"sv, "a gzip file", kUnpackTar},
    Mark{0, "BZh"sv, "a bzip2 file", kUnpackTar},
    Mark{0,
         "\xFD"
         "7zXZ\0"sv,
         "an xz file", kUnpackTar},
    Mark{0, "\x28\xB5\x2F\xFD"sv, "a zstd file", kUnpackTar},
    Mark{0, "\x04\x22\x4D\x18"sv, "an lz4 file", kUnpackTar},
    Mark{0, "LZIP"sv, "an lzip file", kUnpackTar},
    Mark{0, "MSCF"sv, "a Windows cabinet", kUnpack7z},
    Mark{0, "xar!"sv, "a macOS archive (xar)", kUnpack7z},
    Mark{0, "MZ"sv, "a Windows program", "if it is an archive that unpacks itself, unpack it with `7z x`, and use the resulting folder"},
    Mark{0, "\x89HDF\r\n\x1A\n"sv, "an HDF5 file", kPicturesAsFiles},
    Mark{0, "PAR1"sv, "a Parquet table", kPicturesAsFiles},
    Mark{0, "\x93NUMPY"sv, "a NumPy array", kPicturesAsFiles},
    Mark{0, "SQLite format 3"sv, "an SQLite database", kPicturesAsFiles},
    Mark{0, "%PDF"sv, "a PDF document", kPicturesAsFiles},
    Mark{0, "d8:announce"sv, "a torrent, which only says where to download the data", "download the data itself with a torrent program"},
    Mark{0, "version https://git-lfs.github.com/spec/"sv, "a Git LFS pointer instead of the file",
         "`git lfs pull` fetches the file itself"},
};

bool has(std::span<const uint8_t> head, size_t at, std::string_view bytes) {
  return head.size() >= at + bytes.size() && std::equal(bytes.begin(), bytes.end(), head.begin() + static_cast<ptrdiff_t>(at),
                                                        [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

std::string small_letters(std::string_view text) {
  std::string small(text);
  for (char& c : small) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return small;
}

/// photos.z01 of `zip -s`, photos.zip.001 of `split` and 7z.
bool is_part_name(std::string_view small) {
  const size_t dot = small.rfind('.');
  if (dot == std::string_view::npos || small.size() != dot + 4) return false;
  const auto digit = [&](size_t i) { return small[dot + i] >= '0' && small[dot + i] <= '9'; };
  return digit(2) && digit(3) && (digit(1) || small[dot + 1] == 'z');
}

/// A text's first letters without a byte order mark and blanks, in small letters.
std::string beginning_of_text(std::span<const uint8_t> head) {
  std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text[0]))) text.remove_prefix(1);
  return small_letters(text.substr(0, 64));
}

bool is_text(std::span<const uint8_t> head) {
  return std::all_of(head.begin(), head.end(), [](uint8_t c) { return c >= 0x20 || c == '\t' || c == '\n' || c == '\r' || c == '\f'; });
}

std::optional<ForeignFile> foreign_text(std::span<const uint8_t> head) {
  const std::string text = beginning_of_text(head);
  constexpr const char* kFailedDownload = "the download gave a page instead of the file: it may need a login, or another address";
  if (text.starts_with("<!doctype html") || text.starts_with("<html") || text.starts_with("<head") || text.starts_with("<!--"))
    return ForeignFile{"a web page", kFailedDownload};
  if (text.starts_with("<?xml")) return ForeignFile{"an XML page", kFailedDownload};
  if (is_text(head)) return ForeignFile{"a text file", kFailedDownload};
  return std::nullopt;
}

/// The kinds within ISO's media files, by their brand.
std::string_view media_kind(std::span<const uint8_t> head) {
  if (!has(head, 4, "ftyp")) return {};
  for (const std::string_view brand : {"avif"sv, "avis"sv})
    if (has(head, 8, brand)) return "AVIF";
  for (const std::string_view brand : {"heic"sv, "heix"sv, "heim"sv, "heis"sv, "hevc"sv, "hevx"sv, "mif1"sv, "msf1"sv})
    if (has(head, 8, brand)) return "HEIC";
  if (has(head, 8, "crx ")) return "CR3";
  return {};
}

}  // namespace

std::string_view picture_kind(std::span<const uint8_t> head) {
  struct Kind {
    std::string_view bytes, name;
  };
  static constexpr std::array kKinds = {
      Kind{"\xFF\xD8\xFF"sv, "JPEG"},
      Kind{"\x89PNG\r\n\x1A\n"sv, "PNG"},
      Kind{"GIF8"sv, "GIF"},
      Kind{"8BPS"sv, "PSD"},
      Kind{"II*\0"sv, "TIFF"},
      Kind{"MM\0*"sv, "TIFF"},
      Kind{"\0\0\0\x0CJXL "sv, "JPEG XL"},
      Kind{"\xFF\x0A"sv, "JPEG XL"},
      Kind{"\0\0\0\x0CjP  \r\n"sv, "JPEG 2000"},
      Kind{"\xFF\x4F\xFF\x51"sv, "JPEG 2000"},
      Kind{"\0\0\1\0"sv, "ICO"},
      Kind{"DDS "sv, "DDS"},
  };
  for (const Kind& kind : kKinds)
    if (has(head, 0, kind.bytes)) return kind.name;
  if (has(head, 0, "RIFF") && has(head, 8, "WEBP")) return "WebP";
  if (has(head, 0, "BM") && head.size() > 14 && has(head, 6, "\0\0\0\0"sv))
    return "BMP";  // check the reserved bytes, since "BM" also begins ordinary words
  if (head.size() > 3 && head[0] == 'P' && head[1] >= '1' && head[1] <= '6' && std::isspace(head[2])) return "PNM";
  return media_kind(head);
}

bool is_archive_name(std::string_view path) {
  const std::string small = small_letters(path);
  static constexpr std::array kEndings = {".zip"sv, ".rar"sv, ".7z"sv,  ".tar"sv, ".tgz"sv, ".gz"sv,
                                          ".bz2"sv, ".xz"sv,  ".txz"sv, ".zst"sv, ".tbz"sv, ".lz4"sv};
  return is_part_name(small) || std::any_of(kEndings.begin(), kEndings.end(), [&](std::string_view end) { return small.ends_with(end); });
}

std::optional<ForeignFile> foreign_file(std::span<const uint8_t> head, std::string_view name) {
  const std::string small = small_letters(name);
  if (std::all_of(head.begin(), head.end(), [](uint8_t c) { return c == 0; }))
    return ForeignFile{"a file that begins only with zeros", "an interrupted copy or download leaves such a file"};
  if (is_part_name(small) || has(head, 0, "PK\x07\x08"))
    return ForeignFile{"one part of an archive that was split",
                       "join the parts (`zip -s 0 photos.zip --out whole.zip`, or `cat photos.zip.* > whole.zip`) and use the joined file"};
  if (const std::string_view kind = picture_kind(head); !kind.empty())
    return ForeignFile{fmt::format("one picture ({})", kind), "give a zip or a folder of <class>/<picture>"};
  for (const Mark& mark : kMarks)
    if (has(head, mark.at, mark.bytes)) return ForeignFile{std::string(mark.what), std::string(mark.advice)};
  if (small.ends_with(".tar")) return ForeignFile{"a tar archive by its name", std::string(kUnpackTar)};
  for (const std::string_view unfinished : {".crdownload"sv, ".part"sv, ".partial"sv, ".download"sv})
    if (small.ends_with(unfinished))
      return ForeignFile{"an unfinished download by its name", "wait until it is finished, or fetch it again"};
  return foreign_text(head);
}

}  // namespace mirilla::data
