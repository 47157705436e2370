// SPDX-License-Identifier: MIT
#include "data/draw/canvas.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "data/draw/colormap.h"
#include "data/pictures/decode.h"
#include "data/write/png_write.h"
#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

constexpr Bounds kClip = {0, 0, 40, 30};

double area(const Coverage& shape) { return std::accumulate(shape.share.begin(), shape.share.end(), 0.0); }

std::vector<Point> rectangle(float left, float top, float right, float bottom) {
  return {{left, top}, {right, top}, {right, bottom}, {left, bottom}};
}

TEST(CoverPolygon, CountsPartsOfPixelsAtTheEdges) {
  const Coverage shape = cover_polygon(rectangle(2.25f, 3.5f, 5.5f, 6), kClip);
  EXPECT_FLOAT_EQ(shape.at(2, 3), 0.75f * 0.5f);
  EXPECT_FLOAT_EQ(shape.at(3, 3), 0.5f);
  EXPECT_FLOAT_EQ(shape.at(4, 5), 1.0f);
  EXPECT_FLOAT_EQ(shape.at(5, 4), 0.5f);
  EXPECT_NEAR(area(shape), 3.25 * 2.5, 1e-5);
}

TEST(CoverPolygon, HasTheAreaOfATriangle) {
  const std::array<Point, 3> triangle = {Point{3.3f, 2.1f}, {35.7f, 8.9f}, {12.2f, 27.4f}};
  const double exact = 0.5 * std::abs((35.7 - 3.3) * (27.4 - 2.1) - (12.2 - 3.3) * (8.9 - 2.1));
  EXPECT_NEAR(area(cover_polygon(triangle, kClip)), exact, exact * 0.002);
}

TEST(CoverPolygon, CountsOverlappingPartsOnce) {
  // Twice around the same square.
  std::vector<Point> twice = rectangle(4, 4, 10, 10);
  const std::vector<Point> once = twice;
  twice.insert(twice.end(), once.begin(), once.end());
  EXPECT_EQ(cover_polygon(twice, kClip).share, cover_polygon(once, kClip).share);
}

TEST(CoverPolygon, StaysInsideTheClipEvenForFarCorners) {
  const Coverage shape = cover_polygon(rectangle(-1e9f, -1e9f, 1e9f, 1e9f), {5, 6, 9, 8});
  EXPECT_EQ(shape.box, (Bounds{5, 6, 9, 8}));
  EXPECT_NEAR(area(shape), 8, 1e-5);
  EXPECT_TRUE(cover_polygon(rectangle(50, 50, 60, 60), kClip).share.empty());
  EXPECT_TRUE(cover_polygon({}, kClip).share.empty());
}

TEST(CoverPolyline, IsAsWideAsRequestedAndCountsACrossingOnce) {
  const std::array<Point, 2> line = {Point{5, 10.5f}, {35, 10.5f}};
  const Coverage shape = cover_polyline(line, 3, kClip);
  double column = 0;
  for (int y = shape.box.top; y < shape.box.bottom; ++y) column += shape.at(20, y);
  EXPECT_NEAR(column, 3, 1e-4);
  const std::array<Point, 4> loop = {Point{5, 5}, {25, 25}, {25, 5}, {5, 25}};
  for (const float share : cover_polyline(loop, 4, kClip).share) EXPECT_LE(share, 1.0f);
}

TEST(Direction, IsTheCosineAndTheSineOfAWholeTurn) {
  for (int i = -50; i <= 150; ++i) {
    const float turns = static_cast<float>(i) / 100;
    const Point p = direction(turns);
    EXPECT_NEAR(p.x, std::cos(2 * M_PI * static_cast<double>(turns)), 2e-7) << turns;
    EXPECT_NEAR(p.y, std::sin(2 * M_PI * static_cast<double>(turns)), 2e-7) << turns;
  }
}

TEST(EllipseOutline, HasNearlyTheAreaOfAnEllipse) {
  const double exact = M_PI * 12.5 * 7.25;
  EXPECT_NEAR(area(cover_polygon(ellipse_outline({20, 15}, 12.5f, 7.25f), kClip)), exact, exact * 0.005);
}

