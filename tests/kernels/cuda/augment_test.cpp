// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/core/philox.h"
#include "kernels/devices.h"
#include "kernels/simt/executor.h"
#include "tests/kernels/buffer.h"
#include "tests/kernels/cuda/support.h"
#include "tests/kernels/scattered.h"
#include "tests/oracle/augment/cases.h"

namespace mirilla::test {
namespace {

constexpr std::array<float, 3> kMean{0.485f, 0.456f, 0.406f}, kStd{0.229f, 0.224f, 0.225f};
constexpr std::array<float, 20> kIdentity{1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1};  // without the crop

struct Batch {
  int64_t n = 0, height = 0, width = 0, out_height = 0, out_width = 0;
  std::vector<uint8_t> pictures;
  std::vector<float> rows;
  bool lighting = false;
  std::array<float, 3> mean = kMean, std = kStd;
};

/// The result, widened. Its memory is full of NaN before.
template <class T>
std::vector<double> run(Device& device, const Batch& batch, ConstView pictures, ConstView places, int64_t channels = 3) {
  const Buffer<float> rows(device, {batch.n, kAugmentParameters}, batch.rows);
  Buffer<T> y(device, {batch.n, batch.out_height, batch.out_width, channels});
  device.backend().run(op::Augment{.pictures = pictures,
                                   .parameters = rows,
                                   .places = places,
                                   .lighting = batch.lighting,
                                   .mean = batch.mean,
                                   .std = batch.std,
                                   .y = y});
  std::vector<double> values;
  for (const T& value : y.values()) {
    if constexpr (sizeof(T) == 2)
      values.push_back(static_cast<float>(value));
    else
      values.push_back(static_cast<double>(value));
  }
  return values;
}

template <class T>
std::vector<double> run(Device& device, const Batch& batch) {
  return run<T>(device, batch, Buffer<uint8_t>(device, {batch.n, batch.height, batch.width, 3}, batch.pictures), {});
}

template <class T>
std::vector<double> run_scattered(Device& device, const Batch& batch) {
  const Scattered scattered(batch);
  const Buffer<uint8_t> bytes(device, {scattered.slots, batch.height, batch.width, 3}, scattered.bytes);
  return run<T>(device, batch, bytes, Buffer<int64_t>(device, {batch.n, 2}, scattered.places));
}

std::vector<double> run(const Batch& batch, DType type = DType::f32) {
  Device& device = device_under_test();
  return type == DType::f32 ? run<float>(device, batch) : type == DType::f16 ? run<Half>(device, batch) : run<BFloat16>(device, batch);
}

double unit(DType type) { return type == DType::f32 ? 0 : type == DType::f16 ? 0x1p-11 : 0x1p-8; }

/// Within 1e-5 and one rounding to a half. Positions are exact to 1e-13 of a pixel, so the error is that of f32: about ten roundings of
/// values up to 1, divided by a standard deviation of 0.225, are 3e-6; the rest is for the logarithm near 0 and 1.
template <class Wanted>
void expect_near(const std::vector<double>& got, const std::vector<Wanted>& want, DType type = DType::f32) {
  ASSERT_EQ(got.size(), want.size());
  int told = 0;
  for (size_t i = 0; i < got.size() && told < 3; ++i) {
    const double wanted = static_cast<double>(want[i]);
    if (std::abs(got[i] - wanted) <= 1e-5 + unit(type) * std::abs(wanted)) continue;
    ADD_FAILURE() << "element " << i << " of " << got.size() << ": got " << got[i] << ", want " << wanted;
    ++told;
  }
}

std::vector<float> row_of(const std::array<float, 20>& start, float left, float top, float width, float height) {
  std::vector<float> row(start.begin(), start.end());
  row[14] = left, row[15] = top, row[16] = width, row[17] = height;
  return row;
}

/// Neighbouring pixels from 0 to 255, rotated, zoomed and warped, each picture in its own way and with its own crop.
Batch hard_batch(int64_t n, int64_t height, int64_t width, int64_t out_height, int64_t out_width) {
  Batch batch{n, height, width, out_height, out_width, {}, {}};
  batch.lighting = true;
  batch.pictures.resize(static_cast<size_t>(n * height * width * 3));
  for (size_t i = 0; i < batch.pictures.size(); ++i) {
    const auto value = static_cast<uint8_t>(RandomKey{.item = 1}.bits(static_cast<uint32_t>(i)) >> 24);
    batch.pictures[i] = value < 40 ? 0 : value > 215 ? 255 : value;
  }
  for (int64_t k = 0; k < n; ++k) {
    uint32_t drawn = 0;
    const RandomKey key{.seed = 5, .purpose = Purpose::kTest, .item = static_cast<uint32_t>(k + 2)};
    const auto draw = [&](float low, float high) { return low + (high - low) * to_unit(key.bits(drawn++)); };
    std::array<float, 20> row = kIdentity;
    for (const size_t i : {0, 4}) row[i] = draw(0.8f, 1.3f);
    for (const size_t i : {1, 2, 3, 5, 7, 8, 9, 11, 12, 13}) row[i] = draw(-0.2f, 0.2f);
    const float crop_width = std::ceil(static_cast<float>(width) * draw(0.8f, 1)),
                crop_height = std::ceil(static_cast<float>(height) * draw(0.8f, 1));
    row[18] = draw(-0.4f, 0.4f), row[19] = draw(0.8f, 1.25f);
    const auto whole = row_of(row, std::floor(draw(0, static_cast<float>(width) - crop_width + 0.99f)),
                              std::floor(draw(0, static_cast<float>(height) - crop_height + 0.99f)), crop_width, crop_height);
    batch.rows.insert(batch.rows.end(), whole.begin(), whole.end());
  }
  return batch;
}

class CudaAugment : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaAugment, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

TEST_P(CudaAugment, GivesFastaisNumbers) {
  const auto cases = augment_cases();
  ASSERT_GE(cases.size(), 19u);
  for (const AugmentCase& c : cases) {
    SCOPED_TRACE(c.name);
    const Batch batch{c.n, c.height, c.width, c.out_height, c.out_width, c.pictures, c.rows, !c.validation};
    expect_near(run(batch, GetParam()), c.expected, GetParam());
  }
}

TEST_P(CudaAugment, WithoutLightingItsParametersDoNotMatter) {
  Batch without = hard_batch(3, 16, 20, 8, 9);
  without.lighting = false;
  Batch broken = without;
  for (size_t row = 0; row < broken.rows.size(); row += kAugmentParameters) {
    broken.rows[row + 18] = std::numeric_limits<float>::quiet_NaN();
    broken.rows[row + 19] = std::numeric_limits<float>::infinity();
  }
  EXPECT_EQ(run(broken, GetParam()), run(without, GetParam()));
}

// Each way through the kernel.
std::vector<Batch> hard_batches() {
  return {hard_batch(2, 100, 90, 48, 64), hard_batch(3, 64, 97, 31, 17), hard_batch(2, 130, 150, 20, 31),  // the last is averaged first
          hard_batch(2, 130, 33, 16, 16),  // averaging would apply only to its rows, so it does not apply
          hard_batch(2, 20, 20, 65, 130), hard_batch(2, 1, 9, 5, 4),     hard_batch(2, 9, 1, 1, 1),
          hard_batch(1, 1, 1, 3, 3),      hard_batch(2, 2, 2, 4, 4),     hard_batch(5, 16, 16, 16, 16),  // one picture per block
          hard_batch(2, 16, 16, 1, 257)};
}

TEST_P(CudaAugment, EqualsTheReference) {
  for (const Batch& batch : hard_batches()) {
    SCOPED_TRACE(fmt::format("{}x{} to {}x{}", batch.height, batch.width, batch.out_height, batch.out_width));
    expect_near(run(batch, GetParam()), run<double>(open_device("reference"), batch), GetParam());
  }
}

TEST_P(CudaAugment, GivesTheSameBitsForPicturesThatLieAnywhere) {
  Device& device = device_under_test();
  for (const Batch& batch :
       {hard_batch(3, 40, 50, 23, 21), hard_batch(2, 130, 150, 20, 31), hard_batch(2, 9, 1, 1, 1), hard_batch(2, 1, 9, 5, 4)}) {
    const DType type = GetParam();
    EXPECT_EQ(type == DType::f32   ? run_scattered<float>(device, batch)
              : type == DType::f16 ? run_scattered<Half>(device, batch)
                                   : run_scattered<BFloat16>(device, batch),
              run(batch, type));
  }
}

TEST_P(CudaAugment, OfNoPicturesIsNothing) { EXPECT_TRUE(run(Batch{0, 8, 8, 4, 4, {}, {}}, GetParam()).empty()); }

TEST_P(CudaAugment, AnyScheduleGivesTheSameBits) {
  const Batch batch = hard_batch(3, 40, 50, 23, 21);
  const auto want = run(batch, GetParam());
  for (const uint64_t seed : {1, 2, 3}) {
    simt::set_schedule_seed(seed);
    EXPECT_EQ(run(batch, GetParam()), want) << seed;
  }
  simt::set_schedule_seed(0);
}

/// One picture, whose pixel (y,x) is (10 y, x, 200), unchanged in value: mean 0, standard deviation 1 / 255.
Batch numbered(int64_t height, int64_t width, int64_t out_height, int64_t out_width, std::vector<float> row) {
  Batch batch{1, height, width, out_height, out_width, {}, std::move(row), false, {0, 0, 0}, {1 / 255.f, 1 / 255.f, 1 / 255.f}};
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      batch.pictures.insert(batch.pictures.end(), {static_cast<uint8_t>(10 * y), static_cast<uint8_t>(x), 200});
  return batch;
}

TEST(CudaAugmentGeometry, AnUnchangedPictureOfTheSameSizeIsACopy) {
  Batch batch = hard_batch(2, 37, 53, 37, 53);
  batch.lighting = false, batch.mean = {0, 0, 0}, batch.std = {1 / 255.f, 1 / 255.f, 1 / 255.f};
  batch.rows = row_of(kIdentity, 0, 0, 53, 37);
  batch.rows.insert(batch.rows.end(), batch.rows.begin(), batch.rows.begin() + 20);
  const auto y = run(batch);
  for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], batch.pictures[i], 1e-4);
}

