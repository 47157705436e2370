// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <regex>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "nn/train/callbacks.h"
#include "nn/train/learner.h"
#include "tests/oracle/named_values.h"

/// The fits of tests/oracle/make_fine_tune.py in Mirilla: the same pictures in the same order, the same initial values.
namespace mirilla::parity {

constexpr int kFineTuneClasses = 6;
inline const std::string kFineTuneFolder = MIRILLA_SOURCE_DIR "/tests/oracle/fine_tune/";

/// The largest of some numbers; NaN if one was NaN.
class Worst {
 public:
  void add(double x) {
    if (!(x <= value_) && !std::isnan(value_)) value_ = x;
  }
  double value() const { return value_; }

 private:
  double value_ = 0;
};

/// Pictures drawn from their names, "train.0" and so on.
class NamedPictures final : public nn::Batches {
 public:
  struct Spec {
    std::string part;  // "train" is shuffled again each epoch; "valid" stays in order
    std::vector<int64_t> labels;
    int size = 0;
    int64_t batch_size = 0;
  };
  explicit NamedPictures(Spec spec) : spec_(std::move(spec)) {
    for (size_t i = 0; i < spec_.labels.size(); ++i) pictures_.push_back(draw(spec_.part + "." + std::to_string(i), spec_.labels[i]));
  }

  int64_t batches_per_epoch() const override { return (pictures_per_epoch() + spec_.batch_size - 1) / spec_.batch_size; }
  int64_t pictures_per_epoch() const override { return static_cast<int64_t>(pictures_.size()); }
  void start(int64_t epoch) override {
    order_.resize(pictures_.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    next_ = 0;
    if (spec_.part != "train") return;
    const std::vector<double> keys = test::units("order." + std::to_string(epoch), pictures_per_epoch());
    std::stable_sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return keys[a] < keys[b]; });
  }
  const data::Batch* next() override {
    if (next_ == order_.size()) return nullptr;
    batch_ = {.size = spec_.size};
    for (; next_ < order_.size() && batch_.n < spec_.batch_size; ++next_, ++batch_.n) {
      const size_t i = order_[next_];
      batch_.pixels.insert(batch_.pixels.end(), pictures_[i].begin(), pictures_[i].end());
      batch_.labels.push_back(spec_.labels[i]);
      batch_.items.push_back(static_cast<int64_t>(i));
    }
    return &batch_;
  }

 private:
  std::vector<uint8_t> draw(const std::string& name, int64_t label) const {
    const int64_t side = spec_.size;
    const std::vector<double> noise = test::units(name, side * side * 3);
    std::vector<uint8_t> pixels;
    for (size_t k = 0; k < noise.size(); ++k) {
      const int64_t x = static_cast<int64_t>(k) / 3 % side, y = static_cast<int64_t>(k) / 3 / side;
      const bool bright = ((label % 2 == 0 ? x : y) >> (label / 2 % 3 + 1)) % 2 == 0;
      pixels.push_back(static_cast<uint8_t>(40 + std::floor(116 * noise[k]) + (bright ? 60 : 0)));
    }
    return pixels;
  }

  Spec spec_;
  std::vector<std::vector<uint8_t>> pictures_;
  std::vector<size_t> order_;
  size_t next_ = 0;
  data::Batch batch_;
};

/// Labels 0, 1, ..., 5, 0, ...
inline std::vector<int64_t> cycled(int64_t n) {
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < n; ++i) labels.push_back(i % kFineTuneClasses);
  return labels;
}

/// The network with its named values and a learner without augmentation and dropout, which prints as to a pipe.
struct FineTune {
  FineTune(nn::Placement placement, int size, int64_t batch_size, const std::vector<int64_t>& train, const std::vector<int64_t>& valid)
      : model({.classes = kFineTuneClasses, .seed = std::nullopt}, placement),
        info{.vocabulary = {"a", "b", "c", "d", "e", "f"}, .resize = size, .size = size},
        learner(model, std::make_unique<NamedPictures>(NamedPictures::Spec{"train", train, size, batch_size}),
                std::make_unique<NamedPictures>(NamedPictures::Spec{"valid", valid, size, batch_size}), info, {.augmentation = false}) {
    test::fill_by_name(model);
    test::set_dropout(model, 0);
    learner.add(table);
  }

  /// The printed lines, with times replaced by mm:ss.
  std::vector<std::string> lines() const {
    static const std::regex time(R"(\b(\d+:)?\d\d:\d\d\b)");
    std::istringstream text(std::regex_replace(out.str(), time, "mm:ss"));
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }

  std::ostringstream out;
  nn::Console console{out, false};
  nn::Table table{console};
  nn::ResNet model;
  nn::ModelInfo info;
  nn::Learner learner;
};

/// The number of lines that differ at the same place, plus the extra lines of the longer one.
inline double differing_lines(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const size_t shared = std::min(a.size(), b.size());
  size_t differing = std::max(a.size(), b.size()) - shared;
  for (size_t i = 0; i < shared; ++i) differing += a[i] != b[i];
  return static_cast<double>(differing);
}

/// The change of a parameter or buffer since its named values, in the oracle's short form: the norm, and 16 sums with patterns of signs.
constexpr size_t kMovedSums = 16;
using Moved = std::array<double, 1 + kMovedSums>;

inline Moved moved(const nn::NamedTensor& named) {
  const std::vector<double> now = named.tensor.to_doubles();
  const std::vector<float> before = test::values_for(named.name, named.tensor.shape());
  const std::vector<double> signs = test::units("signs." + named.name, named.tensor.numel());
  double square = 0;
  std::array<double, kMovedSums> sums{};
  for (size_t i = 0; i < now.size(); ++i) {
    const double step = now[i] - before[i];
    const auto bits = static_cast<uint32_t>(signs[i] * 0x1p24);
    square += step * step;
    for (size_t j = 0; j < kMovedSums; ++j) sums[j] += (bits >> j & 1) != 0 ? -step : step;
  }
  Moved moved{std::sqrt(square)};
  std::copy(sums.begin(), sums.end(), moved.begin() + 1);
  return moved;
}

/// An estimate of the norm of the difference of two changes: the root of the mean of the squared differences of their sums.
inline double distance(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t j = 1; j <= kMovedSums; ++j) sum += (a[j] - b[j]) * (a[j] - b[j]);
  return std::sqrt(sum / static_cast<double>(kMovedSums));
}

inline std::vector<nn::NamedTensor> parameters_and_buffers(const nn::ResNet& model) {
  std::vector<nn::NamedTensor> all = model.parameters();
  for (nn::NamedTensor& buffer : model.buffers()) all.push_back(std::move(buffer));
  return all;
}

}  // namespace mirilla::parity
