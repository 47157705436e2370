// SPDX-License-Identifier: MIT
#include "nn/inspect/show_batch.h"

#include <set>

#include "data/loader.h"
#include "kernels/devices.h"
#include "nn/run/evaluate.h"
#include "tests/data/support.h"

namespace mirilla::nn {
namespace {

namespace test = data::test;

constexpr int kResize = 40, kSize = 32;
const ModelInfo kInfo{.vocabulary = {"even", "odd"}, .resize = kResize, .size = kSize};

/// n pictures of 50 x 44, so that Resize has a choice.
std::shared_ptr<const data::Dataset> dataset_of(int n) {
  test::ZipMaker zip;
  for (int i = 0; i < n; ++i)
    zip.add(fmt::format("{}/{:03}.ppm", i % 2 ? "odd" : "even", i), test::as_ppm(test::numbered_picture(i, 50, 44)));
  return data::open_training(data::open_source(zip.bytes(), "z.zip"), {.valid_pct = 0.3, .options = {.resize = kResize}});
}

Placement cpu() { return {.device = open_device("cpu"), .dtype = DType::f32}; }

ShownBatch show(const std::shared_ptr<const data::Dataset>& dataset, const ShowBatchOptions& options) {
  return show_batch(dataset, kInfo, options, cpu());
}

/// Expects the picture to show this network input, within half of one of 255 levels.
void expect_shows(const data::Picture& picture, std::span<const double> input) {
  ASSERT_EQ(picture.pixels.size(), input.size());
  double most = 0;
  for (size_t k = 0; k < input.size(); ++k) {
    const auto c = k % 3;
    most = std::max(
        most, std::abs(picture.pixels[k] - 255 * (input[k] * static_cast<double>(kInfo.std[c]) + static_cast<double>(kInfo.mean[c]))));
  }
  EXPECT_LE(most, 0.501);
}

TEST(ShowBatch, ShowsTheFirstPicturesOfTheFirstTrainingBatch) {
  const auto dataset = dataset_of(40);
  const ShownBatch shown = show(dataset, {.pictures = 6, .batch_size = 16, .seed = 7});
  data::Loader loader(dataset, {.batch_size = 16, .seed = 7});
  loader.start(0);
  const data::Batch& batch = *loader.next();
  const std::vector<float> rows = data::draw_parameters({}, 7, 0, batch.items, kResize, kResize);
  const std::vector<double> input = to_input(batch.pixels, 16, kResize, kResize, rows, true, kInfo, cpu()).to_doubles();
  EXPECT_EQ(shown.n, 16);
  EXPECT_EQ(shown.crop, data::draw_crop({}, 7, 0, kResize, kResize));
  ASSERT_EQ(shown.pictures.size(), 6u);
  const size_t numbers = kSize * kSize * 3;
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(shown.pictures[i].item, batch.items[i]);
    EXPECT_EQ(shown.pictures[i].draw, data::draw_picture({}, 7, 0, static_cast<uint32_t>(batch.items[i])));
    expect_shows(shown.pictures[i].picture, std::span(input).subspan(i * numbers, numbers));
  }
}

TEST(ShowBatch, ShowsNoMoreThanTheBatchHas) {
  EXPECT_EQ(show(dataset_of(40), {.pictures = 9, .batch_size = 4}).pictures.size(), 4u);
  EXPECT_EQ(show(dataset_of(10), {.pictures = 9, .training = false}).pictures.size(), 3u);
}

TEST(ShowBatch, ShowsValidationInItsOrderAndUnchanged) {
  const auto dataset = dataset_of(40);
  const ShownBatch shown = show(dataset, {.pictures = 3, .training = false});
  EXPECT_EQ(shown.crop, data::full_crop(kResize, kResize));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(shown.pictures[i].item, dataset->valid()[i]);
    EXPECT_EQ(shown.pictures[i].draw, data::PictureDraw{});
    data::Picture resized(kResize, kResize);
    dataset->resized(shown.pictures[i].item, {}, resized.pixels);
    const std::vector<float> rows = data::validation_parameters(1, kResize, kResize);
    expect_shows(shown.pictures[i].picture, to_input(resized.pixels, 1, kResize, kResize, rows, false, kInfo, cpu()).to_doubles());
  }
}

