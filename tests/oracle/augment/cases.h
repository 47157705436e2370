// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace mirilla::test {

/// One of fastai's draws for a picture, with the names of make_augment.py.
struct OracleDraw {
  bool flip;
  double degrees, zoom, zoom_x, zoom_y, warp_x, warp_y, brightness, contrast;
};

/// A batch of pictures, its parameters, and fastai's results.
struct AugmentCase {
  std::string name;
  int64_t n = 3, height = 0, width = 0, out_height = 0, out_width = 0;
  bool validation = false;
  std::vector<OracleDraw> draws;
  std::array<int, 4> crop{};      // left, top, width, height
  std::vector<float> rows;        // (n,20)
  std::vector<uint8_t> pictures;  // (n,height,width,3)
  std::vector<float> expected;    // (n,out_height,out_width,3)
  bool expected_is_f64 = false;   // fastai's coordinates in f32 cost more than 5e-6 here, so these are its results in f64
  double f32_error = 0;           // of fastai: its f32 result against its f64 result
  std::string made_with;          // "fastai 2.8.12"
};

template <class T>
std::vector<T> read_numbers(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<T> numbers(std::filesystem::file_size(path) / sizeof(T));
  file.read(reinterpret_cast<char*>(numbers.data()), static_cast<std::streamsize>(numbers.size() * sizeof(T)));
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return numbers;
}

/// All cases of tests/oracle/augment.
inline std::vector<AugmentCase> augment_cases() {
  const std::filesystem::path folder = std::filesystem::path(MIRILLA_SOURCE_DIR) / "tests/oracle/augment";
  std::ifstream file(folder / "cases.json");
  const auto document = nlohmann::json::parse(file);
  const auto pictures = read_numbers<uint8_t>(folder / "pictures.bin");
  const auto expected = read_numbers<float>(folder / "expected.bin");
  std::vector<AugmentCase> cases;
  for (const auto& j : document.at("cases")) {
    AugmentCase& c = cases.emplace_back();
    c.name = j.at("name");
    c.height = j.at("height"), c.width = j.at("width"), c.out_height = j.at("out").at(0), c.out_width = j.at("out").at(1);
    c.validation = j.at("validation"), c.crop = j.at("crop").get<std::array<int, 4>>();
    for (const auto& d : j.at("draws")) {
      c.draws.push_back({d.at("flip").get<int>() != 0, d.at("degrees"), d.at("zoom"), d.at("zoom_x"), d.at("zoom_y"), d.at("warp_x"),
                         d.at("warp_y"), d.at("brightness"), d.at("contrast")});
    }
    for (const auto& row : j.at("rows")) {
      for (const auto& value : row) c.rows.push_back(value.get<float>());
    }
    c.made_with = "fastai " + document.at("made_with").at("fastai").get<std::string>();
    c.expected_is_f64 = j.at("expected_is") == "f64", c.f32_error = j.at("f32_error");
    c.n = static_cast<int64_t>(c.draws.size());
    const auto pictures_at = pictures.begin() + j.at("pictures_at").get<int64_t>();
    const auto expected_at = expected.begin() + j.at("expected_at").get<int64_t>();
    c.pictures.assign(pictures_at, pictures_at + c.n * c.height * c.width * 3);
    c.expected.assign(expected_at, expected_at + c.n * c.out_height * c.out_width * 3);
  }
  return cases;
}

}  // namespace mirilla::test
