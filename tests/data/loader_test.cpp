// SPDX-License-Identifier: MIT
#include "data/loader.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "data/pictures/decode.h"
#include "tests/data/support.h"

namespace mirilla::data {
namespace {

constexpr int kSize = 12;

std::shared_ptr<const Source> pictures(int n, int cut_off = -1) {
  test::ZipMaker zip;
  for (int i = 0; i < n; ++i) {
    test::Bytes bytes = test::as_ppm(test::numbered_picture(i, i % 3 ? 20 : 10, 10));  // two of three can be cropped in many ways
    if (i == cut_off) bytes.resize(40);
    zip.add(fmt::format("{}/{:04}.ppm", i % 2 ? "odd" : "even", i), bytes);
  }
  return open_source(zip.bytes(), "z.zip");
}

std::shared_ptr<Dataset> dataset(int n, uint64_t cache_bytes = 1 << 20, int cut_off = -1) {
  return open_training(pictures(n, cut_off), {.valid_pct = 0.3, .options = {.resize = kSize, .cache_bytes = cache_bytes}});
}

struct Copy {
  std::vector<uint8_t> pixels;
  std::vector<int64_t> labels, items;
  bool operator==(const Copy&) const = default;
};

std::vector<Copy> epoch_of(Loader& loader, int64_t epoch) {
  std::vector<Copy> batches;
  loader.start(epoch);
  while (const Batch* batch = loader.next()) {
    EXPECT_EQ(batch->n, static_cast<int64_t>(batch->labels.size()));
    EXPECT_EQ(batch->size, kSize);
    EXPECT_EQ(batch->pixels.size(), static_cast<size_t>(batch->n) * kSize * kSize * 3);
    batches.push_back({batch->pixels, batch->labels, batch->items});
  }
  EXPECT_EQ(loader.next(), nullptr);
  return batches;
}

TEST(Loader, GivesTheSameBatchesForAnyNumberOfThreads) {
  for (const bool training : {true, false}) {
    std::vector<std::vector<Copy>> expected;
    for (const int threads : {1, 2, 5}) {
      for (const int prefetch : {1, 3}) {
        for (const uint64_t cache_bytes : {uint64_t{0}, uint64_t{3000}, uint64_t{1} << 20}) {
          Loader loader(dataset(60, cache_bytes), {.batch_size = 8, .training = training, .threads = threads, .prefetch = prefetch});
          std::vector<std::vector<Copy>> epochs{epoch_of(loader, 0), epoch_of(loader, 1)};
          if (expected.empty()) expected = epochs;
          EXPECT_EQ(epochs, expected) << threads << " threads, prefetch " << prefetch;
        }
      }
    }
  }
}

TEST(Loader, ABatchHoldsItsItemsPixelsAndLabels) {
  const auto data = dataset(40);
  Loader loader(data, {.batch_size = 6, .threads = 3, .seed = 9});
  for (const Copy& batch : epoch_of(loader, 4)) {
    for (size_t i = 0; i < batch.items.size(); ++i) {
      const int64_t item = batch.items[i];
      const CropDraw draw = crop_draw(9, 4, item);
      const Picture expected = resize_crop(*data->picture(item), kSize, draw.x, draw.y);
      EXPECT_TRUE(std::equal(expected.pixels.begin(), expected.pixels.end(),
                             batch.pixels.begin() + static_cast<ptrdiff_t>(i * expected.pixels.size())));
      EXPECT_EQ(batch.labels[i], data->label(item));
    }
  }
}

TEST(Loader, TrainingShufflesEachEpochAnewAndDropsTheRest) {
  const auto data = dataset(60);  // 42 to train on
  Loader loader(data, {.batch_size = 8, .threads = 2});
  EXPECT_EQ(loader.batches_per_epoch(), 5);
  EXPECT_EQ(loader.pictures_per_epoch(), 40);
  std::vector<int64_t> orders[2];
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (const Copy& batch : epoch_of(loader, epoch)) orders[epoch].insert(orders[epoch].end(), batch.items.begin(), batch.items.end());
    EXPECT_EQ(std::set(orders[epoch].begin(), orders[epoch].end()).size(), 40u);
    for (const int64_t item : orders[epoch]) EXPECT_TRUE(std::count(data->train().begin(), data->train().end(), item));
  }
  EXPECT_NE(orders[0], orders[1]);
}

TEST(Loader, ValidationKeepsOrderAndTheRaggedLastBatch) {
  const auto data = dataset(60);  // 18 to validate on
  Loader loader(data, {.batch_size = 8, .training = false, .threads = 2});
  EXPECT_EQ(loader.batches_per_epoch(), 3);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {  // after the short batch, full ones follow again
    std::vector<int64_t> items, sizes;
    for (const Copy& batch : epoch_of(loader, epoch)) {
      items.insert(items.end(), batch.items.begin(), batch.items.end());
      sizes.push_back(static_cast<int64_t>(batch.items.size()));
    }
    EXPECT_EQ(items, data->valid());
    EXPECT_EQ(sizes, (std::vector<int64_t>{8, 8, 2}));
  }
}

TEST(Loader, RandomCropsOutsideTrainingKeepTheOrderAndMoveWithTheEpoch) {
  const auto data = dataset(60);
  Loader loader(data, {.batch_size = 8, .training = false, .threads = 2, .seed = 9, .random_crops = true});
  std::vector<std::vector<uint8_t>> epochs;
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    std::vector<int64_t> items;
    std::vector<uint8_t>& pixels = epochs.emplace_back();
    for (const Copy& batch : epoch_of(loader, epoch)) {
      items.insert(items.end(), batch.items.begin(), batch.items.end());
      pixels.insert(pixels.end(), batch.pixels.begin(), batch.pixels.end());
    }
    EXPECT_EQ(items, data->valid());
    for (size_t i = 0; i < items.size(); ++i) {
      const CropDraw draw = crop_draw(9, epoch, items[i]);
      const Picture expected = resize_crop(*data->picture(items[i]), kSize, draw.x, draw.y);
      const size_t bytes = expected.pixels.size();
      EXPECT_TRUE(std::equal(expected.pixels.begin(), expected.pixels.end(), pixels.begin() + static_cast<ptrdiff_t>(i * bytes))) << i;
    }
  }
  EXPECT_NE(epochs[0], epochs[1]);
}

