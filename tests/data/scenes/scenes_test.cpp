// SPDX-License-Identifier: MIT
#include "data/scenes/scenes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>
#include <tuple>

#include "data/archive/archive.h"
#include "data/pictures/decode.h"
#include "kernels/core/error.h"

namespace mirilla::data {
namespace {

constexpr int kClasses = static_cast<int>(kSceneClasses.size());

SceneClass class_at(int c) { return static_cast<SceneClass>(c); }

RandomKey stage_key(uint32_t index) { return {42, Purpose::kScene, 99, index}; }

double mask_share(const Scene& scene) {
  return static_cast<double>(std::count(scene.mask.begin(), scene.mask.end(), uint8_t{255})) / static_cast<double>(scene.mask.size());
}

uint64_t fnv1a(std::span<const uint8_t> bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const uint8_t b : bytes) hash = (hash ^ b) * 0x100000001b3u;
  return hash;
}

// Softmax regression on a few numbers per picture, by gradient descent until it converges: what colour alone can show.
class LinearModel {
 public:
  using Features = std::array<double, 4>;  // the last one is 1

  void fit(const std::vector<Features>& x, const std::vector<int>& y) {
    for (int step = 0; step < 3000; ++step) {
      std::array<Features, kClasses> gradient{};
      for (size_t i = 0; i < x.size(); ++i) {
        const auto p = probabilities(x[i]);
        for (int c = 0; c < kClasses; ++c) {
          const double error = p[static_cast<size_t>(c)] - (c == y[i] ? 1 : 0);
          for (size_t k = 0; k < 4; ++k) gradient[static_cast<size_t>(c)][k] += error * x[i][k] / static_cast<double>(x.size());
        }
      }
      for (size_t c = 0; c < kClasses; ++c) {
        for (size_t k = 0; k < 4; ++k) weights_[c][k] -= 1.0 * gradient[c][k];
      }
    }
  }

  double accuracy(const std::vector<Features>& x, const std::vector<int>& y) const {
    int correct = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const auto p = probabilities(x[i]);
      correct += std::max_element(p.begin(), p.end()) - p.begin() == y[i];
    }
    return static_cast<double>(correct) / static_cast<double>(x.size());
  }

 private:
  std::array<double, kClasses> probabilities(const Features& x) const {
    std::array<double, kClasses> p{};
    double sum = 0;
    for (size_t c = 0; c < kClasses; ++c) {
      double logit = 0;
      for (size_t k = 0; k < 4; ++k) logit += weights_[c][k] * x[k];
      sum += p[c] = std::exp(logit);
    }
    for (double& v : p) v /= sum;
    return p;
  }

  std::array<Features, kClasses> weights_{};
};

struct ColorSet {
  std::vector<LinearModel::Features> x;
  std::vector<int> y;
};

ColorSet mean_colors(uint32_t first, uint32_t count) {
  ColorSet set;
  for (int c = 0; c < kClasses; ++c) {
    for (uint32_t i = 0; i < count; ++i) {
      const Picture picture = draw_scene(class_at(c), 42, first + i, 48).picture;
      LinearModel::Features mean{0, 0, 0, 1};
      for (size_t p = 0; p < picture.pixels.size(); ++p) mean[p % 3] += picture.pixels[p];
      for (size_t k = 0; k < 3; ++k) mean[k] = (mean[k] * 3 / static_cast<double>(picture.pixels.size()) - 110) / 45;
      set.x.push_back(mean);
      set.y.push_back(c);
    }
  }
  return set;
}

TEST(Scenes, AreTheSameBytesOnEveryMachine) {
  // Drawn once on x86-64 with GCC; any other machine, compiler or optimisation level must give the same.
  const std::array<uint64_t, kClasses> expected = {982186148086071664u, 6424394856108304597u, 7025335833232401350u,
                                                   951027195242123943u, 2642175023258593486u, 9282951929913648193u};
  for (int c = 0; c < kClasses; ++c) {
    const Scene scene = draw_scene(class_at(c), 42, 3, 96);
    std::vector<uint8_t> bytes = scene.picture.pixels;
    bytes.insert(bytes.end(), scene.mask.begin(), scene.mask.end());
    EXPECT_EQ(fnv1a(bytes), expected[static_cast<size_t>(c)]) << kSceneClasses[static_cast<size_t>(c)];
  }
}

