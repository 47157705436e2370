// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/ops/cross_entropy.h"
#include "engine/tape.h"
#include "nn/modules/resnet.h"
#include "tests/oracle/named_values.h"
#include "weights/safetensors.h"

namespace mirilla::test {

/// The results of torchvision's ResNet18 with fastai's head in float64, and the same network here: make_resnet.py describes the file.
class ResNetTruth {
 public:
  static constexpr std::array<const char*, 4> kBatches{"fine.3", "fine.4", "fine.5", "fine.6"};
  static constexpr int64_t kPictures = 8, kHeight = 40, kWidth = 36, kCell = 20;

  double number(const std::string& name) const { return oracle_.at(name).values<double>()[0]; }
  std::span<const double> values(const std::string& name) const { return oracle_.at(name).values<double>(); }
  /// The metadata's figures for PyTorch in f32, f16 or bf16.
  nlohmann::json pytorchs_own(const std::string& precision) const { return nlohmann::json::parse(oracle_.metadata.at(precision)); }
  const std::string& made_with() const { return oracle_.metadata.at("made_with"); }
  std::vector<int64_t> targets() const { return {0, 1, 2, 3, 4, 5, 0, 1}; }

  /// Gives the network its named values, and no dropout.
  void fill(nn::ResNet& model) const {
    fill_by_name(model);
    for (nn::NamedTensor named : model.parameters())
      if (const weights::Array* shift = oracle_.find("shift." + named.name)) {
        const std::vector<float> moved = values_for(named.name, named.tensor.shape(), shift->values<float>()[0]);
        named.tensor.copy_from(from_host(moved, named.tensor.shape(), named.tensor.device()));
      }
    set_dropout(model, 0);
  }

  Tensor pictures(Device& device, DType dtype, const std::string& batch = kBatches[0]) const {
    constexpr int64_t kRows = (kHeight + kCell - 1) / kCell, kColumns = (kWidth + kCell - 1) / kCell;
    const std::vector<double> coarse = units("coarse", kPictures * kRows * kColumns * 3);
    const std::vector<double> fine = units(batch, kPictures * kHeight * kWidth * 3);
    std::vector<float> pixels;
    for (int64_t i = 0; i < static_cast<int64_t>(fine.size()); ++i) {
      const int64_t c = i % 3, x = i / 3 % kWidth, y = i / 3 / kWidth % kHeight, n = i / 3 / kWidth / kHeight;
      const auto cell = static_cast<size_t>(((n * kRows + y / kCell) * kColumns + x / kCell) * 3 + c);
      pixels.push_back(static_cast<float>(2 * (2 * coarse[cell] - 1) + 0.5 * (2 * fine[static_cast<size_t>(i)] - 1)));
    }
    return from_host(pixels, {kPictures, kHeight, kWidth, 3}, device).to(dtype);
  }

  Tensor loss_of(const Tensor& logits) const { return cross_entropy(logits, from_host(targets(), {kPictures}, logits.device())).loss; }

  /// Distances from the truth, relative to its norm. These are exact,
  double of_values(const std::string& name, const Tensor& came) const {
    const std::vector<double> values = came.to_doubles();
    const std::span<const double> wanted = oracle_.at(name).values<double>();
    if (values.size() != wanted.size()) return NAN;
    double difference = 0, norm = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      difference += (values[i] - wanted[i]) * (values[i] - wanted[i]);
      norm += wanted[i] * wanted[i];
    }
    return std::sqrt(difference / norm);
  }
  /// and these estimates from projections: `mode` is train or eval.
  double of_tensor(const std::string& mode, const std::string& name, const Tensor& came) const {
    return distance(name, came.to_doubles(), values(mode + ".projections." + name)) / number(mode + ".norm." + name);
  }

 private:
  weights::StateDict oracle_ = weights::read_safetensors(MIRILLA_SOURCE_DIR "/tests/oracle/nn/resnet18.safetensors");
};

}  // namespace mirilla::test
