// SPDX-License-Identifier: MIT
#include "apps/pages/channel_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "data/write/png_write.h"

namespace mirilla::pages {

namespace {

constexpr size_t kBins = 40;

struct Extent {
  double lo = 0, hi = 0, sum = 0;
};

// Of each channel.
std::vector<Extent> extents_of(const Channels& channels) {
  const auto c = static_cast<size_t>(channels.channels);
  std::vector<Extent> all(c);
  for (size_t i = 0; i < channels.values.size(); ++i) {
    Extent& extent = all[i % c];
    const double v = channels.values[i];
    extent.lo = i < c ? v : std::min(extent.lo, v);
    extent.hi = i < c ? v : std::max(extent.hi, v);
    extent.sum += v;
  }
  return all;
}

// The channels as tiles, and the number of tiles per row.
std::vector<uint8_t> tiles_png(const Channels& channels, const std::vector<Extent>& extents, int64_t& columns) {
  columns = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(channels.channels)))));
  const int64_t rows = (channels.channels + columns - 1) / columns, width = columns * channels.width;
  std::vector<uint8_t> pixels(static_cast<size_t>(rows * channels.height * width));
  std::vector<double> one(static_cast<size_t>(channels.height * channels.width));
  for (int64_t c = 0; c < channels.channels; ++c) {
    for (size_t i = 0; i < one.size(); ++i) one[i] = channels.values[i * static_cast<size_t>(channels.channels) + static_cast<size_t>(c)];
    const std::vector<uint8_t> bytes = as_bytes(one, extents[static_cast<size_t>(c)].lo, extents[static_cast<size_t>(c)].hi);
    for (int64_t y = 0; y < channels.height; ++y)
      std::copy_n(bytes.begin() + y * channels.width, channels.width,
                  pixels.begin() + (c / columns * channels.height + y) * width + c % columns * channels.width);
  }
  return data::encode_png_grey(pixels, static_cast<int>(width), static_cast<int>(rows * channels.height));
}

nlohmann::ordered_json histogram_of(std::span<const double> values, double lo, double hi) {
  std::vector<int64_t> counts(kBins);
  for (const double v : values) {
    const double at = hi > lo ? (v - lo) / (hi - lo) * kBins : 0;
    ++counts[std::min(kBins - 1, static_cast<size_t>(at))];
  }
  return {{"lo", rounded(lo)}, {"hi", rounded(hi)}, {"counts", counts}};
}

}  // namespace

std::string base64(std::span<const uint8_t> bytes) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j) word = word << 8 | (j < n ? bytes[i + j] : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= n ? kDigits[word >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

double rounded(double value) { return std::strtod(fmt::format("{:.5g}", value).c_str(), nullptr); }

Channels shrunk(const Channels& channels, int64_t shrink) {
  if (shrink <= 1) return channels;
  Channels out{.height = (channels.height + shrink - 1) / shrink,
               .width = (channels.width + shrink - 1) / shrink,
               .channels = channels.channels,
               .values = {}};
  const auto c = static_cast<size_t>(channels.channels);
  out.values.assign(static_cast<size_t>(out.height * out.width) * c, 0);
  for (int64_t y = 0; y < channels.height; ++y) {
    for (int64_t x = 0; x < channels.width; ++x) {
      const int64_t rows = std::min(shrink, channels.height - y / shrink * shrink),
                    columns = std::min(shrink, channels.width - x / shrink * shrink);
      const size_t to = static_cast<size_t>(y / shrink * out.width + x / shrink) * c,
                   from = static_cast<size_t>(y * channels.width + x) * c;
      for (size_t i = 0; i < c; ++i) out.values[to + i] += channels.values[from + i] / static_cast<double>(rows * columns);
    }
  }
  return out;
}

std::vector<uint8_t> as_bytes(std::span<const double> values, double lo, double hi) {
  std::vector<uint8_t> bytes(values.size());
  if (hi > lo)
    std::transform(values.begin(), values.end(), bytes.begin(),
                   [&](double v) { return static_cast<uint8_t>(std::lround(std::clamp((v - lo) / (hi - lo), 0.0, 1.0) * 255)); });
  return bytes;
}

size_t ImageStore::add(std::vector<uint8_t> png) {
  std::string text = base64(png);
  const auto [known, fresh] = known_.try_emplace(text, images_.size());
  if (fresh) images_.push_back(std::move(text));
  return known->second;
}

nlohmann::ordered_json describe_channels(const Channels& given, int64_t shrink, ImageStore& images) {
  Channels channels = given;
  int64_t not_finite = 0, zeros = 0;
  double sum = 0, squares = 0;
  for (double& v : channels.values) {
    if (!std::isfinite(v)) ++not_finite, v = 0;
    zeros += v == 0;
    sum += v;
  }
  const auto n = static_cast<double>(channels.values.size());
  for (const double v : channels.values) squares += (v - sum / n) * (v - sum / n);
  const auto [least, most] = std::minmax_element(channels.values.begin(), channels.values.end());
  nlohmann::ordered_json text = {{"min", rounded(*least)},
                                 {"mean_all", rounded(sum / n)},
                                 {"max", rounded(*most)},
                                 {"std", rounded(std::sqrt(squares / n))},
                                 {"zeros", rounded(static_cast<double>(zeros) / n)},
                                 {"histogram", histogram_of(channels.values, *least, *most)}};
  if (not_finite > 0) text["not_finite"] = not_finite;

  const Channels small = shrunk(channels, shrink);
  const std::vector<Extent> extents = extents_of(small);
  int64_t columns = 1;
  text["image"] = images.add(tiles_png(small, extents, columns));
  text["columns"] = columns;
  const double places = static_cast<double>(small.height * small.width);
  for (const Extent& extent : extents) {
    text["lo"].push_back(rounded(extent.lo));
    text["hi"].push_back(rounded(extent.hi));
    text["mean"].push_back(rounded(extent.sum / places));
  }
  return text;
}

}  // namespace mirilla::pages
