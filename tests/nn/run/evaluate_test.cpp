// SPDX-License-Identifier: MIT
#include "nn/run/evaluate.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/ops/cross_entropy.h"
#include "engine/ops/reductions.h"
#include "engine/read_back.h"
#include "tests/nn/kernel_device.h"
#include "tests/nn/run/replay_network.h"
#include "tests/nn/wrapped_device.h"

namespace mirilla::nn {
namespace {

using replaying::kClasses;

constexpr int kBatches = 3, kPictures = 4, kSide = 16;
const ModelInfo kInfo{.vocabulary = {"a", "b", "c", "d", "e"}, .resize = kSide, .size = kSide};

class DrawnBatches final : public Batches {
 public:
  int64_t batches_per_epoch() const override { return kBatches; }
  int64_t pictures_per_epoch() const override { return kBatches * kPictures; }
  void start(int64_t) override { made_ = 0; }
  const data::Batch* next() override {
    if (made_ == kBatches) return nullptr;
    batch_ = {.n = kPictures, .size = kSide};
    for (int i = 0; i < kPictures * kSide * kSide * 3; ++i) batch_.pixels.push_back(static_cast<uint8_t>((i * 97 + made_ * 31) % 251));
    for (int i = 0; i < kPictures; ++i) {
      batch_.labels.push_back((i + made_) % kClasses);
      batch_.items.push_back(made_ * kPictures + i);
    }
    ++made_;
    return &batch_;
  }

 private:
  int made_ = 0;
  data::Batch batch_;
};

// Never destroyed: its allocator lives as long as the program.
WrappedDevice& new_device() { return *std::make_unique<WrappedDevice>(kernel_device()).release(); }

TEST(Evaluate, WaitsOncePerBatchAlsoWhereItFoldsBatchNorms) {
  for (const ReplayMode replay : {ReplayMode::off, ReplayMode::on})
    for (const amp::Precision precision : {amp::Precision::fp32, amp::Precision::fp16}) {
      WrappedDevice& device = new_device();
      const auto network = replaying::small_network({device});
      DrawnBatches batches;
      for (int epoch = 0; epoch < 2; ++epoch) {
        device.waits = device.sends = 0;
        const Evaluation evaluation = evaluate(*network, batches, kInfo, {.precision = precision, .replay = {.mode = replay}});
        EXPECT_EQ(evaluation.n, kBatches * kPictures);
        constexpr int kNormsAlone = 2;                                  // of the head: each asks once for its variance, to take its root
        const int end_of_recording = replay == ReplayMode::on ? 1 : 0;  // before its memory is given to others
        EXPECT_EQ(device.waits - device.sends, kBatches + (epoch == 0 ? kNormsAlone : 0) + end_of_recording);
      }
    }
}

TEST(Evaluate, SaysOfEachPictureWhatTheTensorsSay) {
  Device& device = open_device(kernel_device());
  const Tensor logits = from_host(std::vector<float>{1, 5, 2, 0, 0, 0, 7, -3, 7}, {3, 3}, device);
  const std::vector<int64_t> labels{1, 2, 1}, items{4, 8, 15};
  const std::vector<ItemResult> results = results_of(logits, labels, items);
  const std::vector<double> losses = cross_entropy(logits, from_host(labels, {3}, device)).losses.to_doubles();
  const std::vector<double> probabilities = softmax(logits).to_doubles();
  const std::vector<int64_t> predicted{1, 0, 0};
  ASSERT_EQ(results.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(results[i].item, items[i]);
    EXPECT_EQ(results[i].actual, labels[i]);
    EXPECT_EQ(results[i].predicted, predicted[i]);
    EXPECT_EQ(results[i].loss, losses[i]);
    EXPECT_EQ(results[i].probability, probabilities[3 * i + static_cast<size_t>(predicted[i])]);
    EXPECT_EQ(results[i].weight, 1);
  }
}

TEST(ReadBack, GivesTheValuesOfTensorsOfEachTypeAndWaitsOnce) {
  WrappedDevice& device = new_device();
  const std::vector<double> values{1, -2, 0.5};
  std::vector<Tensor> all{Tensor(), from_host(std::vector<int64_t>{7, -9}, {2}, device), zeros({0, 4}, DType::f32, device)};
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) all.push_back(from_doubles(values, {3}, dtype, device));
  all.push_back(from_host(std::vector<uint8_t>{255}, {1}, device));
  device.waits = 0;
  const auto read = to_doubles_together(all);
  EXPECT_EQ(device.waits, 1);
  EXPECT_EQ(read, (std::vector<std::vector<double>>{{}, {7, -9}, {}, values, values, values, {255}}));
  EXPECT_TRUE(to_doubles_together({}).empty());
  EXPECT_EQ(device.waits, 1) << "nothing to read";
  EXPECT_THROW(to_doubles_together(std::vector<Tensor>{all[1], zeros({1}, DType::f32, open_device("cpu"))}), DeviceError);
}

}  // namespace
}  // namespace mirilla::nn