TEST(CudaAugmentGeometry, PixelsBeyondTheBorderAreMirroredAtTheOutermostMiddles) {
  for (const int shift : {-23, -11, -3, 2, 10, 25}) {  // pixels; the picture is 11 wide, so some go around more than once
    std::array<float, 20> row = kIdentity;
    row[2] = 2.f * static_cast<float>(shift) / 10;
    const auto y = run(numbered(3, 11, 3, 11, row_of(row, 0, 0, 11, 3)));
    for (int x = 0; x < 11; ++x) {
      const int around = ((x + shift) % 20 + 20) % 20;  // a walk to the right end and back
      EXPECT_NEAR(y[static_cast<size_t>(x) * 3 + 1], around <= 10 ? around : 20 - around, 1e-3) << shift << " " << x;
    }
  }
}

TEST(CudaAugmentGeometry, ACropOfMoreThanTwiceTheOutputIsAveragedFirst) {
  // 12 to 3: d = 2, so cells of 2x2; the samples are at cells 0, 2.5 and 5, whose centres are pixels 0.5, 5.5 and 10.5.
  const auto y = run(numbered(12, 12, 3, 3, row_of(kIdentity, 0, 0, 12, 12)));
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j) {
      EXPECT_NEAR(y[(i * 3 + j) * 3], 10 * (0.5 + 5 * static_cast<double>(i)), 1e-3);
      EXPECT_NEAR(y[(i * 3 + j) * 3 + 1], 0.5 + 5 * static_cast<double>(j), 1e-3);
    }
}

