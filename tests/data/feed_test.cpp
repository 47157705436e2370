// SPDX-License-Identifier: MIT
#include "data/feed.h"

#include <chrono>
#include <cstring>
#include <deque>
#include <thread>

#include "kernels/devices.h"
#include "tests/data/support.h"

namespace mirilla::data {
namespace {

constexpr int kSize = 12;
constexpr uint64_t kPicture = uint64_t{kSize} * kSize * 3;

/// Two of three pictures can be cropped in many ways.
std::shared_ptr<Dataset> dataset(int n, int cut_off = -1) {
  test::ZipMaker zip;
  for (int i = 0; i < n; ++i) {
    test::Bytes bytes = test::as_ppm(test::numbered_picture(i, i % 3 ? 20 : 10, 10));
    if (i == cut_off) bytes.resize(40);
    zip.add(fmt::format("{}/{:04}.ppm", i % 2 ? "odd" : "even", i), bytes);
  }
  return open_training(open_source(zip.bytes(), "z.zip"), {.valid_pct = 0.3, .options = {.resize = kSize}});
}

/// Which picture an item is: "odd/0005.ppm" is 5.
int number_of(const Dataset& data, int64_t item) {
  const std::string& path = data.items()[static_cast<size_t>(item)].path;
  return std::stoi(path.substr(path.find('/') + 1, 4));
}

/// A batch's bytes as a kernel reads them.
std::vector<uint8_t> gathered(const Batch& batch) {
  const std::vector<uint8_t> all = batch.pictures.to_vector<uint8_t>();
  const std::vector<int64_t> places = batch.places.to_vector<int64_t>();
  std::vector<uint8_t> pixels;
  for (int64_t i = 0; i < batch.n; ++i) {
    EXPECT_EQ(places[static_cast<size_t>(2 * i + 1)], int64_t{kSize} * 3);
    const auto first = all.begin() + places[static_cast<size_t>(2 * i)];
    pixels.insert(pixels.end(), first, first + static_cast<ptrdiff_t>(kPicture));
  }
  return pixels;
}

/// A host device that sends as late as a GPU may: when the arrival is waited for, or when the main stream, after follow(),
/// reads.
class LateDevice final : public Device {
 public:
  std::string_view name() const override { return "late"; }
  std::string description() const override { return "late: a test's"; }
  Backend& backend() override { return open_device("cpu").backend(); }
  void* allocate(size_t bytes) override { return open_device("cpu").allocate(bytes); }
  void release(void* address, size_t bytes) noexcept override { open_device("cpu").release(address, bytes); }
  bool host_addressable() const override { return true; }
  void copy_from_host(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_to_host(void* to, const void* from, size_t bytes) override {
    send_up_to(followed_);
    std::memcpy(to, from, bytes);
  }
  void copy(void* to, const void* from, size_t bytes) override { copy_to_host(to, from, bytes); }
  void synchronize() override { send_up_to(sent_ + waiting_.size()); }

  std::unique_ptr<DeviceMark> send_ahead(void* to, const void* pinned, size_t bytes, const DeviceMark*) override {
    waiting_.push_back({to, pinned, bytes});
    return std::make_unique<Arrival>(*this, sent_ + waiting_.size());
  }
  void follow(const DeviceMark& mark) override { followed_ = std::max(followed_, dynamic_cast<const Arrival&>(mark).number); }

 private:
  struct Sending {
    void* to;
    const void* from;
    size_t bytes;
  };
  struct Arrival final : DeviceMark {
    Arrival(LateDevice& of, size_t which) : device(of), number(which) {}
    bool reached() const override { return device.sent_ >= number; }
    void wait() const override { device.send_up_to(number); }
    LateDevice& device;
    size_t number;
  };

  void send_up_to(size_t number) {
    for (; sent_ < number; ++sent_) {
      std::memcpy(waiting_.front().to, waiting_.front().from, waiting_.front().bytes);
      waiting_.pop_front();
    }
  }

  std::deque<Sending> waiting_;
  size_t sent_ = 0, followed_ = 0;
};

// Never destroyed, as devices are.
LateDevice& late_device() {
  static LateDevice& device = *std::make_unique<LateDevice>().release();
  return device;
}

TEST(Feed, LeavesTheLoadersMemoryAloneUntilItHasBeenRead) {
  const auto data = dataset(60);
  const LoaderOptions options{.batch_size = 4, .threads = 2, .prefetch = 1};
  Loader loader(data, options);
  Feed feed(data, options, late_device(), 9 * kPicture);
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    loader.start(epoch);
    feed.start(epoch);
    while (const Batch* want = loader.next()) {
      const Batch* const got = feed.next();
      std::this_thread::sleep_for(std::chrono::milliseconds(4));  // in this time the workers fill all returned memory
      ASSERT_EQ(gathered(*got), want->pixels);
    }
  }
}

class FeedOn : public testing::TestWithParam<const char*> {
 protected:
  Device& device() { return open_device(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Devices, FeedOn, testing::Values("cpu", "simt"), [](const auto& i) { return std::string(i.param); });

TEST_P(FeedOn, GivesTheLoadersBatchesToTheByteWhateverItKeeps) {
  const auto data = dataset(60);
  for (const LoaderOptions& options :
       {LoaderOptions{.batch_size = 8, .threads = 2}, LoaderOptions{.batch_size = 8, .training = false},
        LoaderOptions{.batch_size = 7, .training = false, .random_crops = true}, LoaderOptions{.batch_size = 1, .threads = 3}}) {
    for (const uint64_t keep : {uint64_t{0}, 5 * kPicture + 1, uint64_t{1} << 20}) {
      Loader loader(data, options);
      Feed feed(data, options, device(), keep);
      EXPECT_EQ(feed.batches_per_epoch(), loader.batches_per_epoch());
      EXPECT_EQ(feed.pictures_per_epoch(), loader.pictures_per_epoch());
      for (int64_t epoch = 0; epoch < 3; ++epoch) {
        loader.start(epoch);
        feed.start(epoch);
        while (const Batch* want = loader.next()) {
          const Batch* const got = feed.next();
          ASSERT_TRUE(got);
          EXPECT_EQ(got->labels, want->labels);
          EXPECT_EQ(got->items, want->items);
          EXPECT_EQ(got->size, want->size);
          ASSERT_EQ(gathered(*got), want->pixels) << "epoch " << epoch << ", keeping " << keep << " bytes";
        }
        EXPECT_EQ(feed.next(), nullptr);
        EXPECT_EQ(feed.next(), nullptr);
      }
    }
  }
}

TEST_P(FeedOn, SendsWhatIsTheSameEveryEpochOnce) {
  const auto data = dataset(60);
  int64_t fixed = 0;
  data->scan(1);
  for (const int64_t item : data->train()) fixed += data->crop_is_fixed(item);
  ASSERT_GT(fixed, 5);
  ASSERT_LT(fixed, static_cast<int64_t>(data->train().size()));
  Feed feed(data, {.batch_size = 1}, device(), uint64_t{1} << 20);
  uint64_t before = 0;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    feed.start(epoch);
    while (feed.next()) continue;
    const auto pictures = static_cast<uint64_t>(feed.pictures_per_epoch());
    EXPECT_EQ(feed.statistics().sent - before, (epoch == 0 ? pictures : pictures - static_cast<uint64_t>(fixed)) * kPicture);
    EXPECT_EQ(feed.statistics().kept, fixed);
    before = feed.statistics().sent;
  }
  EXPECT_EQ(feed.statistics().places, 3 * static_cast<uint64_t>(feed.pictures_per_epoch()));
}

TEST_P(FeedOn, KeptPicturesAreDecodedNoMore) {
  test::ZipMaker zip;
  for (int i = 0; i < 20; ++i)
    zip.add(fmt::format("{}/{:04}.ppm", i % 2 ? "odd" : "even", i), test::as_ppm(test::numbered_picture(i, 10, 10)));
  const auto data = open_training(open_source(zip.bytes(), "z.zip"), {.valid_pct = 0.3, .options = {.resize = kSize, .cache_bytes = 0}});
  Feed feed(data, {.batch_size = 7}, device(), uint64_t{1} << 20);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    feed.start(epoch);
    while (feed.next()) continue;
  }
  EXPECT_EQ(data->cache_statistics().decoded, 14);
}

TEST_P(FeedOn, AnEpochMayBeginInTheMiddleOfAnother) {
  const auto data = dataset(60);
  const LoaderOptions options{.batch_size = 5, .threads = 2};
  Loader loader(data, options);
  Feed feed(data, options, device(), 9 * kPicture);
  for (int64_t epoch = 0; epoch < 8; ++epoch) {
    loader.start(epoch);
    feed.start(epoch);
    for (int64_t i = 0; i < epoch; ++i) {
      const Batch *const want = loader.next(), *const got = feed.next();
      ASSERT_EQ(gathered(*got), want->pixels) << epoch << " " << i;
    }
  }
}

TEST_P(FeedOn, AWorkersExceptionComesWithItsOwnBatchAndANewEpochMayStart) {
  const auto whole = dataset(40);
  const auto data = dataset(40, number_of(*whole, whole->valid()[6]));
  const LoaderOptions options{.batch_size = 4, .training = false};
  Loader loader(data, options);
  Feed feed(data, options, device(), 6 * kPicture);
  const auto batches_before = [](auto& source) {
    int batches = 0;
    source.start(0);
    const std::string sentence = test::sentence_of<DataError>([&] {
      while (source.next()) ++batches;
    });
    return std::pair(batches, sentence);
  };
  const auto want = batches_before(loader);
  ASSERT_FALSE(want.second.empty());
  for (int round = 0; round < 2; ++round) EXPECT_EQ(batches_before(feed), want);
}

TEST_P(FeedOn, MayGoInTheMiddleOfAnEpoch) {
  const auto data = dataset(60);
  Feed feed(data, {.batch_size = 4, .threads = 2}, device(), 0);
  feed.start(0);
  feed.next();
}

TEST(Dataset, KnowsWhichCropsAreFixedOnceItHasDecoded) {
  const auto data = dataset(12);
  EXPECT_FALSE(data->crop_is_fixed(0));
  data->scan(2);
  for (int64_t item = 0; item < 12; ++item) EXPECT_EQ(data->crop_is_fixed(item), number_of(*data, item) % 3 == 0) << item;
}

}  // namespace
}  // namespace mirilla::data