TEST(Canvas, BlendsByCoverageAndAlpha) {
  Canvas canvas(8, 8, {0, 0, 0});
  canvas.rectangle({2, 2}, {4.5f, 4}, {1, 0.5f, 0}, 0.5f);
  EXPECT_FLOAT_EQ(canvas.at(3, 3).r, 0.5f);
  EXPECT_FLOAT_EQ(canvas.at(4, 3).r, 0.25f);
  EXPECT_FLOAT_EQ(canvas.at(3, 3).g, 0.25f);
  EXPECT_FLOAT_EQ(canvas.at(5, 3).r, 0.0f);
}

TEST(Canvas, DrawsOnlyInsideItsClip) {
  Canvas canvas(8, 8, {0, 0, 0});
  canvas.set_clip({2, 3, 5, 100});
  canvas.rectangle({-5, -5}, {50, 50}, {1, 1, 1});
  canvas.text("####", 0, 0, {1, 1, 1}, 3);
  Picture white(20, 20);
  std::fill(white.pixels.begin(), white.pixels.end(), uint8_t{255});
  canvas.picture(white, -3, -3);
  const Picture picture = canvas.to_picture();
  for (int y = 0; y < 8; ++y) {
    for (int x = 0; x < 8; ++x) EXPECT_EQ(picture.at(x, y)[0], x >= 2 && x < 5 && y >= 3 ? 255 : 0) << x << ' ' << y;
  }
}

TEST(Canvas, RecordsWhatEachShapeCovered) {
  Canvas canvas(6, 6, {0, 0, 0});
  canvas.rectangle({0, 0}, {6, 6}, {1, 1, 1});  // before: not recorded
  canvas.start_recording();
  canvas.rectangle({1, 1}, {3, 3}, {1, 0, 0});
  canvas.rectangle({2, 1}, {4.5f, 2}, {1, 0, 0});
  const std::vector<float> seen = canvas.stop_recording();
  canvas.rectangle({5, 5}, {6, 6}, {1, 0, 0});  // after: nor this
  ASSERT_EQ(seen.size(), 36u);
  EXPECT_FLOAT_EQ(seen[1 * 6 + 2], 1.0f);
  EXPECT_FLOAT_EQ(seen[1 * 6 + 4], 0.5f);
  EXPECT_FLOAT_EQ(seen[0], 0.0f);
  EXPECT_FLOAT_EQ(seen[35], 0.0f);
}

TEST(CanvasText, DrawsEachPrintableCharacterOnItsOwn) {
  std::vector<Picture> seen;
  for (char c = '!'; c <= '~'; ++c) {
    Canvas canvas(5, 9, {0, 0, 0});
    canvas.text(std::string_view(&c, 1), 0, 0, {1, 1, 1});
    const Picture picture = canvas.to_picture();
    if (c == '0' || c == 'O') continue;  // both look the same
    for (const Picture& other : seen) EXPECT_NE(picture, other) << c;
    seen.push_back(picture);
  }
  EXPECT_EQ(text_width("ab", 2), 22);
  EXPECT_EQ(text_width("", 2), 0);
}

TEST(CanvasText, ReadsUpwardsAsTheSameLineTurned) {
  Canvas flat(30, 9, {0, 0, 0}), up(9, 30, {0, 0, 0});
  flat.text("Epoch", 0, 0, {1, 1, 1});
  up.text_upwards("Epoch", 0, 30, {1, 1, 1});
  const Picture a = flat.to_picture(), b = up.to_picture();
  for (int y = 0; y < 9; ++y) {
    for (int x = 0; x < 30; ++x) EXPECT_EQ(a.at(x, y)[0], b.at(y, 29 - x)[0]) << x << ' ' << y;
  }
}

namespace {

Picture drawn(std::string_view text, int width) {
  Canvas canvas(width, 12, {0, 0, 0});
  canvas.text(text, 0, 3, {1, 1, 1});
  return canvas.to_picture();
}

}  // namespace

TEST(CanvasText, HasTheLettersOfLatin1EachOnItsOwn) {
  std::vector<Picture> seen;
  for (int c = 0xC0; c <= 0xFF; ++c) {
    const std::string letter = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    const Picture picture = drawn(letter, 5);
    EXPECT_EQ(text_width(letter), 5) << c;
    EXPECT_NE(picture, drawn("?", 5)) << c;
    for (const Picture& other : seen) EXPECT_NE(picture, other) << c;
    seen.push_back(picture);
  }
}

