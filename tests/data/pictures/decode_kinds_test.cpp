// SPDX-License-Identifier: MIT
#include <random>
#include <string>

#include "data/items.h"
#include "data/pictures/decode.h"
#include "data/pictures/libraries.h"
#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using namespace std::string_literals;
using test::Bytes;
using test::text;

void put(Bytes& out, uint64_t value, int count) {
  for (int i = 0; i < count; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

struct Bmp {
  uint32_t width = 2, height = 2, bits = 24, compression = 0, colors = 0;
  Bytes rest = {};  // palette and pixels
  uint32_t palette_bytes = 0;
};

Bytes bytes_of(const Bmp& bmp) {
  constexpr uint32_t kHeaders = 14 + 40;
  Bytes out = text("BM");
  put(out, kHeaders + bmp.rest.size(), 4);
  put(out, 0, 4);
  put(out, kHeaders + bmp.palette_bytes, 4);
  put(out, 40, 4);
  put(out, bmp.width, 4);
  put(out, bmp.height, 4);
  put(out, 1, 2);
  put(out, bmp.bits, 2);
  put(out, bmp.compression, 4);
  put(out, 0, 4);
  put(out, 2835, 4);
  put(out, 2835, 4);
  put(out, bmp.colors, 4);
  put(out, 0, 4);
  out.insert(out.end(), bmp.rest.begin(), bmp.rest.end());
  return out;
}

// Blue, green, red of each row's two pixels, then the padding of the row.
const Bytes kTwoRows = {1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12, 0, 0};

std::string sentence_about(const Bytes& file, const std::string& name = "x.jpg") {
  return test::sentence_of<DataError>([&] { decode(file, name); });
}

TEST(Bmp, ANegativeHeightStandsOnItsHead) {
  const Picture up = decode(bytes_of({.rest = kTwoRows}), "x.bmp"), down = decode(bytes_of({.height = 0u - 2, .rest = kTwoRows}), "x.bmp");
  EXPECT_EQ(down.pixels, (Bytes{3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10}));
  EXPECT_EQ(up.pixels, (Bytes{9, 8, 7, 12, 11, 10, 3, 2, 1, 6, 5, 4}));
}

TEST(Bmp, SizesThatNoFileCanHaveAreRefused) {
  EXPECT_NE(sentence_about(bytes_of({.height = 0})).find("no pixels (2x0)"), std::string::npos);
  EXPECT_NE(sentence_about(bytes_of({.width = 0x7FFFFFFF})).find("million"), std::string::npos);
  EXPECT_NE(sentence_about(bytes_of({.width = 0xFFFFFFFF, .height = 0xFFFFFFFF})).find("million"), std::string::npos);
  EXPECT_NE(sentence_about(bytes_of({.width = 9000, .height = 9000, .rest = kTwoRows})).find("70 bytes cannot hold 9000x9000"),
            std::string::npos);
  EXPECT_NE(sentence_about(bytes_of({.width = 100, .height = 100, .rest = kTwoRows})).find("cut off"), std::string::npos);
}

TEST(Bmp, FormsThatAreNotDecodedAreNamed) {
  EXPECT_NE(sentence_about(bytes_of({.bits = 2, .rest = kTwoRows})).find("2 bits per pixel"), std::string::npos);
  EXPECT_NE(sentence_about(bytes_of({.compression = 4, .rest = kTwoRows})).find("contains a JPEG"), std::string::npos);
  EXPECT_NE(sentence_about(bytes_of({.compression = 5, .rest = kTwoRows})).find("contains a PNG"), std::string::npos);
  EXPECT_NE(sentence_about(bytes_of({.compression = 1, .rest = kTwoRows})).find("compression (number 1)"), std::string::npos);
  Bytes other = bytes_of({.rest = kTwoRows});
  other[14] = 41;
  EXPECT_NE(sentence_about(other).find("header of 41 bytes"), std::string::npos);
  Bytes masks = bytes_of({.bits = 16, .compression = 3});
  for (const uint32_t mask : {0x5u, 0x30u, 0xF00u}) put(masks, mask, 4);
  masks.resize(masks.size() + 20);
  EXPECT_NE(sentence_about(masks).find("masks (5, 30, f00)"), std::string::npos);
}

TEST(Bmp, RunsThatEndTooEarlyAreCutOff) {
  const Bytes palette(4 * 256, 7);
  Bmp bmp{.width = 3, .height = 2, .bits = 8, .compression = 1, .rest = palette, .palette_bytes = 4 * 256};
  const Bytes runs = {3, 1, 0, 0, 3, 2, 0, 1};
  bmp.rest.insert(bmp.rest.end(), runs.begin(), runs.end());
  EXPECT_EQ(decode(bytes_of(bmp), "x.bmp").width, 3);
  bmp.rest.resize(bmp.rest.size() - 4);
  EXPECT_NE(sentence_about(bytes_of(bmp)).find("the BMP is cut off"), std::string::npos);
}

// 2x1, lossless: (250,10,30), (1,2,3).
const Bytes kWebp = {0x52, 0x49, 0x46, 0x46, 0x26, 0x00, 0x00, 0x00, 0x57, 0x45, 0x42, 0x50, 0x56, 0x50, 0x38, 0x4C,
                     0x19, 0x00, 0x00, 0x00, 0x2F, 0x01, 0x00, 0x00, 0x00, 0x0F, 0x70, 0x01, 0x84, 0xCD, 0x27, 0xC8,
                     0xB6, 0x0D, 0x6D, 0x3B, 0xC6, 0xE7, 0x3F, 0xD8, 0x0F, 0x19, 0xD1, 0xFF, 0x00, 0x00};

// The same with other sizes in the picture's header.
Bytes webp_of_size(uint32_t width, uint32_t height) {
  Bytes bytes = kWebp;
  const uint32_t sides = (width - 1) | (height - 1) << 14;
  for (int i = 0; i < 4; ++i) bytes[static_cast<size_t>(21 + i)] = static_cast<uint8_t>(sides >> (8 * i));
  return bytes;
}

bool has_webp() {
  for (const auto& [name, version] : libraries())
    if (name == "libwebp") return version.find("absent") == std::string::npos;
  return false;
}

TEST(Webp, IsDecodedWhateverItsNameSaysOrNamesTheLibraryThatIsMissing) {
  EXPECT_TRUE(is_decodable_name("a/b.WEBP"));
  if (!has_webp()) {
    EXPECT_NE(sentence_about(kWebp).find("without libwebp"), std::string::npos);
    return;
  }
  const Picture picture = decode(kWebp, "x.jpg");
  EXPECT_EQ(picture.width, 2);
  EXPECT_EQ(picture.pixels, (Bytes{250, 10, 30, 1, 2, 3}));
}

TEST(Webp, HostileSizesAreRefusedBeforeMemoryIsTaken) {
  if (!has_webp()) GTEST_SKIP() << "built without libwebp";
  EXPECT_NE(sentence_about(webp_of_size(16384, 16384)).find("16384x16384 pixels are more than the limit of 178 million"),
            std::string::npos);
  EXPECT_NE(sentence_about(webp_of_size(10000, 10000)).find("46 bytes of WebP that unpack to 10000x10000 pixels"), std::string::npos);
  EXPECT_NE(sentence_about(webp_of_size(3000, 3000)).find("3000x3000"), std::string::npos);
  EXPECT_NE(test::sentence_of<DataError>([] { decode(kWebp, "x", {.most_pixels = 1}); }).find("2x1 pixels"), std::string::npos);
}

TEST(Webp, DamagedFilesGiveAPictureOrAnErrorAndNeverACrash) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 3000; ++trial) {
    Bytes damaged = kWebp;
    for (uint32_t k = 0; k < 1 + random() % 3; ++k) damaged[12 + random() % (damaged.size() - 12)] = static_cast<uint8_t>(random());
    try {
      decode(damaged, "x.webp", {.most_pixels = 1 << 20});
    } catch (const DataError&) {}
  }
}

