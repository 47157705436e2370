// SPDX-License-Identifier: MIT
#include "nn/inspect/show_batch.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/draw/figure.h"
#include "data/loader.h"
#include "kernels/core/error.h"
#include "nn/run/evaluate.h"

namespace mirilla::nn {

namespace {

constexpr int64_t kFirstEpoch = 0;
constexpr uint32_t kFirstStep = 0;

data::Batch first_batch(const std::shared_ptr<const data::Dataset>& dataset, const ShowBatchOptions& options) {
  data::Loader loader(dataset, {.batch_size = options.batch_size,
                                .training = options.training,
                                .threads = options.loader_threads,
                                .prefetch = 1,
                                .seed = options.seed});
  loader.start(kFirstEpoch);
  const data::Batch* batch = loader.next();
  if (!batch && options.training)
    throw DataError(
        fmt::format("the training part's {} pictures are fewer than one batch of {}", dataset->train().size(), options.batch_size),
        "use a smaller `batch_size`; an incomplete last batch is dropped, as in fastai");
  if (!batch) throw DataError("there is no picture to validate with", "give a larger `valid_pct`, or a `split_file`");
  return *batch;
}

/// The training part's first picture, repeated. Each copy's random numbers are keyed by its place.
data::Batch variants_of_first(const data::Dataset& dataset, const ShowBatchOptions& options) {
  if (dataset.train().empty()) throw DataError("there is no picture to train on");
  const int64_t item = dataset.train().front();
  data::Batch batch{.n = options.variants, .size = dataset.resize()};
  const size_t bytes = static_cast<size_t>(batch.size) * static_cast<size_t>(batch.size) * 3;
  batch.pixels.resize(static_cast<size_t>(batch.n) * bytes);
  batch.labels.assign(static_cast<size_t>(batch.n), dataset.label(item));
  batch.items.resize(static_cast<size_t>(batch.n));
  std::iota(batch.items.begin(), batch.items.end(), int64_t{0});
  for (size_t i = 0; i < batch.items.size(); ++i) {
    const data::CropDraw draw = data::crop_draw(options.seed, kFirstEpoch + batch.items[i], item);
    dataset.resized(item, draw, std::span(batch.pixels).subspan(i * bytes, bytes));
  }
  return batch;
}

void keep_first(data::Batch& batch, int64_t n) {
  if (n >= batch.n) return;
  batch.pixels.resize(batch.pixels.size() / static_cast<size_t>(batch.n) * static_cast<size_t>(n));
  batch.labels.resize(static_cast<size_t>(n));
  batch.items.resize(static_cast<size_t>(n));
  batch.n = n;
}

/// Each pixel as a square of k x k.
data::Picture enlarged(const data::Picture& picture, int k) {
  data::Picture out(picture.width * k, picture.height * k);
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x) std::copy_n(picture.at(x / k, y / k), 3, out.at(x, y));
  return out;
}

}  // namespace

ShownBatch show_batch(const std::shared_ptr<const data::Dataset>& dataset, const ModelInfo& info, const ShowBatchOptions& options,
                      Placement placement) {
  const bool unique = options.variants != 0;
  if (options.pictures < 1 || options.variants < 0)
    throw UsageError(fmt::format("expected at least one picture to show, got {}", unique ? options.variants : options.pictures));
  if (unique && !options.training)
    throw UsageError("validation has no random augmentation, so all variants of a picture would be the same");
  data::AugmentSpec spec = options.augment;
  spec.size = info.size;
  data::Batch batch = unique ? variants_of_first(*dataset, options) : first_batch(dataset, options);
  const int64_t n = batch.n;
  if (!unique) keep_first(batch, options.pictures);
  const Tensor input =
      options.training ? training_input(batch, spec, options.seed, kFirstStep, info, placement) : validation_input(batch, info, placement);
  std::vector<data::Picture> pictures = denormalized(input, info);
  ShownBatch shown{.n = n,
                   .crop = options.training ? data::draw_crop(spec, options.seed, kFirstStep, batch.size, batch.size)
                                            : data::full_crop(batch.size, batch.size),
                   .pictures = {}};
  for (size_t i = 0; i < pictures.size(); ++i) {
    ShownPicture& one = shown.pictures.emplace_back();
    one.item = unique ? dataset->train().front() : batch.items[i];
    if (options.training) one.draw = data::draw_picture(spec, options.seed, kFirstStep, static_cast<uint32_t>(batch.items[i]));
    one.picture = std::move(pictures[i]);
  }
  return shown;
}

std::vector<data::Picture> denormalized(const Tensor& input, const ModelInfo& info) {
  const std::vector<double> values = input.to_doubles();
  std::vector<data::Picture> pictures;
  size_t at = 0;
  for (int64_t i = 0; i < input.size(0); ++i) {
    data::Picture& picture = pictures.emplace_back(static_cast<int>(input.size(2)), static_cast<int>(input.size(1)));
    for (size_t k = 0; k < picture.pixels.size(); ++k, ++at) {
      const double x = values[at] * static_cast<double>(info.std[k % 3]) + static_cast<double>(info.mean[k % 3]);
      picture.pixels[k] = static_cast<uint8_t>(std::lround(255 * std::clamp(x, 0.0, 1.0)));
    }
  }
  return pictures;
}

data::Picture figure_of(const ShownBatch& batch, const data::Dataset& dataset) {
  constexpr int kWide = 256;
  if (batch.pictures.empty()) throw UsageError("a batch without pictures cannot be shown");
  const int side = batch.pictures.front().picture.width;
  const int k = std::max(1, (kWide + side / 2) / side);
  std::vector<data::Panel> panels;
  for (const ShownPicture& one : batch.pictures)
    panels.push_back({enlarged(one.picture, k), dataset.vocabulary()[static_cast<size_t>(dataset.label(one.item))]});
  const auto n = static_cast<int>(panels.size());
  const int rows = static_cast<int>(std::sqrt(n));
  return data::figure(panels, {.panel_px = side * k, .columns = (n + rows - 1) / rows});
}

}  // namespace mirilla::nn
