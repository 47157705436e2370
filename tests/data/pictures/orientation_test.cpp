// SPDX-License-Identifier: MIT
#include "data/pictures/orientation.h"

#include <random>
#include <string>

#include "data/pictures/decode.h"
#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using namespace std::string_literals;
using test::Bytes;
using test::text;

// 3x2: 1 2 3 over 4 5 6.
Picture numbers() {
  Picture picture(3, 2);
  for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<uint8_t>(i / 3 + 1);
  return picture;
}

std::string shown(const Picture& picture) {
  std::string rows;
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < picture.width; ++x) rows += static_cast<char>('0' + picture.at(x, y)[0]);
    rows += y + 1 < picture.height ? "/" : "";
  }
  return rows;
}

TEST(Upright, TurnsAndMirrorsAsExifSays) {
  const std::vector<std::string> wanted = {"123/456", "321/654", "654/321", "456/123", "14/25/36", "41/52/63", "63/52/41", "36/25/14"};
  for (int orientation = 1; orientation <= 8; ++orientation)
    EXPECT_EQ(shown(upright(numbers(), orientation)), wanted[static_cast<size_t>(orientation - 1)]) << orientation;
  for (const int none : {-1, 0, 9, 1 << 30}) EXPECT_EQ(upright(numbers(), none), numbers()) << none;
}

TEST(Upright, LargePicturesAreTurnedInPiecesThatFitTogether) {
  const Picture picture = test::numbered_picture(3, 101, 67);
  const Picture turned = upright(picture, 6);
  ASSERT_EQ(turned.width, 67);
  ASSERT_EQ(turned.height, 101);
  for (int y = 0; y < turned.height; ++y)
    for (int x = 0; x < turned.width; ++x) ASSERT_EQ(*turned.at(x, y), *picture.at(y, 66 - x)) << x << " " << y;
  for (int orientation = 1; orientation <= 8; ++orientation) {  // 6 and 8 undo each other, all others undo themselves
    const int back = orientation == 6 ? 8 : orientation == 8 ? 6 : orientation;
    EXPECT_EQ(upright(upright(picture, orientation), back), picture) << orientation;
  }
}

std::string exif(int orientation, bool little = true) {
  if (little) return "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0"s + static_cast<char>(orientation) + "\0\0\0\0\0\0\0"s;
  return "MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0"s + static_cast<char>(orientation) + "\0\0\0\0\0\0"s;
}

Bytes jpeg_with(const std::string& note) {
  Bytes file = test::read_bytes(test::oracle("420.jpg"));
  const std::string segment = "\xFF\xE1"s + static_cast<char>((note.size() + 2) >> 8) + static_cast<char>(note.size() + 2) + note;
  file.insert(file.begin() + 2, segment.begin(), segment.end());
  return file;
}

TEST(ExifOrientation, IsReadInBothByteOrdersAndIsOneByDefault) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    EXPECT_EQ(exif_orientation(jpeg_with("Exif\0\0"s + exif(orientation))), orientation);
    EXPECT_EQ(exif_orientation(jpeg_with("Exif\0\0"s + exif(orientation, false))), orientation);
  }
  EXPECT_EQ(exif_orientation(jpeg_with("Exif\0\0"s + exif(9))), 1);
  EXPECT_EQ(exif_orientation(jpeg_with("Exif\0\0"s)), 1);
  EXPECT_EQ(exif_orientation(test::read_bytes(test::oracle("420.jpg"))), 1);
  EXPECT_EQ(exif_orientation(test::read_bytes(test::oracle("rgb.bmp"))), 1);
  EXPECT_EQ(exif_orientation({}), 1);
}

TEST(Decode, TurnsAPictureOnlyWhereAskedTo) {
  const Bytes file = jpeg_with("Exif\0\0"s + exif(6));
  const DecodedFile stored = decode_file(file, "x.jpg"), turned = decode_file(file, "x.jpg", {.exif_rotate = true});
  EXPECT_EQ(stored.picture, test::oracle_picture("420_jpg.out.ppm"));
  EXPECT_EQ(stored.orientation, 6);
  EXPECT_EQ(turned.orientation, 6);
  EXPECT_EQ(turned.picture, upright(stored.picture, 6));
  EXPECT_EQ(turned.picture.width, stored.picture.height);
}

TEST(ExifOrientation, DamagedNotesAreReadWithinTheirBoundsAndChangeNoPixel) {
  std::mt19937 random(9);
  const Picture plain = test::oracle_picture("420_jpg.out.ppm");
  for (int trial = 0; trial < 2000; ++trial) {
    std::string note = "Exif\0\0"s + exif(1 + trial % 8, trial % 2 == 0) + std::string(trial % 40, 'x');
    for (uint32_t k = 0; k < 1 + random() % 4; ++k) note[random() % note.size()] = static_cast<char>(random());
    note.resize(random() % (note.size() + 1));
    const Bytes file = jpeg_with(note);
    const int orientation = exif_orientation(file);
    EXPECT_GE(orientation, 1);
    EXPECT_LE(orientation, 8);
    if (trial % 50 == 0) {
      EXPECT_EQ(decode(file, "x.jpg"), plain);
    }
  }
  for (const char* begin : {"\xFF\xD8\xFF", "\x89PNG\r\n\x1a\n", "RIFFxxxxWEBPVP8X"}) {  // and data that begins like a picture
    for (int length = 0; length < 200; ++length) {
      Bytes bytes = text(begin);
      for (int i = 0; i < length; ++i) bytes.push_back(static_cast<uint8_t>(random() % 3 ? random() : 0xFF));
      EXPECT_GE(exif_orientation(bytes), 1);
    }
  }
}

}  // namespace
}  // namespace mirilla::data