TEST(Png, AWrongChecksumIsDamageAndNotAPicture) {
  const Bytes whole = test::read_bytes(test::oracle("rgb.png"));
  const std::string as_text(whole.begin(), whole.end());
  const size_t pixels = as_text.find("IDAT") + 4;
  for (const size_t at : {size_t{20}, pixels + 10, pixels + 500, pixels + 900}) {
    Bytes damaged = whole;
    damaged[at] ^= 1;
    EXPECT_THROW(decode(damaged, "x.png"), DataError) << at;
  }
  Bytes damaged = whole;
  damaged[pixels + 500] ^= 1;
  EXPECT_EQ(sentence_about(damaged), "x.jpg: the PNG is damaged: a checksum is wrong");
}

// Two pixels of one bit, 0 and 1, with a palette of one colour.
TEST(Png, ColoursBeyondThePaletteAreBlack) {
  const Bytes file = {0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0x00, 0x00, 0x00, 0x0D, 0x49, 0x48, 0x44, 0x52, 0x00,
                      0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x01, 0x03, 0x00, 0x00, 0x00, 0xCE, 0xEC, 0xED, 0xC9, 0x00,
                      0x00, 0x00, 0x03, 0x50, 0x4C, 0x54, 0x45, 0xC8, 0x64, 0x32, 0xF1, 0x80, 0x05, 0x01, 0x00, 0x00, 0x00,
                      0x0A, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9C, 0x63, 0x70, 0x00, 0x00, 0x00, 0x42, 0x00, 0x41, 0x29, 0x37,
                      0xF4, 0xEF, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82};
  EXPECT_EQ(decode(file, "x.png").pixels, (Bytes{200, 100, 50, 0, 0, 0}));
}

