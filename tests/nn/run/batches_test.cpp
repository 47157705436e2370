// SPDX-License-Identifier: MIT
#include "nn/run/batches.h"

#include <gtest/gtest.h>

#include "kernels/devices.h"
#include "nn/run/evaluate.h"
#include "tests/data/support.h"
#include "tests/nn/kernel_device.h"

namespace mirilla::nn {
namespace {

namespace test = data::test;

constexpr int kResize = 20, kSize = 32;
constexpr uint64_t kPicture = uint64_t{kResize} * kResize * 3;
const ModelInfo kInfo{.vocabulary = {"even", "odd"}, .resize = kResize, .size = kSize};

/// Every second picture is square.
std::shared_ptr<const data::Dataset> dataset_of(int n) {
  test::ZipMaker zip;
  for (int i = 0; i < n; ++i)
    zip.add(fmt::format("{}/{:03}.ppm", i % 2 ? "odd" : "even", i), test::as_ppm(test::numbered_picture(i, i % 4 < 2 ? 22 : 30, 22)));
  return data::open_training(data::open_source(zip.bytes(), "z.zip"), {.valid_pct = 0.3, .options = {.resize = kResize}});
}

bool is_fed(const std::unique_ptr<Batches>& batches) { return dynamic_cast<const FeedBatches*>(batches.get()) != nullptr; }

class FedBatches : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Devices, FedBatches, testing::Values("cpu", kernel_device()), [](const auto& i) { return std::string(i.param); });

TEST_P(FedBatches, ShowTheNetworkWhatTheLoadersDoToTheBit) {
  Device& device = open_device(GetParam());
  const Placement placement{.device = device, .dtype = DType::f32};
  const auto dataset = dataset_of(24);
  const data::LoaderOptions loading{.batch_size = 5, .seed = 3};
  LoaderBatches loaded(dataset, loading);
  const auto fed = make_batches({dataset, loading}, device, {.bytes = 7 * kPicture});
  ASSERT_TRUE(is_fed(fed));
  uint32_t step = 0;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    loaded.start(epoch);
    fed->start(epoch);
    while (const data::Batch* want = loaded.next()) {
      const data::Batch* const got = fed->next();
      ASSERT_TRUE(got && got->pictures);
      ASSERT_EQ(training_input(*got, {.size = kSize}, 3, step, kInfo, placement).to_vector<float>(),
                training_input(*want, {.size = kSize}, 3, step, kInfo, placement).to_vector<float>());
      ASSERT_EQ(validation_input(*got, kInfo, placement).to_vector<float>(), validation_input(*want, kInfo, placement).to_vector<float>());
      ++step;
    }
  }
  EXPECT_EQ(step, 9u);
}

TEST(Batches, AreTheLoadersOwnOnAHostUnlessMemoryIsRequested) {
  const auto dataset = dataset_of(24);
  const PartOptions train{dataset, {.batch_size = 4}}, valid{dataset, {.batch_size = 4, .training = false}};
  Device& cpu = open_device("cpu");
  for (const DevicePictures pictures : {DevicePictures{}, DevicePictures{.bytes = 0}}) {
    EXPECT_FALSE(is_fed(make_batches(train, cpu, pictures)));
    EXPECT_FALSE(is_fed(make_batches(train, valid, cpu, pictures).first));
  }
  const auto both = make_batches(train, valid, cpu, {.bytes = kPicture});
  EXPECT_TRUE(is_fed(both.first) && is_fed(both.second));
}

TEST(Batches, OfOtherDevicesThanTheNetworksAreRefused) {
  const auto dataset = dataset_of(24);
  const auto fed = make_batches({dataset, {.batch_size = 4}}, open_device(kernel_device()), {.bytes = kPicture});
  fed->start(0);
  EXPECT_THROW(validation_input(*fed->next(), kInfo, Placement{.device = open_device("cpu"), .dtype = DType::f32}), Error);
}

TEST(DevicePictures, AreReadFromWords) {
  EXPECT_FALSE(parse_device_pictures("auto").bytes);
  EXPECT_EQ(parse_device_pictures("off").bytes, 0u);
  EXPECT_EQ(parse_device_pictures("123").bytes, 123u);
  EXPECT_EQ(parse_device_pictures("3K").bytes, 3u << 10);
  EXPECT_EQ(parse_device_pictures("20M").bytes, 20u << 20);
  EXPECT_EQ(parse_device_pictures("8G").bytes, uint64_t{8} << 30);
  for (const char* wrong : {"", "G", "8T", "-1", "1.5G", "8 G", "20000000000G", "99999999999999999999"})
    EXPECT_THROW(parse_device_pictures(wrong), UsageError) << wrong;
}

}  // namespace
}  // namespace mirilla::nn
