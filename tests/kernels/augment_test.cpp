// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/core/device.h"
#include "kernels/core/philox.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/isa.h"
#include "kernels/host/threads.h"
#include "kernels/reference/reference.h"
#include "tests/kernels/scattered.h"
#include "tests/oracle/augment/cases.h"

namespace mirilla {
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

template <class T>
std::vector<T> run(Backend& backend, const Batch& batch) {
  std::vector<T> y(static_cast<size_t>(batch.n * batch.out_height * batch.out_width * 3), std::numeric_limits<T>::quiet_NaN());
  backend.run(op::Augment{.pictures = {batch.pictures.data(), {batch.n, batch.height, batch.width, 3}, DType::u8, 0, 0, true},
                          .parameters = {batch.rows.data(), {batch.n, kAugmentParameters}, DType::f32, 0, 0, true},
                          .lighting = batch.lighting,
                          .mean = batch.mean,
                          .std = batch.std,
                          .y = {y.data(), {batch.n, batch.out_height, batch.out_width, 3}, kDTypeOf<T>, true}});
  return y;
}

template <class T>
std::vector<T> run_scattered(Backend& backend, const Batch& batch) {
  const Scattered scattered(batch);
  std::vector<T> y(static_cast<size_t>(batch.n * batch.out_height * batch.out_width * 3), std::numeric_limits<T>::quiet_NaN());
  backend.run(op::Augment{.pictures = {scattered.bytes.data(), {scattered.slots, batch.height, batch.width, 3}, DType::u8, 0, 0, true},
                          .parameters = {batch.rows.data(), {batch.n, kAugmentParameters}, DType::f32, 0, 0, true},
                          .places = {scattered.places.data(), {batch.n, 2}, DType::i64, 0, 0, true},
                          .lighting = batch.lighting,
                          .mean = batch.mean,
                          .std = batch.std,
                          .y = {y.data(), {batch.n, batch.out_height, batch.out_width, 3}, kDTypeOf<T>, true}});
  return y;
}

/// The largest difference; infinite where one of them is not a number.
template <class A, class B>
double distance(const std::vector<A>& a, const std::vector<B>& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    most = std::max(most, std::isfinite(d) ? d : std::numeric_limits<double>::infinity());
  }
  return most;
}

float unit(uint32_t item, uint32_t index) { return to_unit(RandomKey{.seed = 5, .purpose = Purpose::kTest, .item = item}.bits(index)); }

std::vector<float> row_of(const std::array<float, 20>& start, float left, float top, float width, float height) {
  std::vector<float> row(start.begin(), start.end());
  row[14] = left, row[15] = top, row[16] = width, row[17] = height;
  return row;
}

/// Neighbouring pixels from 0 to 255, rotated, zoomed and warped, each picture in its own way and with its own crop.
Batch hard_batch(int64_t n, int64_t height, int64_t width, int64_t out_height, int64_t out_width) {
  Batch batch{n, height, width, out_height, out_width};
  batch.lighting = true;
  batch.pictures.resize(static_cast<size_t>(n * height * width * 3));
  for (size_t i = 0; i < batch.pictures.size(); ++i) {
    const auto value = static_cast<uint8_t>(RandomKey{.item = 1}.bits(static_cast<uint32_t>(i)) >> 24);
    batch.pictures[i] = value < 40 ? 0 : value > 215 ? 255 : value;
  }
  for (int64_t k = 0; k < n; ++k) {
    uint32_t drawn = 0;
    const auto draw = [&](float low, float high) { return low + (high - low) * unit(static_cast<uint32_t>(k + 2), drawn++); };
    std::array<float, 20> row = kIdentity;
    for (const size_t i : {0, 4}) row[i] = draw(0.8f, 1.3f);
    for (const size_t i : {1, 2, 3, 5, 7, 8, 9, 11, 12, 13}) row[i] = draw(-0.2f, 0.2f);
    const auto crop_width = std::ceil(static_cast<float>(width) * draw(0.8f, 1)),
               crop_height = std::ceil(static_cast<float>(height) * draw(0.8f, 1));
    row[18] = draw(-0.4f, 0.4f), row[19] = draw(0.8f, 1.25f);
    const auto whole = row_of(row, std::floor(draw(0, static_cast<float>(width) - crop_width + 0.99f)),
                              std::floor(draw(0, static_cast<float>(height) - crop_height + 0.99f)), crop_width, crop_height);
    batch.rows.insert(batch.rows.end(), whole.begin(), whole.end());
  }
  return batch;
}

Batch batch_of(const test::AugmentCase& c) {
  return {c.n, c.height, c.width, c.out_height, c.out_width, c.pictures, c.rows, !c.validation};
}

/// Runs a test for every instruction set that this machine has and restores the choice.
template <class F>
void for_each_isa(F&& f) {
  const std::string before = cpu::loops().name;
  for (const std::string_view name : cpu::loop_names()) {
    SCOPED_TRACE(name);
    cpu::use_loops(name);
    f();
  }
  cpu::use_loops(before);
}

