// SPDX-License-Identifier: MIT
#include "data/pictures/decode.h"
#include "tests/data/support.h"
#include "tests/oracle/named_values.h"
#include "tests/parity/row.h"
#include "weights/safetensors.h"

// Every form of BMP and GIF, WebP, and files with an orientation. make_picture_kinds.py makes the files and has Pillow's
// results.
namespace mirilla::parity {
namespace {

namespace test = data::test;
using data::Picture;

const std::string kBecause = "integers on both sides: anything else is another rule";

class Kinds {
 public:
  nlohmann::json document = nlohmann::json::parse(std::ifstream(folder() / "kinds.json"));

  std::string pillow() const { return "Pillow " + document["made_with"]["PIL"].get<std::string>(); }
  test::Bytes file(const std::string& name) const {
    const auto bytes = tensors_.at(name).values<uint8_t>();
    return {bytes.begin(), bytes.end()};
  }
  Picture pixels(const std::string& name) const {
    const weights::Array& array = tensors_.at(name + ".pixels");
    Picture picture(static_cast<int>(array.shape()[1]), static_cast<int>(array.shape()[0]));
    std::ranges::copy(array.values<uint8_t>(), picture.pixels.begin());
    return picture;
  }

 private:
  static std::filesystem::path folder() { return std::filesystem::path(MIRILLA_SOURCE_DIR) / "tests/oracle/pictures"; }
  weights::StateDict tensors_ = weights::read_safetensors(folder() / "kinds.safetensors");
};

/// A file that does not decode gives an empty picture.
Picture decoded(const test::Bytes& file, const std::string& name, bool exif_rotate = false) {
  try {
    return data::decode(file, name, {.exif_rotate = exif_rotate});
  } catch (const DataError& error) {
    ADD_FAILURE() << error.what();
    return {};
  }
}

double bytes_that_differ(const Picture& came, const Picture& wanted, const std::string& name) {
  double count = 0;
  if (came.width != wanted.width || came.height != wanted.height) {
    count = static_cast<double>(wanted.pixels.size());
  } else {
    for (size_t i = 0; i < wanted.pixels.size(); ++i) count += came.pixels[i] != wanted.pixels[i];
  }
  EXPECT_EQ(count, 0) << name;
  return count;
}

void report_kind(const std::string& row, const std::string& what, size_t at_least) {
  const Kinds kinds;
  const auto& names = kinds.document["rows"][row];
  EXPECT_GE(names.size(), at_least);
  double differ = 0;
  for (const std::string name : names)  // the name does not matter, only the content
    differ += bytes_that_differ(decoded(kinds.file(name), "photo.jpg"), kinds.pixels(name), name);
  report({.id = "pictures." + row,
          .what = what,
          .against = kinds.pillow(),
          .measured = differ,
          .tolerance = 0,
          .unit = "bytes that differ",
          .tolerance_because = kBecause});
}

TEST(PictureKindsParity, BmpPixelsArePillows) {
  report_kind(
      "bmp",
      "BMP: from the top and from the bottom, palettes of 1, 4 and 8 bits, 16, 24 and 32 bits with and without masks, run lengths, the "
      "headers of OS/2 and of Windows from version 2 to 5",
      60);
}

TEST(PictureKindsParity, GifPixelsArePillows) {
  report_kind(
      "gif",
      "GIF: interlaced, palettes of its own, none, short and grey ones, transparent places, a picture smaller and larger than the screen, "
      "the first of two",
      14);
}

TEST(PictureKindsParity, WebpPixelsArePillows) {
  report_kind("webp", "WebP: lossy, lossless, with alpha, the first of an animation's pictures, also where it is smaller than the whole",
              13);
}

TEST(PictureKindsParity, TurnedPicturesArePillows) {
  const Kinds kinds;
  const auto& names = kinds.document["rows"]["upright"];
  EXPECT_GE(names.size(), 70u);
  double differ = 0;
  for (const std::string name : names) {
    const auto& wanted = kinds.document["upright"][name];
    const Picture picture = decoded(kinds.file(name), "photo", true);
    const std::string_view bytes(reinterpret_cast<const char*>(picture.pixels.data()), picture.pixels.size());
    const bool same = picture.width == wanted["width"] && picture.height == wanted["height"] &&
                      fmt::format("{:016x}", mirilla::test::fnv1a64(bytes)) == wanted["pixels"];
    EXPECT_TRUE(same) << name;
    differ += !same;
  }
  report({.id = "pictures.upright",
          .what =
              "ImageOps.exif_transpose of JPEG, PNG and WebP: the eight orientations of EXIF and XMP in both byte orders, other types of "
              "number, damaged and hostile ones",
          .against = kinds.pillow(),
          .measured = differ,
          .tolerance = 0,
          .unit = "pictures that differ",
          .tolerance_because = kBecause + "; a digest of the pixels is stored"});
}

TEST(PictureKindsParity, CutAnywhereTheyFailWherePillowFails) {
  const Kinds kinds;
  double differ = 0;
  for (const auto& [name, needed] : kinds.document["cuts"].items()) {
    const test::Bytes whole = kinds.file(name);
    for (size_t length = 1; length < whole.size(); ++length) {
      bool decodes = true;
      try {
        data::decode(std::span(whole.data(), length), name);
      } catch (const DataError&) {
        decodes = false;
      }
      EXPECT_EQ(decodes, length >= needed.get<size_t>()) << name << " " << length;
      differ += decodes != (length >= needed.get<size_t>());
    }
  }
  report({.id = "pictures.kinds-cut",
          .what = "BMP, GIF and WebP cut off after each of their bytes: an error exactly where Pillow gives one",
          .against = kinds.pillow(),
          .measured = differ,
          .tolerance = 0,
          .unit = "lengths that differ",
          .tolerance_because = kBecause});
}

}  // namespace
}  // namespace mirilla::parity
