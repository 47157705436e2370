// SPDX-License-Identifier: MIT
#include <algorithm>
#include <limits>
#include <set>

#include "data/dataset.h"
#include "data/pictures/decode.h"
#include "tests/data/support.h"
#include "tests/oracle/named_values.h"
#include "tests/parity/row.h"
#include "weights/safetensors.h"

// From a picture file to the pixels of a batch, byte for byte. make_data.py and make_pictures.py make the files and have the results of
// Pillow and fastai.
namespace mirilla::parity {
namespace {

namespace test = data::test;
using data::Picture;

const std::string kBecause = "integers on both sides: anything else is another rule";

/// How many bytes differ; all of them where the pictures differ in size.
double bytes_that_differ(const Picture& came, const Picture& wanted) {
  if (came.width != wanted.width || came.height != wanted.height) return static_cast<double>(wanted.pixels.size());
  double count = 0;
  for (size_t i = 0; i < wanted.pixels.size(); ++i) count += came.pixels[i] != wanted.pixels[i];
  return count;
}

/// Decodes; a file that does not decode counts as different in every byte.
Picture decoded(const test::Bytes& file, const std::string& name) {
  try {
    return data::decode(file, name);
  } catch (const DataError&) {
    return {};
  }
}

/// The files of make_pictures.py.
class Pictures {
 public:
  nlohmann::json document = nlohmann::json::parse(std::ifstream(folder() / "pictures.json"));

  std::string pillow() const { return "Pillow " + document["made_with"]["PIL"].get<std::string>(); }
  std::string resize() const { return "fastai " + document["made_with"]["fastai"].get<std::string>() + "'s Resize over " + pillow(); }

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
  /// The digest of one row of the resized picture.
  uint32_t digest(size_t resize, size_t y) const {
    const auto bytes = tensors_.at("resize." + std::to_string(resize)).values<uint8_t>().subspan(4 * y, 4);
    return bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
  }

