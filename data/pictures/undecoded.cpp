// SPDX-License-Identifier: MIT
#include "data/pictures/undecoded.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "data/pictures/chunks.h"

namespace mirilla::data::detail {

namespace {

using namespace std::string_view_literals;
using Bytes = std::span<const uint8_t>;

constexpr std::string_view kSave = "save it as JPEG or PNG";
constexpr std::string_view kDevelop = "convert it to JPEG, or use the JPEG that the camera made with it";
constexpr std::string_view kTakeFrames = "save frames of it as JPEG or PNG: `ffmpeg -i film frame%05d.png`";
constexpr std::string_view kExport = "save its pictures as JPEG or PNG";
constexpr std::string_view kUnpack = "unpack it, and use the pictures in it";
constexpr std::string_view kFetchAgain = "the download is not the picture: fetch it again";
constexpr std::string_view kRemove = "it can be deleted: it belongs to the system, not to the pictures";
constexpr std::string_view kNoPicture = "remove it from the folder of pictures";

/// A kind recognised by fixed bytes at a fixed place.
struct Mark {
  size_t at;
  std::string_view bytes, what, hint;
};

constexpr std::array kMarks = {
    // Pictures.
    Mark{0, "\0\0\0\x0CjP  \r\n\x87\n"sv, "a JPEG 2000 picture", kSave},
    Mark{0, "\xFF\x4F\xFF\x51"sv, "a JPEG 2000 picture", kSave},
    Mark{0, "\0\0\0\x0CJXL \r\n\x87\n"sv, "a JPEG XL picture", kSave},
    Mark{0, "\xFF\x0A"sv, "a JPEG XL picture", kSave},
    Mark{0, "icns"sv, "an icon (ICNS)", kSave},
    Mark{0, "BA"sv, "an OS/2 bitmap array", kSave},
    Mark{0, "v/1\1"sv, "an OpenEXR picture", kSave},
    Mark{0, "#?RADIANCE"sv, "a Radiance HDR picture", kSave},
    Mark{0, "#?RGBE"sv, "a Radiance HDR picture", kSave},
    Mark{0, "DDS "sv, "a DDS texture", kSave},
    Mark{0, "\xABKTX "sv, "a KTX texture", kSave},
    Mark{0, "qoif"sv, "a QOI picture", kSave},
    Mark{0, "farbfeld"sv, "a farbfeld picture", kSave},
    Mark{0, "BPG\xFB"sv, "a BPG picture", kSave},
    Mark{0, "FLIF"sv, "a FLIF picture", kSave},
    Mark{0, "\x8AMNG\r\n\x1A\n"sv, "an MNG animation", kSave},
    Mark{0, "\x8BJNG\r\n\x1A\n"sv, "a JNG picture", kSave},
    Mark{0, "\1\xDA"sv, "an SGI picture", kSave},
    Mark{0, "\x59\xA6\x6A\x95"sv, "a Sun raster picture", kSave},
    Mark{0, "/* XPM"sv, "an XPM picture", kSave},
    Mark{0, "gimp xcf"sv, "a picture of GIMP (XCF)", kSave},
    Mark{0, "AT&TFORM"sv, "a DjVu document", kExport},
    Mark{0, "SIMPLE  ="sv, "a FITS picture", kSave},
    Mark{128, "DICM"sv, "a DICOM picture", kSave},
    Mark{40, " EMF"sv, "a Windows metafile (EMF)", kSave},
    Mark{0, "\xD7\xCD\xC6\x9A"sv, "a Windows metafile (WMF)", kSave},
    Mark{0, "%!PS"sv, "PostScript", kExport},
    Mark{0, "\xC5\xD0\xD3\xC6"sv, "an EPS drawing", kExport},
    // Raw photos. Most are TIFF files, and some of these say so in the first bytes.
    Mark{8, "CR\2\0"sv, "a camera's raw photo (CR2)", kDevelop},
    Mark{0, "FUJIFILMCCD-RAW"sv, "a camera's raw photo (RAF)", kDevelop},
    Mark{0, "IIU\0"sv, "a camera's raw photo (RW2)", kDevelop},
    Mark{0, "IIRO"sv, "a camera's raw photo (ORF)", kDevelop},
    Mark{0, "IIRS"sv, "a camera's raw photo (ORF)", kDevelop},
    Mark{0, "MMOR"sv, "a camera's raw photo (ORF)", kDevelop},
    Mark{0, "\0MRM"sv, "a camera's raw photo (MRW)", kDevelop},
    Mark{0, "FOVb"sv, "a camera's raw photo (X3F)", kDevelop},
    Mark{6, "HEAPCCDR"sv, "a camera's raw photo (CRW)", kDevelop},
    Mark{0, "II*\0"sv, "a TIFF, or a camera's raw photo in one", kSave},
    Mark{0, "MM\0*"sv, "a TIFF, or a camera's raw photo in one", kSave},
    Mark{0, "II+\0"sv, "a BigTIFF", kSave},
    Mark{0, "MM\0+"sv, "a BigTIFF", kSave},
    // Films and sound.
    Mark{0, "\x1A\x45\xDF\xA3"sv, "a video (Matroska, WebM)", kTakeFrames},
    Mark{8, "AVI "sv, "a video (AVI)", kTakeFrames},
    Mark{0, "FLV\1"sv, "a video (FLV)", kTakeFrames},
    Mark{0, "\0\0\1\xBA"sv, "a video (MPEG)", kTakeFrames},
    Mark{0, "\0\0\1\xB3"sv, "a video (MPEG)", kTakeFrames},
    Mark{0, "\x30\x26\xB2\x75\x8E\x66\xCF\x11"sv, "a video (WMV)", kTakeFrames},
    Mark{4, "moov"sv, "a video (QuickTime)", kTakeFrames},
    Mark{4, "mdat"sv, "a video (QuickTime)", kTakeFrames},
    Mark{4, "wide"sv, "a video (QuickTime)", kTakeFrames},
    Mark{4, "pnot"sv, "a video (QuickTime)", kTakeFrames},
    Mark{0, "OggS"sv, "a video or sound (Ogg)", kTakeFrames},
    Mark{8, "WAVE"sv, "sound (WAV)", kNoPicture},
    Mark{0, "fLaC"sv, "sound (FLAC)", kNoPicture},
    Mark{0, "ID3"sv, "sound (MP3)", kNoPicture},
    // Documents and archives.
    Mark{0, "%PDF"sv, "a PDF document", kExport},
    Mark{0, "{\\rtf"sv, "a document (RTF)", kExport},
    Mark{0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"sv, "a document of Microsoft Office, or Windows' Thumbs.db", kExport},
    Mark{0, "PK\3\4"sv, "a zip archive, or a document that is one", kUnpack},
    Mark{0, "PK\5\6"sv, "an empty zip archive", kNoPicture},
    Mark{0, "Rar!\x1A\7"sv, "a RAR archive", kUnpack},
    Mark{0, "7z\xBC\xAF\x27\x1C"sv, "a 7z archive", kUnpack},
    Mark{0, "\x1F\x8B"sv, "a gzip file", kUnpack},
    Mark{0, "BZh"sv, "a bzip2 file", kUnpack},
    Mark{0, "\xFD\x37zXZ\0"sv, "an xz file", kUnpack},
    Mark{0, "\x28\xB5\x2F\xFD"sv, "a zstd file", kUnpack},
    Mark{257, "ustar"sv, "a tar archive", kUnpack},
    // Files left by programs and systems.
    Mark{0, "version https://git-lfs.github.com/spec/"sv, "a Git LFS pointer instead of the file",
         "`git lfs pull` fetches the picture itself"},
    Mark{0, "/annex/objects/"sv, "a git-annex pointer instead of the file", "`git annex get` fetches the picture itself"},
    Mark{0, "\0\5\x16\7"sv, "a file that macOS writes next to others (AppleDouble, \"._name\")", kRemove},
    Mark{0, "\0\5\x16\0"sv, "a file wrapped by macOS (AppleSingle)", kExport},
    Mark{0, "\0\0\0\1Bud1"sv, "a folder's settings of macOS (.DS_Store)", kRemove},
    Mark{0, "[.ShellClassInfo]"sv, "a folder's settings of Windows (desktop.ini)", kRemove},
    Mark{0, "L\0\0\0\1\x14\2\0"sv, "a Windows shortcut", "use the picture that it points to"},
    Mark{0, "bplist00"sv, "settings of macOS (a property list)", kRemove},
    Mark{0, "\x93NUMPY"sv, "a NumPy array", kSave},
    Mark{0, "\x89HDF\r\n\x1A\n"sv, "an HDF5 file", kExport},
    Mark{0, "SQLite format 3\0"sv, "an SQLite database", kNoPicture},
    Mark{0,
         "\x7F"
         "ELF"sv,
         "a program", kNoPicture},
    Mark{0, "MZ"sv, "a Windows program", kNoPicture},
};

std::string small_letters(std::string_view text) {
  std::string small(text);
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return small;
}

/// HEIC, AVIF and films use the same container; its brands say which it is. The first is the main one, the others are further kinds that it
/// conforms to.
UndecodedKind media_kind(Bytes bytes) {
  if (!has_at(bytes, 4, "ftyp") || bytes.size() < 12) return {};
  const size_t end = std::min<size_t>({big_number(bytes, 0, 4), bytes.size(), 256});
  const std::string_view main = as_text(bytes.subspan(8, 4));
  std::string brands(main);
  for (size_t at = 16; at + 4 <= end; at += 4) brands += ' ' + std::string(as_text(bytes.subspan(at, 4)));
  const auto is = [&](std::string_view brand) { return brands.find(brand) != std::string::npos; };
  if (main == "crx ") return {"a camera's raw photo (CR3)", kDevelop};
  if (main == "jxl " || main == "jp2 ") return {"a JPEG XL or JPEG 2000 picture", kSave};
  if (is("avif") || is("avis")) return {"an AVIF picture", kSave};
  for (const std::string_view brand : {"heic"sv, "heix"sv, "heim"sv, "heis"sv, "hevc"sv, "hevx"sv, "hevm"sv, "hevs"sv, "mif1"sv, "msf1"sv})
    if (main == brand)
      return {"a HEIC photo", "save it as JPEG or PNG; an iPhone takes JPEG photos if its camera format is \"most compatible\""};
  if (main == "qt  ") return {"a video (QuickTime)", kTakeFrames};
  if (main == "M4A ") return {"sound (M4A)", kNoPicture};
  return {"a video (MP4)", kTakeFrames};
}

/// Icons and cursors contain several pictures: their number, then the first one's sides, colours and a zero.
UndecodedKind icon_kind(Bytes bytes) {
  if (bytes.size() < 10 || little_number(bytes, 0, 2) != 0 || bytes[3] != 0 || little_number(bytes, 4, 2) == 0 || bytes[9] != 0) return {};
  if (bytes[2] == 1) return {"an icon (ICO)", kSave};
  if (bytes[2] == 2) return {"a mouse pointer (CUR)", kSave};
  return {};
}

UndecodedKind pnm_kind(Bytes bytes) {
  if (bytes.size() < 3 || bytes[0] != 'P' || !(bytes[2] == ' ' || (bytes[2] >= '\t' && bytes[2] <= '\r') || bytes[2] == '#')) return {};
  switch (bytes[1]) {
    case '1':
    case '4': return {"a PBM picture", kSave};
    case '2':
    case '3': return {"a PGM or PPM picture whose numbers are written as text", kSave};
    case '7': return {"a PAM picture", kSave};
    case 'F':
    case 'f': return {"a PFM picture", kSave};
    default: return {};
  }
}

bool is_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) >= 0x20 || (c >= '\t' && c <= '\r'); });
}