TEST(ShowBatch, VariesTheFirstTrainingPictureUnderOneCrop) {
  const auto dataset = dataset_of(40);
  const ShownBatch shown = show(dataset, {.variants = 5, .seed = 3});
  ASSERT_EQ(shown.pictures.size(), 5u);
  std::set<std::vector<uint8_t>> different;
  std::set<double> places;
  for (const ShownPicture& one : shown.pictures) {
    EXPECT_EQ(one.item, dataset->train().front());
    different.insert(one.picture.pixels);
    places.insert(one.draw.zoom_x);
  }
  EXPECT_EQ(different.size(), 5u);
  EXPECT_EQ(places.size(), 5u);
  // Without augmentation, two variants differ only by Resize's crop.
  const data::AugmentSpec crop_only{.p_flip = 0, .p_affine = 0, .p_lighting = 0, .min_scale = 1};
  const ShownBatch plain = show(dataset, {.variants = 5, .seed = 3, .augment = crop_only});
  std::set<std::vector<uint8_t>> crops;
  for (const ShownPicture& one : plain.pictures) crops.insert(one.picture.pixels);
  EXPECT_GT(crops.size(), 1u);
}

TEST(ShowBatch, SaysWhatCannotBeShown) {
  const auto dataset = dataset_of(10);
  EXPECT_EQ(test::sentence_of<DataError>([&] { show(dataset, {.batch_size = 8}); }),
            "the training part's 7 pictures are fewer than one batch of 8");
  EXPECT_THROW(show(dataset, {.pictures = 0}), UsageError);
  EXPECT_THROW(show(dataset, {.training = false, .variants = 2}), UsageError);
}

TEST(Denormalized, GivesBackEveryByte) {
  std::vector<float> input;
  for (int v = 0; v < 256; ++v)
    for (size_t c = 0; c < 3; ++c) input.push_back((static_cast<float>(v) / 255 - kInfo.mean[c]) / kInfo.std[c]);
  input.insert(input.end(), {-9, 9, 9});  // beyond both ends of the range
  const auto pictures = denormalized(from_host(input, {1, 1, 257, 3}, open_device("cpu")), kInfo);
  ASSERT_EQ(pictures.size(), 1u);
  for (int v = 0; v < 256; ++v) EXPECT_EQ(pictures[0].at(v, 0)[v % 3], v);
  EXPECT_EQ(pictures[0].at(256, 0)[0], 0);
  EXPECT_EQ(pictures[0].at(256, 0)[1], 255);
}

TEST(FigureOf, IsFastaisGridOfWholePixels) {
  const auto dataset = dataset_of(40);
  const auto width_of = [&](int64_t n) {
    const ShownBatch batch = show(dataset, {.pictures = n, .batch_size = 16});
    return figure_of(batch, *dataset).width;
  };
  const int one = width_of(1), two = width_of(2);
  EXPECT_GE(one, 256);
  const int step = two - one;              // a column
  EXPECT_EQ(width_of(3), one + 2 * step);  // 1 row of 3
  EXPECT_EQ(width_of(4), two);             // 2 of 2
  EXPECT_EQ(width_of(8), one + 3 * step);  // 2 of 4
  EXPECT_EQ(width_of(9), one + 2 * step);  // 3 of 3
  const ShownBatch batch = show(dataset, {.pictures = 1, .batch_size = 16});
  const data::Picture figure = figure_of(batch, *dataset);
  const data::Picture& picture = batch.pictures[0].picture;
  const int k = 256 / kSize, left = (figure.width - 256) / 2;
  int top = 0;  // the pixels of the picture, each 8 by 8, below the title
  const auto is_there = [&] {
    for (int y = 0; y < 256; ++y)
      for (int x = 0; x < 256; ++x)
        if (!std::equal(figure.at(left + x, top + y), figure.at(left + x, top + y) + 3, picture.at(x / k, y / k))) return false;
    return true;
  };
  while (top + 256 <= figure.height && !is_there()) ++top;
  EXPECT_LE(top + 256, figure.height) << "the picture is nowhere";
}

}  // namespace
}  // namespace mirilla::nn
