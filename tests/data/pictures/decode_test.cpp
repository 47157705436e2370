// SPDX-License-Identifier: MIT
#include "data/pictures/decode.h"

#include <map>
#include <random>
#include <thread>

#include "data/archive/archive.h"
#include "data/items.h"
#include "tests/data/support.h"

namespace mirilla::data {
namespace {

using test::Bytes;
using test::text;

Bytes png_of_size(uint32_t width, uint32_t height) {
  Bytes bytes = test::read_bytes(test::oracle("rgb.png"));
  for (int i = 0; i < 4; ++i) {
    bytes[static_cast<size_t>(16 + i)] = static_cast<uint8_t>(width >> (24 - 8 * i));
    bytes[static_cast<size_t>(20 + i)] = static_cast<uint8_t>(height >> (24 - 8 * i));
  }
  return bytes;
}

Bytes jpeg_of_size(uint16_t width, uint16_t height) {
  Bytes bytes = test::read_bytes(test::oracle("420.jpg"));
  for (size_t i = 2; i + 9 < bytes.size();) {  // to the frame header
    if (bytes[i + 1] == 0xC0) {
      bytes[i + 5] = static_cast<uint8_t>(height >> 8), bytes[i + 6] = static_cast<uint8_t>(height);
      bytes[i + 7] = static_cast<uint8_t>(width >> 8), bytes[i + 8] = static_cast<uint8_t>(width);
      return bytes;
    }
    i += 2 + static_cast<size_t>(bytes[i + 2] * 256 + bytes[i + 3]);
  }
  throw std::runtime_error("no frame header");
}

TEST(Decode, GivesPillowsPixelsForEveryKind) {
  const auto cases = test::oracle_json("decode.json");
  ASSERT_GT(cases.size(), 40u);
  for (const auto& one : cases) {
    const std::string name = one["file"];
    EXPECT_EQ(decode(test::read_bytes(test::oracle(name)), name), test::oracle_picture(one["pixels"])) << name;
    EXPECT_TRUE(is_decodable_name(name)) << name;
  }
}

TEST(Decode, AJpegCutAnywhereFailsExactlyWherePillowFails) {
  const auto cuts = test::oracle_json("cuts.json");
  ASSERT_EQ(cuts.size(), 4u);
  for (const auto& [name, cut] : cuts.items()) {
    const Bytes whole = test::read_bytes(test::oracle(name));
    const Picture expected = decode(whole, name);
    const auto first_good = cut["first_good"].get<size_t>();
    for (size_t length = 1; length < whole.size(); ++length) {
      const std::span<const uint8_t> part(whole.data(), length);
      if (length < first_good) {
        EXPECT_THROW(decode(part, name), DataError) << name << " " << length;
      } else {
        EXPECT_EQ(decode(part, name), expected) << name << " " << length;
      }
    }
  }
}

TEST(Decode, OtherPicturesCutOffAreErrorsToo) {
  for (const std::string name :
       {"rgb.png", "palette.png", "rgb.bmp", "palette.bmp", "palette.gif", "rgb.tga", "rgb.ppm", "grey.pgm", "rgb.psd"}) {
    const Bytes whole = test::read_bytes(test::oracle(name));
    // Bytes that Pillow writes but no decoder needs: TGA's footer, the padding of a BMP's last row, GIF's end.
    const std::map<std::string, size_t> footers = {{"rgb.tga", 26}, {"rgb.bmp", 3}, {"palette.bmp", 1}, {"palette.gif", 2}};
    const size_t footer = footers.contains(name) ? footers.at(name) : 0;
    for (size_t length = 1; length + footer + 1 < whole.size(); ++length) {
      EXPECT_THROW(decode(std::span(whole.data(), length), name), DataError) << name << " " << length;
    }
  }
}

TEST(Decode, SaysThatAJpegIsCutOff) {
  const Bytes whole = test::read_bytes(test::oracle("444.jpg"));
  EXPECT_EQ(test::sentence_of<DataError>([&] { decode(std::span(whole.data(), whole.size() / 2), "x.jpg"); }),
            "x.jpg: the JPEG is cut off");
}

TEST(Decode, GarbageIsAnErrorAndNeverACrash) {
  EXPECT_THROW(decode({}, "x.jpg"), DataError);
  EXPECT_NE(test::sentence_of<DataError>([] {
              decode(text("<html>404</html>"), "x.jpg");
            }).find("this is a web page, not a picture of a supported kind"),
            std::string::npos);
  EXPECT_THROW(decode(Bytes{0xFF, 0xD8, 0xFF}, "x.jpg"), DataError);
  EXPECT_THROW(decode(Bytes{0xFF, 0xD8, 0xFF, 0xD9}, "x.jpg"), DataError);
}

TEST(Decode, DamagedFilesGiveAPictureOrAnErrorAndNeverACrash) {
  std::mt19937 random(11);
  int pictures = 0, errors = 0;
  for (const auto& one : test::oracle_json("decode.json")) {
    const std::string name = one["file"];
    const Bytes whole = test::read_bytes(test::oracle(name));
    for (int trial = 0; trial < 60; ++trial) {
      Bytes damaged = whole;
      for (uint32_t k = 0; k < 1 + random() % 6; ++k)
        damaged[random() % std::min<size_t>(damaged.size(), trial % 2 ? 64 : 1 << 20)] = static_cast<uint8_t>(random());
      // A damaged size may be huge and valid; this test does not check memory.
      try {
        const Picture picture = decode(damaged, name);
        EXPECT_EQ(picture.pixels.size(), static_cast<size_t>(picture.width) * static_cast<size_t>(picture.height) * 3);
        ++pictures;
      } catch (const DataError&) {
        ++errors;
      }
    }
  }
  EXPECT_GT(pictures, 100);
  EXPECT_GT(errors, 100);
}

TEST(Decode, ManyThreadsGiveTheSamePixels) {
  const auto cases = test::oracle_json("decode.json");
  std::vector<size_t> right(5, 0);
  std::vector<std::thread> threads;
  for (size_t& mine : right) {
    threads.emplace_back([&] {
      for (const auto& one : cases) {
        const std::string name = one["file"];
        mine += decode(test::read_bytes(test::oracle(name)), name) == test::oracle_picture(one["pixels"]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, std::vector<size_t>(5, cases.size()));
}

TEST(Decode, SizesBeyondTheLimitAreRefusedOnTheHeader) {
  EXPECT_EQ(kMaxPicturePixels, 178956970);
  EXPECT_NE(test::sentence_of<DataError>([] {
              decode(png_of_size(14000, 14000), "x.png");
            }).find("14000x14000 pixels are more than the limit of 178 million"),
            std::string::npos);
  EXPECT_NE(test::sentence_of<DataError>([] { decode(jpeg_of_size(65000, 65000), "x.jpg"); }).find("65000x65000 pixels"),
            std::string::npos);
  EXPECT_THROW(decode(png_of_size(20000, 20000), "x.png"), DataError);
  EXPECT_NE(test::sentence_of<DataError>([] { decode(png_of_size(9000, 9000), "x.png"); }).find("bytes cannot hold 9000x9000 pixels"),
            std::string::npos);
  EXPECT_THROW(decode(png_of_size(0, 5), "x.png"), DataError);
  EXPECT_THROW(decode(png_of_size(0x7fffffff, 0x7fffffff), "x.png"), DataError);
  EXPECT_THROW(decode(jpeg_of_size(0, 5), "x.jpg"), DataError);
}

TEST(Decode, PnmOfOtherLevelsIsRefusedAndNotMisread) {
  EXPECT_NE(test::sentence_of<DataError>([] { decode(text("P6 1 1 # c\n15\nabc"), "x.ppm"); }).find("255 levels, got 15"),
            std::string::npos);
  EXPECT_THROW(decode(text("P5 1 1 65535\nab"), "x.pgm"), DataError);
  const Picture picture = decode(text("P6 # a comment\n1 1\n255\nabc"), "x.ppm");
  EXPECT_EQ(picture.pixels, (Bytes{'a', 'b', 'c'}));
}

TEST(LoadPicture, ReadsAFileAndSaysWhatIsMissing) {
  EXPECT_EQ(load_picture(test::oracle("420.jpg")), test::oracle_picture("420_jpg.out.ppm"));
  EXPECT_EQ(test::sentence_of<DataError>([] { load_picture("/no/such.jpg"); }), "/no/such.jpg: there is no such picture");
  EXPECT_THROW(load_picture(test::oracle("")), DataError);
}

}  // namespace
}  // namespace mirilla::data