TEST(Scenes, DifferByClassSeedAndIndex) {
  std::set<uint64_t> seen;
  for (int c = 0; c < kClasses; ++c) {
    for (uint32_t i = 0; i < 10; ++i) {
      for (const uint64_t seed : {uint64_t{1}, uint64_t{2}, uint64_t{1} << 40}) {
        EXPECT_TRUE(seen.insert(fnv1a(draw_scene(class_at(c), seed, i, 32).picture.pixels)).second) << c << ' ' << i << ' ' << seed;
      }
    }
  }
}

TEST(Scenes, HaveMasksThatCoverAQuarterAtMostOnAverage) {
  double sum = 0;
  constexpr uint32_t kEach = 60;
  for (int c = 0; c < kClasses; ++c) {
    double of_class = 0;
    for (uint32_t i = 0; i < kEach; ++i) {
      const double share = mask_share(draw_scene(class_at(c), 42, i, 96));
      EXPECT_GT(share, 0.05);
      EXPECT_LT(share, 0.5);
      of_class += share;
    }
    sum += of_class;
  }
  EXPECT_LE(sum / (kClasses * kEach), 0.25);
}

TEST(Scenes, CannotBeClassifiedByTheirMeanColour) {
  const ColorSet train = mean_colors(0, 80), test = mean_colors(kFirstTestScene, 50);
  LinearModel model;
  model.fit(train.x, train.y);
  EXPECT_LT(model.accuracy(test.x, test.y), 0.60);

  // The model is able to learn: it does when each class has its own colour.
  const auto tinted = [](ColorSet set) {
    for (size_t i = 0; i < set.x.size(); ++i) {
      set.x[i][0] += 12.0 * (set.y[i] % 3);
      set.x[i][1] += 12.0 * (set.y[i] / 3);
    }
    return set;
  };
  const ColorSet easy_train = tinted(train), easy_test = tinted(test);
  LinearModel easy;
  easy.fit(easy_train.x, easy_train.y);
  EXPECT_GT(easy.accuracy(easy_test.x, easy_test.y), 0.95);
}

TEST(PaintedOver, PicturesThatDifferOnlyInTheirExhibitBecomeEqual) {
  // So nothing outside the evidence shows the class: not the stage, the box or the light.
  for (const int size : {48, 64, 96, 100, 128, 224}) {
    for (uint32_t i = 0; i < (size > 100 ? 15u : 40u); ++i) {
      const Scene first = compose_scene(class_at(0), stage_key(i), size);
      const Picture expected = paint_over(first.picture, first.mask);
      for (int c = 1; c < kClasses; ++c) {
        const Scene other = compose_scene(class_at(c), stage_key(i), size);
        EXPECT_NE(other.picture, first.picture);
        ASSERT_EQ(paint_over(other.picture, other.mask), expected) << "class " << c << ", picture " << i << ", size " << size;
      }
    }
  }
}

TEST(PaintedOver, KeepsEveryPixelOutsideTheBoxAndReadsNoneInside) {
  const Scene scene = draw_scene(SceneClass::kStreet, 42, 1, 96);
  const Picture painted = paint_over(scene.picture, scene.mask);
  Picture blanked = scene.picture;
  int changed = 0;
  for (size_t i = 0; i < scene.mask.size(); ++i) {
    const bool same = std::equal(&painted.pixels[i * 3], &painted.pixels[i * 3] + 3, &scene.picture.pixels[i * 3]);
    changed += !same;
    if (scene.mask[i] != 0) std::fill_n(&blanked.pixels[i * 3], 3, uint8_t{77});
  }
  EXPECT_EQ(paint_over(blanked, scene.mask), painted);
  EXPECT_GT(changed, std::count(scene.mask.begin(), scene.mask.end(), uint8_t{255}) * 9 / 10);
  EXPECT_LT(changed, 96 * 96 / 2);
}