/// Text for people or browsers.
UndecodedKind text_kind(Bytes bytes) {
  if (begins_with(bytes, "\xFF\xFE") || begins_with(bytes, "\xFE\xFF")) return {"a text file", kNoPicture};
  constexpr size_t kLooked = 2048;
  std::string_view text = as_text(bytes.first(std::min(bytes.size(), kLooked)));
  if (!is_text(text)) return {};
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n\f"), text.size()));
  const std::string small = small_letters(text);
  const auto is = [&](std::string_view begin) { return small.starts_with(begin); };
  if (is("<!doctype html") || is("<html") || is("<head") || is("<body") || is("<script")) return {"a web page", kFetchAgain};
  if (small.find("<svg") != std::string::npos && is("<")) return {"an SVG drawing", kSave};
  if (small.find("<html") != std::string::npos && is("<")) return {"a web page", kFetchAgain};
  if (is("<")) return {"an XML or HTML text", kFetchAgain};
  if (is("#define ") && small.find("_width") != std::string::npos) return {"an XBM picture", kSave};
  if (is("{")) return {"a JSON text", kFetchAgain};
  return {"a text file", kFetchAgain};
}

}  // namespace

UndecodedKind undecoded_kind(Bytes bytes) {
  if (std::all_of(bytes.begin(), bytes.end(), [](uint8_t c) { return c == 0; }))
    return {"a file of only zeros", "it was not copied completely, or the disk lost it: copy it again"};
  if (begins_with(bytes, "8BPS\0\2"sv)) return {"a large Photoshop document (PSB)", kSave};
  for (const auto kind_of : {media_kind, icon_kind, pnm_kind})
    if (const UndecodedKind kind = kind_of(bytes); !kind.what.empty()) return kind;
  if (bytes.size() > 3 && bytes[0] == 0x0A && bytes[1] <= 5 && bytes[1] != 1 && bytes[2] == 1) return {"a PCX picture", kSave};
  for (const Mark& mark : kMarks)
    if (has_at(bytes, mark.at, mark.bytes)) return {mark.what, mark.hint};
  return text_kind(bytes);
}

}  // namespace mirilla::data::detail