TEST(CanvasText, PutsAnAccentOverTheLetterAndLeavesTheLetterAsItIs) {
  const Picture plain = drawn("Nn", 11), accented = drawn("Ññ", 11);
  for (int y = 3; y < 12; ++y)
    for (int x = 0; x < 5; ++x) EXPECT_EQ(plain.at(x, y)[0], accented.at(x, y)[0]) << x << ' ' << y;  // N
  EXPECT_NE(accented.at(1, 0)[0] + accented.at(2, 0)[0], 0);                                          // its tilde, above
  for (int y = 5; y < 12; ++y)
    for (int x = 6; x < 11; ++x) EXPECT_EQ(plain.at(x, y)[0], accented.at(x, y)[0]) << x << ' ' << y;  // n
}

TEST(CanvasText, ShowsAQuestionMarkForAMissingLetterAndForEachStrayByte) {
  EXPECT_EQ(drawn("\xE6\xBC\xA2", 5), drawn("?", 5));                 // a character, three bytes
  EXPECT_EQ(drawn("a\xFF\xC3(", 23), drawn("a?\?(", 23));             // no lead byte; a lead byte alone
  EXPECT_EQ(drawn("\xE2\x80", 11), drawn("??", 11));                  // cut off
  EXPECT_EQ(drawn("\xE2\x80\x99\xE2\x80\x93", 11), drawn("'-", 11));  // typographic apostrophe and dash
}

TEST(CanvasText, IsShortenedBetweenCharacters) {
  EXPECT_EQ(shortened("montaña alta", text_width("monta...") + 5), "monta...");
  EXPECT_EQ(shortened("montaña alta", text_width("montañ...")), "montañ...");
}

TEST(CanvasText, IsShortenedToTheAvailableWidth) {
  EXPECT_EQ(shortened("mountain", 100), "mountain");
  EXPECT_EQ(shortened("mountain", text_width("mou..."), 1), "mou...");
  EXPECT_EQ(shortened("mountain", text_width("mou...", 2) + 3, 2), "mou...");
  EXPECT_EQ(shortened("mountain", 0), "...");
}

TEST(Png, ComesBackAsItWasWritten) {
  Picture picture(13, 7);
  for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<uint8_t>(i * 37 % 251);
  EXPECT_EQ(decode(encode_png(picture), "a.png"), picture);
  EXPECT_EQ(encode_png(picture), encode_png(picture));
  const std::vector<uint8_t> grey = {0, 50, 100, 150, 200, 255};
  const Picture back = decode(encode_png_grey(grey, 3, 2), "b.png");
  ASSERT_EQ(back.width, 3);
  for (size_t i = 0; i < grey.size(); ++i) EXPECT_EQ(back.pixels[i * 3 + 1], grey[i]);
  EXPECT_THROW(encode_png(Picture()), ShapeError);
  EXPECT_THROW(encode_png_grey(grey, 3, 3), ShapeError);
}

TEST(Colormap, PicksEntriesAsMatplotlibDoes) {
  // matplotlib.colormaps['magma'](v, bytes=True), and viridis
  EXPECT_EQ(color_of(kMagma, 0.0), (Rgb8{0, 0, 3}));
  EXPECT_EQ(color_of(kMagma, 0.5), (Rgb8{182, 54, 121}));
  EXPECT_EQ(color_of(kMagma, 1.0), (Rgb8{251, 252, 191}));
  EXPECT_EQ(color_of(kViridis, 0.0), (Rgb8{68, 1, 84}));
  EXPECT_EQ(color_of(kViridis, 1.0), (Rgb8{253, 231, 36}));
  EXPECT_EQ(color_of(kBlues, 0.0), (Rgb8{247, 251, 255}));
  EXPECT_EQ(color_of(kBlues, 0.5), (Rgb8{106, 173, 213}));
  EXPECT_EQ(color_of(kBlues, 1.0), (Rgb8{8, 48, 107}));
  EXPECT_EQ(color_of(kMagma, -3), kMagma[0]);
  EXPECT_EQ(color_of(kMagma, 7), kMagma[255]);
  EXPECT_EQ(color_of(kMagma, std::nan("")), kMagma[0]);
  EXPECT_EQ(color_of(kMagma, 0.25), kMagma[64]);
  EXPECT_EQ(color_of(kMagma, 0.2499), kMagma[63]);
}

}  // namespace
}  // namespace mirilla::data