TEST(PaintedOver, TakesAnEmptyAndAFullMaskAndRefusesAnother) {
  const Scene scene = draw_scene(SceneClass::kSea, 42, 0, 32);
  EXPECT_EQ(paint_over(scene.picture, std::vector<uint8_t>(32 * 32)), scene.picture);
  EXPECT_EQ(paint_over(scene.picture, std::vector<uint8_t>(32 * 32, 255)).pixels, std::vector<uint8_t>(32 * 32 * 3, 128));
  EXPECT_THROW(paint_over(scene.picture, std::vector<uint8_t>(32)), ShapeError);
}

TEST(Scenes, RefuseSizesThatHoldNoScene) {
  EXPECT_THROW(draw_scene(SceneClass::kSea, 1, 0, 15), UsageError);
  EXPECT_THROW(draw_scene(SceneClass::kSea, 1, 0, 5000), UsageError);
  EXPECT_THROW(make_scenes({.per_class = 0}), UsageError);
}

TEST(ScenesZip, HoldsEveryPictureAndItsMaskAsDrawn) {
  const ScenesOptions options{.per_class = 6, .size = 32, .seed = 7};
  ScenesArchive archive = make_scenes(options);
  EXPECT_EQ(archive.report.train, 36);
  EXPECT_EQ(archive.report.test, 12);  // a fifth, rounded up
  const auto source = open_source(std::move(archive.zip), "scenes.zip");
  EXPECT_EQ(source->entries().size(), 2u * (36 + 12));
  for (const auto& [path, c, index] : {std::tuple("train/forest/0005.png", SceneClass::kForest, 5u),
                                       std::tuple("test/sea/0001.png", SceneClass::kSea, kFirstTestScene + 1)}) {
    const Scene scene = draw_scene(c, options.seed, index, options.size);
    EXPECT_EQ(decode(source->read(path), path), scene.picture);
    const Picture mask = decode(source->read(scene_mask_path(path)), path);
    ASSERT_EQ(mask.width, 32);
    for (size_t i = 0; i < scene.mask.size(); ++i) ASSERT_EQ(mask.pixels[i * 3], scene.mask[i]);
  }
}

TEST(ScenesZip, IsTheSameForAnyNumberOfThreadsAndAnyTimeZone) {
  const auto make = [](int threads, uint64_t seed) {
    return make_scenes({.per_class = 3, .size = 24, .seed = seed, .threads = threads}).zip;
  };
  const std::vector<uint8_t> zip = make(1, 5);
  EXPECT_EQ(make(3, 5), zip);
  EXPECT_NE(make(1, 6), zip);
  ::setenv("TZ", "Asia/Tokyo", 1);
  ::tzset();
  EXPECT_EQ(make(2, 5), zip);
  ::unsetenv("TZ");
  ::tzset();
}

TEST(ScenesZip, KeepsTheFirstPicturesWhenMoreAreRequested) {
  const auto few = open_source(make_scenes({.per_class = 2, .test_per_class = 1, .size = 24}).zip, "few");
  const auto many = open_source(make_scenes({.per_class = 4, .test_per_class = 2, .size = 24}).zip, "many");
  for (const auto& entry : few->entries()) EXPECT_EQ(few->read(entry.path), many->read(entry.path)) << entry.path;
}

TEST(ScenesZip, IsWrittenWholeOrNotAtAll) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "mirilla_scenes_zip";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const ScenesOptions options{.per_class = 1, .size = 16};
  const ScenesReport report = write_scenes(folder / "a.zip", options);
  EXPECT_EQ(static_cast<int64_t>(std::filesystem::file_size(folder / "a.zip")), report.bytes);
  EXPECT_GT(report.mask_share, 0.1);
  EXPECT_THROW(write_scenes(folder / "missing" / "a.zip", options), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  std::filesystem::remove_all(folder);
}

TEST(SceneMaskPath, PutsTheMaskUnderMasksWithItsOwnExtension) {
  EXPECT_EQ(scene_mask_path("train/sea/0001.png"), "masks/train/sea/0001.png");
  EXPECT_EQ(scene_mask_path("test/sea/0001.jpg"), "masks/test/sea/0001.png");
  EXPECT_EQ(scene_mask_path("a.b/c"), "masks/a.b/c.png");
}

}  // namespace
}  // namespace mirilla::data