TEST(Loader, APartSmallerThanABatchGivesNoneInTrainingAndOneInValidation) {
  const auto data = dataset(10);
  Loader training(data, {.batch_size = 8});
  EXPECT_EQ(training.batches_per_epoch(), 0);
  EXPECT_TRUE(epoch_of(training, 0).empty());
  Loader validation(data, {.batch_size = 8, .training = false});
  EXPECT_EQ(epoch_of(validation, 0).size(), 1u);
}

TEST(Loader, NothingGrowsFromEpochToEpoch) {
  const auto data = dataset(60);
  Loader loader(data, {.batch_size = 7, .training = false, .threads = 2});
  std::set<const uint8_t*> first, later;
  const auto visit = [&](int64_t epoch, std::set<const uint8_t*>& buffers) {
    loader.start(epoch);
    while (const Batch* batch = loader.next()) buffers.insert(batch->pixels.data());
  };
  visit(0, first);
  const uint64_t bytes = data->cache_statistics().bytes;
  for (int64_t epoch = 1; epoch < 6; ++epoch) visit(epoch, later);
  EXPECT_LE(first.size(), 3u);
  EXPECT_EQ(first, later);
  EXPECT_EQ(data->cache_statistics().bytes, bytes);
}

TEST(Loader, AWorkersExceptionReachesTheCallerAndANewEpochMayStart) {
  const auto data = dataset(40, 1 << 20, 5);
  for (const int threads : {1, 4}) {
    for (const bool training : {true, false}) {
      const auto& part = training ? data->train() : data->valid();
      const bool has_bad =
          std::any_of(part.begin(), part.end(), [&](int64_t i) { return data->items()[static_cast<size_t>(i)].path == "odd/0005.ppm"; });
      if (!has_bad) continue;
      Loader loader(data, {.batch_size = 4, .training = training, .threads = threads});
      std::string sentences[2];
      for (int round = 0; round < 2; ++round) {
        loader.start(0);
        sentences[round] = test::sentence_of<DataError>([&] {
          while (loader.next()) continue;
        });
        EXPECT_EQ(loader.next(), nullptr);
      }
      EXPECT_EQ(sentences[0], "odd/0005.ppm: the picture is cut off");
      EXPECT_EQ(sentences[1], sentences[0]);
    }
  }
}

TEST(Loader, MayBeDestroyedOrRestartedInTheMiddleOfAnEpoch) {
  const auto data = dataset(60);
  Loader reference(data, {.batch_size = 8, .threads = 1});
  const auto expected = epoch_of(reference, 1);
  for (int taken = 0; taken < 5; ++taken) {
    Loader loader(data, {.batch_size = 8, .threads = 3});
    loader.start(0);
    for (int i = 0; i < taken; ++i) ASSERT_NE(loader.next(), nullptr);
    EXPECT_EQ(epoch_of(loader, 1), expected);
    loader.start(2);
    for (int i = 0; i < taken; ++i) ASSERT_NE(loader.next(), nullptr);
  }
  const Loader never_started(data, {.threads = 4});
}

TEST(Loader, AHeldBatchIsNotTouchedWhileWorkersRunAhead) {
  const auto data = dataset(60);
  Loader loader(data, {.batch_size = 4, .threads = 4, .prefetch = 2});
  loader.start(0);
  while (const Batch* batch = loader.next()) {
    const std::vector<uint8_t> before = batch->pixels;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ASSERT_EQ(batch->pixels, before);
  }
}

TEST(Loader, RefusesOptionsThatMakeNoSense) {
  const auto data = dataset(10);
  EXPECT_THROW(Loader(data, {.batch_size = 0}), UsageError);
  EXPECT_THROW(Loader(data, {.threads = 0}), UsageError);
  EXPECT_THROW(Loader(data, {.prefetch = 0}), UsageError);
}

TEST(Shuffled, IsAUniformPermutationOfSeedAndEpoch) {
  std::vector<int64_t> identity(5);
  for (int64_t i = 0; i < 5; ++i) identity[static_cast<size_t>(i)] = i;
  int counts[5][5] = {};
  for (int64_t epoch = 0; epoch < 5000; ++epoch) {
    const auto order = shuffled(identity, 1, epoch);
    for (size_t place = 0; place < 5; ++place) ++counts[place][order[place]];
  }
  double chi_squared = 0;
  for (const auto& row : counts) {
    for (const int count : row) chi_squared += (count - 1000) * (count - 1000) / 1000.0;
  }
  EXPECT_LT(chi_squared, 45);  // about 16 +- 6 for a fair shuffle
  EXPECT_EQ(shuffled(identity, 1, 3), shuffled(identity, 1, 3));
  EXPECT_NE(shuffled(std::vector<int64_t>(randperm(50, 0)), 1, 3), shuffled(std::vector<int64_t>(randperm(50, 0)), 2, 3));
  EXPECT_TRUE(shuffled({}, 1, 0).empty());
}

}  // namespace
}  // namespace mirilla::data