TEST(Tga, IsRecognisedByItsContentAlone) {
  const Bytes file = test::read_bytes(test::oracle("rgb.tga"));
  EXPECT_EQ(decode(file, "photo"), test::oracle_picture("rgb_tga.out.ppm"));
  EXPECT_EQ(decode(file, "photo.jpg"), test::oracle_picture("rgb_tga.out.ppm"));
  EXPECT_NE(sentence_about(text("certainly no TGA, whatever its name"), "x.tga").find("this is a text file"), std::string::npos);
}

struct Undecoded {
  std::string begin, what, hint;
};

TEST(Undecoded, EachKindIsNamedAsWhatItIsWithAHint) {
  const std::string zeros(400, '\0');
  const std::vector<Undecoded> kinds = {
      {"\0\0\0\x18"s + "ftypheic" + "\0\0\0\0"s + "mif1heic", "a HEIC photo", "save it as JPEG or PNG"},
      {"\0\0\0\x18"s + "ftypmif1" + "\0\0\0\0"s + "mif1heic", "a HEIC photo", "JPEG"},
      {"\0\0\0\x1C"s + "ftypmif1" + "\0\0\0\0"s + "mif1avifmiaf", "an AVIF picture", "JPEG"},
      {"\0\0\0\x18"s + "ftypavif" + "\0\0\0\0"s + "avifmif1", "an AVIF picture", "JPEG"},
      {"\0\0\0\x18"s + "ftypcrx " + "\0\0\0\1"s + "crx isom", "raw photo (CR3)", "convert"},
      {"\0\0\0\x18"s + "ftypisom" + "\0\0\2\0"s + "isomavc1", "a video (MP4)", "frames"},
      {"\0\0\0\x14"s + "ftypqt  " + "\0\0\2\0"s + "qt  ", "a video (QuickTime)", "frames"},
      {"II*\0\x08\0\0\0"s + zeros, "a TIFF", "JPEG"},
      {"MM\0*\0\0\0\x08"s + zeros, "a TIFF", "JPEG"},
      {"II*\0\x10\0\0\0CR\2\0"s + zeros, "raw photo (CR2)", "convert"},
      {"FUJIFILMCCD-RAW 0201", "raw photo (RAF)", "convert"},
      {"\xFF\x0A\xFA\x7F"s, "a JPEG XL picture", "JPEG"},
      {"\0\0\0\x0CJXL \r\n\x87\n"s, "a JPEG XL picture", "JPEG"},
      {"\0\0\0\x0CjP  \r\n\x87\n"s, "a JPEG 2000 picture", "JPEG"},
      {"\xFF\x4F\xFF\x51\0\x2F"s, "a JPEG 2000 picture", "JPEG"},
      {"8BPS\0\2\0\0"s, "a large Photoshop document (PSB)", "JPEG"},
      {"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0"s, "an icon (ICO)", "JPEG"},
      {"\0\0\2\0\1\0\x10\x10\0\0\1\0\x20\0"s, "a mouse pointer (CUR)", "JPEG"},
      {"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\">", "an SVG drawing", "JPEG"},
      {"\xEF\xBB\xBF  <svg>", "an SVG drawing", "JPEG"},
      {"%PDF-1.7\n", "a PDF document", "JPEG"},
      {"\x1A\x45\xDF\xA3"s, "a video (Matroska, WebM)", "frames"},
      {"RIFF\x10\0\0\0AVI LIST"s, "a video (AVI)", "frames"},
      {"RIFF\x10\0\0\0WAVEfmt "s, "sound (WAV)", "remove it"},
      {"PK\3\4\x14\0"s, "a zip archive", "unpack"},
      {"Rar!\x1A\7\1\0"s, "a RAR archive", "unpack"},
      {"7z\xBC\xAF\x27\x1C"s, "a 7z archive", "unpack"},
      {"\x1F\x8B\x08"s, "a gzip file", "unpack"},
      {"<!DOCTYPE html><html>", "a web page", "fetch it again"},
      {" \n<HTML><head>", "a web page", "fetch it again"},
      {"{\"error\": \"not found\"}", "a JSON text", "fetch it again"},
      {"404: Not Found", "a text file", "fetch it again"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "a Git LFS pointer", "git lfs pull"},
      {"/annex/objects/SHA256E-s3--aa.jpg\n", "a git-annex pointer", "git annex get"},
      {"\0\5\x16\7"s, "macOS writes next to others", "deleted"},
      {"\0\5\x16\7\0\2\0\0Mac OS X"s + zeros, "macOS writes next to others", "deleted"},
      {"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"s, "Thumbs.db", "JPEG"},
      {"\0\0\0\1Bud1"s, ".DS_Store", "deleted"},
      {zeros, "only zeros", "copy it again"},
      {"P3\n1 1\n255\n1 2 3\n", "numbers are written as text", "JPEG"},
      {"P4\n8 1\n\xFF"s, "a PBM picture", "JPEG"},
      {"#?RADIANCE\n", "Radiance HDR", "JPEG"},
      {"v/1\1\2\0\0\0"s, "OpenEXR", "JPEG"},
      {"qoif\0\0\0\1"s, "QOI", "JPEG"},
      {zeros.substr(0, 128) + "DICM", "a DICOM picture", "JPEG"},
  };
  for (const Undecoded& kind : kinds) {
    try {
      decode(text(kind.begin), "IMG_1.JPG");
      ADD_FAILURE() << kind.what;
    } catch (const DataError& error) {
      EXPECT_TRUE(error.message().starts_with("IMG_1.JPG: this is ")) << error.message();
      EXPECT_NE(error.message().find(kind.what), std::string::npos) << error.message();
      EXPECT_NE(error.message().find("not a picture of a supported kind"), std::string::npos) << error.message();
      EXPECT_NE(error.hint().find(kind.hint), std::string::npos) << error.hint();
    }
  }
}

TEST(Undecoded, AnUnknownKindIsReportedWithTheSupportedOnes) {
  const std::string sentence = sentence_about({0x13, 0x37, 0x80, 0x01, 0xFE, 0x00, 0x55});
  EXPECT_EQ(sentence, "x.jpg: not a picture of a supported kind");
  EXPECT_EQ(sentence_about({}), "x.jpg: the file is empty");
}

TEST(Undecoded, AnyBeginningIsReadWithinItsBounds) {
  std::mt19937 random(5);
  for (int length = 1; length < 300; ++length) {
    Bytes bytes(static_cast<size_t>(length));
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random() % 7 == 0 ? random() : 0);
    EXPECT_THROW(decode(bytes, "x", {.most_pixels = 1 << 20}), DataError) << length;
  }
}

}  // namespace
}  // namespace mirilla::data