 private:
  static std::filesystem::path folder() { return std::filesystem::path(MIRILLA_SOURCE_DIR) / "tests/oracle/pictures"; }
  weights::StateDict tensors_ = weights::read_safetensors(folder() / "pictures.safetensors");
};

/// Compares the files that make_data.py made under these names, and those of one row of make_pictures.py, or of none for "".
void report_decoding(const std::string& id, const std::string& what, std::set<std::string> names, const std::string& more = "") {
  double differ = 0;
  for (const auto& one : test::oracle_json("decode.json")) {
    if (names.erase(one["file"]) == 0) continue;
    const std::string name = one["file"];
    differ += bytes_that_differ(decoded(test::read_bytes(test::oracle(name)), name), test::oracle_picture(one["pixels"]));
  }
  EXPECT_TRUE(names.empty()) << *names.begin() << " is not in decode.json";
  const Pictures pictures;
  if (!more.empty()) {
    for (const std::string name : pictures.document["kinds"][more])
      differ += bytes_that_differ(decoded(pictures.file(name), name), pictures.pixels(name));
  }
  report({.id = id,
          .what = what,
          .against = pictures.pillow(),
          .measured = differ,
          .tolerance = 0,
          .unit = "bytes that differ",
          .tolerance_because = kBecause});
}

TEST(PicturesParity, JpegPixelsArePillows) {
  report_decoding(
      "pictures.jpeg", "JPEG: 4:2:0, 4:2:2, 4:4:4, 4:1:1, coarse, restart markers, RGB without YCbCr, odd extents down to one pixel",
      {"420.jpg", "422.jpg", "444.jpg", "411.jpg", "coarse.jpg", "restart.jpg", "rgb.jpg", "pixel.jpg", "column.jpg", "trailing.jpg"});
}

TEST(PicturesParity, ProgressivePixelsArePillows) {
  report_decoding("pictures.progressive", "progressive JPEG: 4:2:0, 4:2:2, 4:4:4, grey, four colours", {"progressive.jpg"}, "progressive");
}

TEST(PicturesParity, GreyPixelsArePillows) {
  report_decoding("pictures.grey", "grey: JPEG, PNG of 1, 2, 4 and 8 bits, with alpha, PGM, TGA",
                  {"grey.jpg", "grey.png", "grey.pgm", "grey.tga", "grey_alpha.png", "one_bit.png", "two_bit.png", "four_bit.png"}, "grey");
}

TEST(PicturesParity, CmykPixelsArePillows) {
  report_decoding("pictures.cmyk", "JPEG of four colours: CMYK, Adobe's YCCK, subsampled", {"cmyk.jpg", "ycck.jpg"}, "cmyk");
}

TEST(PicturesParity, SixteenBitPixelsArePillows) {
  report_decoding("pictures.png16",
                  "16-bit PNG as Pillow's convert('RGB'): grey clipped at 255, colour's upper byte, with and without alpha",
                  {"grey16.png", "rgb16.png", "rgba16.png", "grey_alpha16.png"}, "png16");
}

TEST(PicturesParity, OrientationIsIgnoredAsInFastai) {
  report_decoding("pictures.exif", "JPEG with each of the eight EXIF orientations: none is applied", {"exif.jpg"}, "exif");
}

TEST(PicturesParity, OtherKindsArePillows) {
  report_decoding(
      "pictures.other", "8-bit PNG (colour, alpha, palettes, transparency, interlaced), BMP, GIF, TGA, PPM, PSD",
      {"rgb.png", "rgba.png", "palette.png", "palette_few.png", "palette_transparent.png", "rgb_transparent.png", "interlaced.png",
       "rgb.bmp", "rgba.bmp", "palette.bmp", "one_bit.bmp", "palette.gif", "rgb.tga", "packed.tga", "rgb.ppm", "rgb.psd"});
}

TEST(PicturesParity, JpegsCutAnywhereFailWherePillowFails) {
  double differ = 0;
  const auto cuts = test::oracle_json("cuts.json");
  for (const auto& [name, cut] : cuts.items()) {
    const test::Bytes whole = test::read_bytes(test::oracle(name));
    for (size_t length = 1; length < whole.size(); ++length) {
      const bool decodes = decoded({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)}, name).width > 0;
      differ += decodes != (length >= cut["first_good"].get<size_t>());
    }
  }
  report({.id = "pictures.cut",
          .what = "JPEG cut off after each of its bytes: an error exactly where Pillow gives one",
          .against = Pictures().pillow(),
          .measured = differ,
          .tolerance = 0,
          .unit = "lengths that differ",
          .tolerance_because = kBecause});
}

TEST(PicturesParity, BoxesResizeToPillowsBytes) {
  double differ = 0;
  const auto oracle = test::oracle_json("resize.json");
  for (const auto& one : oracle["resize"]) {
    if (one["box"].is_null()) continue;
    const data::Box box{one["box"][0], one["box"][1], one["box"][2], one["box"][3]};
    const Picture picture = data::resize_bilinear(test::oracle_picture(one["source"]), box, one["size"][0], one["size"][1]);
    differ += bytes_that_differ(picture, test::oracle_picture(one["pixels"]));
  }
  report({.id = "pictures.resize-box",
          .what = "Image.crop(box).resize(BILINEAR): up in one direction and down in the other, to one pixel, from one pixel, a copy",
          .against = Pictures().pillow(),
          .measured = differ,
          .tolerance = 0,
          .unit = "bytes that differ",
          .tolerance_because = kBecause});
}

TEST(PicturesParity, CropBoxesAreFastais) {
  double differ = 0;
  const auto oracle = test::oracle_json("resize.json");
  const Pictures pictures;
  const auto add = [&](int width, int height, const nlohmann::json& one, double x, double y) {
    const data::Box wanted{one["box"][0], one["box"][1], one["box"][2], one["box"][3]};
    differ += data::resize_crop_box(width, height, one["size"], x, y) != wanted;
  };
  for (const auto& one : oracle["boxes"]) add(one["picture"][0], one["picture"][1], one, one["draw"][0], one["draw"][1]);
  for (const auto& one : pictures.document["resize"]) {
    const Picture picture = decoded(pictures.file(one["file"]), one["file"]);
    const bool training = !one["draws"].is_null();
    add(picture.width, picture.height, one, training ? one["draws"][0].get<double>() : 0.5, training ? one["draws"][1].get<double>() : 0.5);
  }
  report({.id = "pictures.crop",
          .what = "the square that Resize takes at given draws, 61, 115, 122 and 230 pixels wide for 224 among them",
          .against = pictures.resize(),
          .measured = differ,
          .tolerance = 0,
          .unit = "squares that differ",
          .tolerance_because = kBecause});
}

/// A data set of the one file, as the loader uses it.
data::Dataset dataset_of(const std::string& name, const test::Bytes& file, int size) {
  const std::vector<data::Item> items{{"a/" + name, "a"}, {"b/" + name, "b"}};
  const test::Bytes zip = test::ZipMaker().add(items[0].path, file).add(items[1].path, file).bytes();
  return {data::open_source(zip, "pictures.zip"), items, {.train = {0, 1}, .valid = {}}, {.resize = size, .vocabulary = {"a", "b"}}};
}

/// Compares every picture of one row of make_pictures.py, from its file through the data set, a row of pixels at a time.
void report_resize(const std::string& row, const std::string& what) {
  const Pictures pictures;
  double differ = 0;
  int compared = 0;
  for (size_t i = 0; i < pictures.document["resize"].size(); ++i) {
    const auto& one = pictures.document["resize"][i];
    if (one["row"] != row) continue;
    const std::string name = one["file"];
    const size_t size = one["size"];
    const data::Dataset dataset = dataset_of(name, pictures.file(name), static_cast<int>(size));
    const data::CropDraw draw = one["draws"].is_null() ? data::CropDraw{} : data::CropDraw{one["draws"][0], one["draws"][1]};
    std::string pixels(size * size * 3, '\0');
    dataset.resized(0, draw, {reinterpret_cast<uint8_t*>(pixels.data()), pixels.size()});
    for (size_t y = 0; y < size; ++y) {
      const uint64_t digest = mirilla::test::fnv1a64(std::string_view(pixels).substr(y * size * 3, size * 3));
      differ += static_cast<uint32_t>(digest) != pictures.digest(i, y);
    }
    ++compared;
  }
  EXPECT_GE(compared, 16) << row;
  report({.id = "pictures." + row,
          .what = what,
          .against = pictures.resize(),
          .measured = differ,
          .tolerance = 0,
          .unit = "rows of pixels that differ",
          .tolerance_because = kBecause + "; a digest of each row is stored"});
}

TEST(PicturesParity, SmallerPicturesAreFastais) {
  report_resize("resize-down",
                "JPEG file to Resize(17, 40, 64, 224), all smaller: wide, tall and square, at given draws and validation's .5");
}

TEST(PicturesParity, LargerPicturesAreFastais) {
  report_resize("resize-up", "JPEG file to Resize(100, 131), all larger: wide, tall and square, at given draws and validation's .5");
}

TEST(PicturesParity, SidesThatAreOneLessAreFastais) {
  report_resize("resize-one-less", "JPEG file to Resize(224) where int() cuts the square's side: 61, 115, 122 and 230 pixels wide");
}

TEST(PicturesParity, OtherKindsResizeToFastais) {
  report_resize("resize-kinds", "grey, CMYK, progressive, turned by EXIF and 16-bit files to Resize(19) and Resize(64)");
}

}  // namespace
}  // namespace mirilla::parity