TEST(CudaAugmentGeometry, LightingFollowsItsFormulaForEveryByte) {
  Batch batch{1, 16, 16, 16, 16, {}, {}, true, {0, 0, 0}, {1, 1, 1}};
  for (int v = 0; v < 256; ++v) batch.pictures.insert(batch.pictures.end(), 3, static_cast<uint8_t>(v));
  for (const auto& [shift, contrast] : {std::pair{0.f, 1.f}, {0.405f, 0.8f}, {-0.405f, 1.25f}, {2.f, 5.f}, {-1.f, 0.1f}, {0.f, 40.f}}) {
    batch.rows = row_of(kIdentity, 0, 0, 16, 16);
    batch.rows[18] = shift, batch.rows[19] = contrast;
    const auto y = run(batch);
    for (int v = 0; v < 256; ++v) {
      const double x = std::clamp(v / 255.0, 1e-7, 1 - 1e-7);
      const double lit = 1 / (1 + std::exp(-(std::log(x / (1 - x)) + shift) * contrast));
      // At the clamp f32 cannot tell 1 - 1e-7 from 1 - 1.2e-7; a small contrast makes that visible, in fastai too.
      EXPECT_NEAR(y[static_cast<size_t>(v) * 3], lit, v == 255 && contrast < 0.8f ? 3e-3 : 2e-6) << v << " " << shift << " " << contrast;
    }
  }
}

// Each pixel of three channels, and a zero.
template <class T>
void expect_padding(const Batch& batch) {
  Device& device = device_under_test();
  const Buffer<uint8_t> pictures(device, {batch.n, batch.height, batch.width, 3}, batch.pictures);
  const std::vector<double> three = run<T>(device, batch, pictures, {}), four = run<T>(device, batch, pictures, {}, 4);
  ASSERT_EQ(four.size(), three.size() / 3 * 4);
  for (size_t i = 0; i < four.size(); ++i) {
    const double want = i % 4 == 3 ? 0 : three[i / 4 * 3 + i % 4];
    ASSERT_TRUE(four[i] == want || (std::isnan(want) && std::isnan(four[i]))) << "element " << i << ": " << four[i] << ", not " << want;
    ASSERT_EQ(std::signbit(four[i]), std::signbit(want));
  }
}

TEST(CudaAugmentPadded, PadsToFourChannelsWithoutChangingABit) {
  for (const Batch& batch : hard_batches()) {
    expect_padding<float>(batch);
    expect_padding<Half>(batch);
    expect_padding<BFloat16>(batch);
  }
  for (const bool lighting : {false, true}) {
    Batch batch{.n = 3, .height = 19, .width = 23, .out_height = 17, .out_width = 13, .lighting = lighting};
    for (int64_t i = 0; i < batch.n * batch.height * batch.width * 3; ++i) batch.pictures.push_back(static_cast<uint8_t>(i * 37 % 251));
    for (int64_t n = 0; n < batch.n; ++n) {
      std::array<float, 20> row = kIdentity;
      row[0] = 0.9f - 0.2f * static_cast<float>(n);
      row[16] = 23, row[17] = 19;
      if (n == 2) row[1] = std::numeric_limits<float>::quiet_NaN();  // a picture of NaN, whose padding is 0 all the same
      batch.rows.insert(batch.rows.end(), row.begin(), row.end());
    }
    expect_padding<float>(batch);
    expect_padding<Half>(batch);
    expect_padding<BFloat16>(batch);
  }
}

}  // namespace
}  // namespace mirilla::test