TEST(AugmentReference, GivesFastaisNumbersInBothTypes) {
  ReferenceBackend backend;
  const auto cases = test::augment_cases();
  ASSERT_GE(cases.size(), 19u);
  for (const test::AugmentCase& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_LT(distance(run<float>(backend, batch_of(c)), c.expected), 1e-5);
    EXPECT_LT(distance(run<double>(backend, batch_of(c)), c.expected), 1e-5);
  }
}

TEST(AugmentCpu, GivesFastaisNumbersOnEveryInstructionSet) {
  CpuBackend backend;
  const auto cases = test::augment_cases();
  for_each_isa([&] {
    for (const test::AugmentCase& c : cases) {
      SCOPED_TRACE(c.name);
      EXPECT_LT(distance(run<float>(backend, batch_of(c)), c.expected), 1e-5);
    }
  });
}

TEST(AugmentCpu, AgreesWithTheReferenceInDoubleOnEveryInstructionSet) {
  CpuBackend backend;
  ReferenceBackend reference;
  const std::vector<Batch> batches = {
      hard_batch(2, 256, 256, 128, 128), hard_batch(3, 64, 97, 31, 17), hard_batch(2, 130, 150, 20, 31),  // the last is averaged first
      hard_batch(2, 20, 20, 65, 130),    hard_batch(2, 1, 9, 5, 4),     hard_batch(2, 9, 1, 1, 1),
      hard_batch(1, 1, 1, 3, 3),         hard_batch(2, 2, 2, 4, 4)};
  for (const Batch& batch : batches) {
    SCOPED_TRACE(fmt::format("{}x{} to {}x{}", batch.height, batch.width, batch.out_height, batch.out_width));
    const auto truth = run<double>(reference, batch);
    for_each_isa([&] { EXPECT_LT(distance(run<float>(backend, batch), truth), 1e-5); });
  }
}

TEST(AugmentCpu, GivesTheSameBitsForAnyNumberOfThreads) {
  CpuBackend backend;
  const Batch batch = hard_batch(3, 40, 50, 23, 21);
  const int before = host_threads();
  set_host_threads(1);
  const auto alone = run<float>(backend, batch);
  for (const int threads : {2, 3, 5, 16}) {
    set_host_threads(threads);
    EXPECT_EQ(run<float>(backend, batch), alone) << threads;
  }
  set_host_threads(before);
}

TEST(AugmentCpu, GivesTheSameBitsForPicturesThatLieAnywhere) {
  CpuBackend backend;
  ReferenceBackend reference;
  for (const Batch& batch :
       {hard_batch(3, 40, 50, 23, 21), hard_batch(2, 130, 150, 20, 31), hard_batch(2, 9, 1, 1, 1), hard_batch(2, 1, 9, 5, 4)}) {
    EXPECT_EQ(run_scattered<double>(reference, batch), run<double>(reference, batch));
    for_each_isa([&] { EXPECT_EQ(run_scattered<float>(backend, batch), run<float>(backend, batch)); });
  }
}

TEST(AugmentCpu, DoesNothingForAnEmptyBatchAndRefusesOtherTypes) {
  CpuBackend backend;
  EXPECT_TRUE(run<float>(backend, Batch{0, 8, 8, 4, 4}).empty());
  EXPECT_THROW(run<double>(backend, hard_batch(1, 8, 8, 4, 4)), DeviceError);
}

/// The promises below hold for both backends.
class AugmentBoth : public testing::TestWithParam<const char*> {
 protected:
  Backend& backend() {
    if (std::string_view(GetParam()) == "cpu") return cpu_;
    return reference_;
  }

 private:
  CpuBackend cpu_;
  ReferenceBackend reference_;
};
INSTANTIATE_TEST_SUITE_P(Backends, AugmentBoth, testing::Values("cpu", "reference"), [](const auto& p) { return std::string(p.param); });

/// One picture, whose pixel (y,x) is (10 y, x, 200), unchanged in value: mean 0, standard deviation 1 / 255.
Batch numbered(int64_t height, int64_t width, int64_t out_height, int64_t out_width, std::vector<float> row) {
  Batch batch{1, height, width, out_height, out_width, {}, std::move(row), false, {0, 0, 0}, {1 / 255.f, 1 / 255.f, 1 / 255.f}};
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      batch.pictures.insert(batch.pictures.end(), {static_cast<uint8_t>(10 * y), static_cast<uint8_t>(x), 200});
    }
  }
  return batch;
}

TEST_P(AugmentBoth, ValidationKeepsTheCornersAndSamplesEvenlyBetweenThem) {
  const auto y = run<float>(backend(), numbered(9, 17, 5, 13, row_of(kIdentity, 0, 0, 17, 9)));
  for (size_t i = 0; i < 5; ++i) {
    for (size_t j = 0; j < 13; ++j) {
      const float* const at = &y[(i * 13 + j) * 3];
      EXPECT_NEAR(at[0], 10 * 2 * static_cast<double>(i), 1e-3);
      EXPECT_NEAR(at[1], static_cast<double>(j) * 16 / 12, 1e-3);
      EXPECT_NEAR(at[2], 200, 1e-3);
    }
  }
}

