// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "data/draw/colormap.h"
#include "data/draw/figure.h"
#include "tests/oracle/named_values.h"
#include "tests/parity/row.h"
#include "weights/safetensors.h"

// Grad-CAM's figure against the one that matplotlib draws from the same data: make_cam_figure.py.
namespace mirilla::parity {
namespace {

weights::StateDict figures() {
  return weights::read_safetensors(std::filesystem::path(MIRILLA_SOURCE_DIR) / "tests/oracle/cam_figure/cam_figure.safetensors");
}

std::string matplotlib_of(const weights::StateDict& dict) { return "matplotlib " + dict.metadata.at("matplotlib"); }

data::Picture picture_of(int side) {
  data::Picture picture(side, side);
  const std::vector<double> units = test::units(fmt::format("cam_figure.picture.{}", side), int64_t{side} * side * 3);
  std::ranges::transform(units, picture.pixels.begin(), [](double u) { return static_cast<uint8_t>(256 * u); });
  return picture;
}

std::vector<float> map_of(int height, int width) {
  std::vector<float> map;
  for (const double u : test::units(fmt::format("cam_figure.map.{}x{}", height, width), int64_t{height} * width))
    map.push_back(static_cast<float>(2 * u - 1));
  return map;
}

/// A picture as imshow draws it on a screen of twice as many pixels, half a pixel further up and left; white outside.
data::Picture as_imshow_shows(const data::Picture& picture) {
  data::Picture screen(2 * picture.width, 2 * picture.height);
  std::ranges::fill(screen.pixels, uint8_t{255});
  for (int y = 0; y + 1 < screen.height; ++y)
    for (int x = 0; x + 1 < screen.width; ++x) std::copy_n(picture.at((x + 1) / 2, (y + 1) / 2), 3, screen.at(x, y));
  return screen;
}

int largest_difference(const data::Picture& came, std::span<const uint8_t> wanted) {
  int largest = came.pixels.size() == wanted.size() ? 0 : 255;
  for (size_t i = 0; i < std::min(came.pixels.size(), wanted.size()); ++i)
    largest = std::max(largest, std::abs(int{came.pixels[i]} - int{wanted[i]}));
  return largest;
}

TEST(CamFigureParity, EveryColourTableIsMatplotlibsToTheBit) {
  const weights::StateDict dict = figures();
  double differ = 0;
  for (const std::string name : {"magma", "viridis", "inferno", "jet"}) {
    const auto wanted = dict.at("table." + name).values<uint8_t>();
    ASSERT_EQ(wanted.size(), 768u);
    const data::Colormap& table = data::colormap_of(name);
    for (size_t i = 0; i < wanted.size(); ++i) differ += table[i / 3][i % 3] != wanted[i];
  }
  report({.id = "pictures.colour-tables",
          .what = "magma, viridis, inferno and jet: the 256 colours of each",
          .against = matplotlib_of(dict),
          .measured = differ,
          .tolerance = 0,
          .unit = "bytes that differ",
          .tolerance_because = "the same tables"});
}

TEST(CamFigureParity, AMapOverAPictureIsWhatMatplotlibDraws) {
  const weights::StateDict dict = figures();
  const auto cases = nlohmann::json::parse(dict.metadata.at("cases"));
  ASSERT_EQ(cases.size(), 4u);
  int largest = 0;
  for (const auto& one : cases) {
    const std::string name = one["name"];
    const int height = one["map"][0], width = one["map"][1];
    const data::Picture picture = picture_of(one["side"]);
    const data::Picture came = data::overlay(name.starts_with("course") ? as_imshow_shows(picture) : picture, map_of(height, width), height,
                                             width, {.colors = &data::colormap_of(one["table"].get<std::string>())});
    const int difference = largest_difference(came, dict.at(name).values<uint8_t>());
    EXPECT_LE(difference, 2) << name;
    largest = std::max(largest, difference);
  }
  report({.id = "pictures.cam-figure",
          .what = "the course's figure, imshow of the picture and of the map over it with alpha 0.6, and the same in the other colours",
          .against = matplotlib_of(dict),
          .measured = static_cast<double>(largest),
          .tolerance = 2,
          .unit = "of 255",
          .tolerance_because = "Agg places samples to 1/256 of a cell and blends in 8 bits"});
}

}  // namespace
}  // namespace mirilla::parity
