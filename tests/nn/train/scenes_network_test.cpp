// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "data/pictures/resize.h"
#include "data/scenes/scenes.h"
#include "kernels/devices.h"
#include "nn/train/learner.h"
#include "tests/nn/synthetic.h"

namespace mirilla::nn {
namespace {

constexpr int kDrawn = 96, kSize = 64, kClasses = static_cast<int>(data::kSceneClasses.size());

// Scenes in memory, class by class in turn; with or without their evidence.
class SceneBatches final : public Batches {
 public:
  SceneBatches(int64_t per_class, uint32_t first, int64_t batch_size, bool painted_over) {
    for (int64_t i = 0; i < per_class * kClasses; ++i) {
      if (i % batch_size == 0) batches_.push_back({.n = 0, .size = kSize});
      data::Batch& batch = batches_.back();
      const int label = static_cast<int>(i % kClasses);
      const data::Scene scene =
          data::draw_scene(static_cast<data::SceneClass>(label), 3, first + static_cast<uint32_t>(i / kClasses), kDrawn);
      const data::Picture whole = painted_over ? data::paint_over(scene.picture, scene.mask) : scene.picture;
      const data::Picture small = data::resize_crop(whole, kSize, .5, .5);
      batch.pixels.insert(batch.pixels.end(), small.pixels.begin(), small.pixels.end());
      batch.labels.push_back(label);
      batch.items.push_back(i);
      ++batch.n;
    }
    pictures_ = per_class * kClasses;
  }
  int64_t batches_per_epoch() const override { return static_cast<int64_t>(batches_.size()); }
  int64_t pictures_per_epoch() const override { return pictures_; }
  void start(int64_t) override { next_ = 0; }
  const data::Batch* next() override { return next_ < batches_.size() ? &batches_[next_++] : nullptr; }

 private:
  std::vector<data::Batch> batches_;
  int64_t pictures_ = 0;
  size_t next_ = 0;
};

TEST(ScenesNetwork, KnowsTheClassesByTheirEvidenceAndNotByWhatIsAroundIt) {
  ResNet model({.classes = kClasses, .seed = 1}, {.device = open_device("cpu")});
  constexpr int64_t kTrain = 80, kHeldOut = 20, kBatch = 32;
  constexpr uint32_t kUnseen = 1000;
  const ModelInfo info = small_info(kClasses, kSize);
  Learner learner(model, std::make_unique<SceneBatches>(kTrain, 0, kBatch, false),
                  std::make_unique<SceneBatches>(kHeldOut, kUnseen, kBatch, false), info, {.seed = 1});
  learner.fit_one_cycle(7, 3e-3);

  const double seen = learner.evaluate().accuracy;
  SceneBatches painted_over(kHeldOut, kUnseen, kBatch, true);
  const double blind = evaluate(model, painted_over, info).accuracy;
  EXPECT_GT(seen, 0.8) << "a network that learned nothing proves nothing";
  EXPECT_LT(blind, 0.4);
  RecordProperty("accuracy", std::to_string(seen));
  RecordProperty("accuracy_painted_over", std::to_string(blind));
  std::printf("accuracy %.3f, painted over %.3f\n", seen, blind);
}

}  // namespace
}  // namespace mirilla::nn
