// SPDX-License-Identifier: MIT
#include "data/pictures/resize.h"

#include <set>

#include "tests/data/support.h"

namespace mirilla::data {
namespace {

TEST(Resize, GivesPillowsBytes) {
  int plain = 0, crops = 0;
  const auto oracle = test::oracle_json("resize.json");
  for (const auto& one : oracle["resize"]) {
    const Picture source = test::oracle_picture(one["source"]);
    const Picture expected = test::oracle_picture(one["pixels"]);
    const int width = one["size"][0], height = one["size"][1];
    if (one["box"].is_null()) {
      EXPECT_EQ(resize_crop(source, width, one["draw"][0], one["draw"][1]), expected) << one;
      ++crops;
    } else {
      const Box box{one["box"][0], one["box"][1], one["box"][2], one["box"][3]};
      EXPECT_EQ(resize_bilinear(source, box, width, height), expected) << one;
      ++plain;
    }
  }
  EXPECT_GE(plain, 12);
  EXPECT_GE(crops, 6);
}

TEST(ResizeCrop, TakesFastaisSquare) {
  int smaller_than_the_side = 0;
  const auto oracle = test::oracle_json("resize.json");
  ASSERT_GE(oracle["boxes"].size(), 20u);
  for (const auto& one : oracle["boxes"]) {
    const int width = one["picture"][0], height = one["picture"][1];
    const Box expected{one["box"][0], one["box"][1], one["box"][2], one["box"][3]};
    EXPECT_EQ(resize_crop_box(width, height, one["size"], one["draw"][0], one["draw"][1]), expected) << one;
    smaller_than_the_side += expected.width < std::min(width, height);
  }
  EXPECT_GT(smaller_than_the_side, 0) << "the oracle shows no side that int() cuts";
}

TEST(ResizeCrop, IsFixedExactlyWhereNoDrawMovesIt) {
  for (const auto& [width, height, size] :
       std::vector<std::array<int, 3>>{{100, 100, 128}, {61, 61, 224}, {61, 62, 224}, {100, 101, 128}, {100, 102, 64}, {7, 200, 9}}) {
    std::set<std::pair<int, int>> corners;
    for (int i = 0; i < 50; ++i) {
      const double pct = i / 50.0 + 0.019;
      const Box box = resize_crop_box(width, height, size, pct, pct);
      corners.emplace(box.x, box.y);
    }
    EXPECT_EQ(resize_crop_is_fixed(width, height, size), corners.size() == 1) << width << "x" << height << " " << size;
  }
}

TEST(Resize, EqualSizeIsACopy) {
  const Picture picture = test::numbered_picture(3, 13, 9);
  EXPECT_EQ(resize_bilinear(picture, {0, 0, 13, 9}, 13, 9), picture);
  EXPECT_EQ(resize_bilinear(picture, {2, 1, 5, 4}, 5, 4).pixels[0], *picture.at(2, 1));
}

TEST(Resize, SaysWhatDoesNotFit) {
  const Picture picture(10, 8);
  std::vector<uint8_t> out(3 * 4 * 4);
  EXPECT_EQ(test::sentence_of<ShapeError>([&] {
              resize_bilinear(picture, {4, 0, 7, 8}, 4, 4, out);
            }),
            "resize: the box 7x8 at (4,0) is empty or not inside the picture of 10x8");
  EXPECT_THROW(resize_bilinear(picture, {0, 0, 0, 8}, 4, 4, out), ShapeError);
  EXPECT_THROW(resize_bilinear(picture, {-1, 0, 4, 4}, 4, 4, out), ShapeError);
  EXPECT_THROW(resize_bilinear(picture, {0, 0, 4, 4}, 0, 4), ShapeError);
  EXPECT_THROW(resize_bilinear(picture, {0, 0, 4, 4}, 4, 5, out), ShapeError);
  EXPECT_THROW(resize_crop_box(10, 8, 4, 1.5, 0), ShapeError);
  EXPECT_THROW(resize_crop_box(10, 8, 0, 0, 0), ShapeError);
}

TEST(CropDraw, DependsOnSeedEpochAndItemAndFillsTheUnitInterval) {
  std::set<double> seen;
  double sum = 0;
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    for (int64_t item = 0; item < 50; ++item) {
      const CropDraw draw = crop_draw(42, epoch, item);
      for (const double value : {draw.x, draw.y}) {
        ASSERT_GE(value, 0);
        ASSERT_LT(value, 1);
        seen.insert(value);
        sum += value;
      }
    }
  }
  EXPECT_GT(seen.size(), 1990u);
  EXPECT_NEAR(sum / 2000, 0.5, 0.03);  // 4.6 standard errors
  EXPECT_EQ(crop_draw(42, 3, 5).x, crop_draw(42, 3, 5).x);
  EXPECT_NE(crop_draw(42, 3, 5).x, crop_draw(43, 3, 5).x);
}

}  // namespace
}  // namespace mirilla::data