TEST_P(AugmentBoth, AnUnchangedPictureOfTheSameSizeIsACopy) {
  Batch batch = hard_batch(2, 37, 53, 37, 53);
  batch.lighting = false, batch.mean = {0, 0, 0}, batch.std = {1 / 255.f, 1 / 255.f, 1 / 255.f};
  batch.rows = row_of(kIdentity, 0, 0, 53, 37);
  batch.rows.insert(batch.rows.end(), batch.rows.begin(), batch.rows.begin() + 20);
  EXPECT_LT(distance(run<float>(backend(), batch), batch.pictures), 1e-4);
}

TEST_P(AugmentBoth, PixelsBeyondTheBorderAreMirroredAtTheOutermostMiddles) {
  for (const int shift : {-23, -11, -3, 2, 10, 25}) {  // pixels; the picture is 11 wide, so some go around more than once
    std::array<float, 20> row = kIdentity;
    row[2] = 2.f * static_cast<float>(shift) / 10;
    const auto y = run<float>(backend(), numbered(3, 11, 3, 11, row_of(row, 0, 0, 11, 3)));
    for (int x = 0; x < 11; ++x) {
      const int around = ((x + shift) % 20 + 20) % 20;  // a walk to the right end and back
      EXPECT_NEAR(y[static_cast<size_t>(x) * 3 + 1], around <= 10 ? around : 20 - around, 1e-3) << shift << " " << x;
    }
  }
}

TEST_P(AugmentBoth, ACropShowsItsOwnPixels) {
  const auto y = run<float>(backend(), numbered(20, 30, 7, 11, row_of(kIdentity, 4, 2, 11, 7)));
  for (size_t i = 0; i < 7; ++i) {
    for (size_t j = 0; j < 11; ++j) {
      EXPECT_NEAR(y[(i * 11 + j) * 3], 10 * (2 + static_cast<double>(i)), 1e-3);
      EXPECT_NEAR(y[(i * 11 + j) * 3 + 1], 4 + static_cast<double>(j), 1e-3);
    }
  }
}

TEST_P(AugmentBoth, ACropOfMoreThanTwiceTheOutputIsAveragedFirst) {
  // 12 to 3: d = 2, so cells of 2x2; the samples are at cells 0, 2.5 and 5, whose centres are pixels 0.5, 5.5 and 10.5.
  const auto y = run<float>(backend(), numbered(12, 12, 3, 3, row_of(kIdentity, 0, 0, 12, 12)));
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 3; ++j) {
      EXPECT_NEAR(y[(i * 3 + j) * 3], 10 * (0.5 + 5 * static_cast<double>(i)), 1e-3);
      EXPECT_NEAR(y[(i * 3 + j) * 3 + 1], 0.5 + 5 * static_cast<double>(j), 1e-3);
    }
  }
}

TEST_P(AugmentBoth, LightingFollowsItsFormulaForEveryByte) {
  Batch batch{1, 16, 16, 16, 16, {}, {}, true, {0, 0, 0}, {1, 1, 1}};
  for (int v = 0; v < 256; ++v) batch.pictures.insert(batch.pictures.end(), 3, static_cast<uint8_t>(v));
  for (const auto& [shift, contrast] : {std::pair{0.f, 1.f}, {0.405f, 0.8f}, {-0.405f, 1.25f}, {2.f, 5.f}, {-1.f, 0.1f}, {0.f, 40.f}}) {
    batch.rows = row_of(kIdentity, 0, 0, 16, 16);
    batch.rows[18] = shift, batch.rows[19] = contrast;
    const auto y = run<float>(backend(), batch);
    for (int v = 0; v < 256; ++v) {
      const double x = std::clamp(v / 255.0, 1e-7, 1 - 1e-7);
      const double lit = 1 / (1 + std::exp(-(std::log(x / (1 - x)) + shift) * contrast));
      // At the clamp f32 cannot tell 1 - 1e-7 from 1 - 1.2e-7; a small contrast makes that visible, in fastai too.
      EXPECT_NEAR(y[static_cast<size_t>(v) * 3], lit, v == 255 && contrast < 0.8f ? 3e-3 : 2e-6) << v << " " << shift << " " << contrast;
    }
  }
}

TEST_P(AugmentBoth, NormalisesEachColourWithItsOwnMeanAndDeviation) {
  Batch batch = numbered(5, 5, 5, 5, row_of(kIdentity, 0, 0, 5, 5));
  batch.mean = kMean, batch.std = kStd;
  const auto y = run<float>(backend(), batch);
  EXPECT_NEAR(y[(2 * 5 + 3) * 3], (20 / 255.0 - 0.485) / 0.229, 1e-5);
  EXPECT_NEAR(y[(2 * 5 + 3) * 3 + 1], (3 / 255.0 - 0.456) / 0.224, 1e-5);
  EXPECT_NEAR(y[(2 * 5 + 3) * 3 + 2], (200 / 255.0 - 0.406) / 0.225, 1e-5);
}

}  // namespace
}  // namespace mirilla
