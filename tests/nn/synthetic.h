// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "kernels/core/philox.h"
#include "nn/files/model_file.h"
#include "nn/run/batches.h"

namespace mirilla::nn {

/// A folder that is removed when the test ends.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mirilla-XXXXXX").string();
    if (!mkdtemp(pattern.data())) throw Error("the test's folder cannot be made");
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Pictures drawn in memory: class c has its own stripe pattern under noise. The requested number, in batches; the last one may be
/// shorter.
class StripedBatches final : public Batches {
 public:
  StripedBatches(int64_t pictures, int64_t batch_size, int size, int classes) {
    for (int64_t begin = 0; begin < pictures; begin += batch_size) {
      data::Batch batch{.n = std::min(batch_size, pictures - begin), .size = size};
      for (int64_t i = begin; i < begin + batch.n; ++i) append(batch, i, i % classes);
      batches_.push_back(std::move(batch));
    }
    pictures_ = pictures;
  }

  int64_t batches_per_epoch() const override { return static_cast<int64_t>(batches_.size()); }
  int64_t pictures_per_epoch() const override { return pictures_; }
  void start(int64_t epoch) override {
    epochs_.push_back(epoch);
    next_ = 0;
  }
  const data::Batch* next() override { return next_ < batches_.size() ? &batches_[next_++] : nullptr; }

  const std::vector<int64_t>& started() const { return epochs_; }
  std::vector<data::Batch>& batches() { return batches_; }

 private:
  static void append(data::Batch& batch, int64_t item, int64_t label) {
    const RandomKey key{.seed = 5, .purpose = Purpose::kTest, .item = static_cast<uint32_t>(item)};
    const int side = batch.size;
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x)
        for (int c = 0; c < 3; ++c) {
          const int stripe = label % 2 == 0 ? x : y;
          const bool bright = (stripe / (1 << (label / 2 % 3 + 1))) % 2 == 0;
          const uint32_t noise = key.bits(static_cast<uint32_t>((y * side + x) * 3 + c)) >> 27;
          batch.pixels.push_back(static_cast<uint8_t>((bright ? 190 : 30) + noise));
        }
    batch.labels.push_back(label);
    batch.items.push_back(item);
  }

  std::vector<data::Batch> batches_;
  std::vector<int64_t> epochs_;
  int64_t pictures_ = 0;
  size_t next_ = 0;
};

inline ModelInfo small_info(int classes, int size = 32) {
  ModelInfo info{.resize = size, .size = size};
  for (int c = 0; c < classes; ++c) info.vocabulary.push_back("class" + std::to_string(c));
  return info;
}

/// Every value a model holds, for comparisons to the bit.
inline std::vector<std::vector<float>> values_of(const Module& model) {
  std::vector<std::vector<float>> values;
  for (const NamedTensor& named : model.parameters()) values.push_back(named.tensor.to_vector<float>());
  for (const NamedTensor& named : model.buffers()) values.push_back(named.tensor.to_vector<float>());
  return values;
}

}  // namespace mirilla::nn
