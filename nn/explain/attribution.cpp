// SPDX-License-Identifier: MIT
#include "nn/explain/attribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "data/draw/figure.h"
#include "engine/ops/relu.h"
#include "engine/tape.h"
#include "nn/explain/cam.h"
#include "nn/modules/normal_numbers.h"
#include "nn/run/finite.h"

namespace mirilla::nn {

namespace {

std::span<const double> row_of(std::span<const double> values, size_t rows, size_t row) {
  const size_t length = values.size() / rows;
  return values.subspan(row * length, length);
}

// The logits of a batch and d (sum of scores) / d pictures, on the host.
struct Slopes {
  std::vector<double> logits;    // (N, classes)
  std::vector<Target> targets;   // (N)
  std::vector<double> gradient;  // (N, H W 3)
};

Slopes slopes_of(Module& model, const Tensor& pictures, std::span<const Target> wanted) {
  const tape::NoGrad no_grad;  // only the input is recorded
  Tensor input = pictures.detach();
  tape::keep_gradient(input);
  const Tensor logits = model(input);
  Slopes slopes{.logits = finite_logits(model, pictures, logits), .targets = {}, .gradient = {}};
  slopes.targets = targets_of(wanted, slopes.logits, pictures.size(0));
  tape::backward(logits, {.seed = seed_of(slopes.targets, logits), .targets = {input}});
  slopes.gradient = input.grad().to_doubles();
  return slopes;
}

// The start of every method: the logits of the unchanged pictures, and space for the values.
std::vector<Attribution> begin(const Tensor& pictures, std::span<const double> logits, std::span<const Target> targets, int channels) {
  std::vector<Attribution> all;
  for (size_t i = 0; i < targets.size(); ++i) {
    const auto row = row_of(logits, targets.size(), i);
    all.push_back({.target = targets[i],
                   .logits = {row.begin(), row.end()},
                   .height = static_cast<int>(pictures.size(1)),
                   .width = static_cast<int>(pictures.size(2)),
                   .channels = channels,
                   .values = {}});
  }
  return all;
}

std::vector<Attribution> begin(Module& model, const Tensor& pictures, std::span<const Target> wanted, int channels) {
  const tape::NoGrad no_grad;
  const std::vector<double> logits = finite_logits(model, pictures, model(pictures));
  return begin(pictures, logits, targets_of(wanted, logits, pictures.size(0)), channels);
}

// Makes `count` changed versions of each picture, in batches that do not mix pictures. change(picture, k, pixels) makes version k from
// the pixels it is given; run(picture, batch) gets them in the order of k.
template <class Change, class Run>
void for_changed(const Tensor& pictures, std::span<const Attribution> of, int64_t count, const BatchOptions& options, Change change,
                 Run run) {
  const std::vector<double> values = pictures.to_doubles();
  for (size_t i = 0; i < of.size(); ++i) {
    const auto pixels = row_of(values, of.size(), i);
    for (int64_t first = 0; first < count; first += options.batch_size) {
      const int64_t last = std::min(count, first + options.batch_size);
      std::vector<double> batch;
      for (int64_t k = first; k < last; ++k) {
        batch.insert(batch.end(), pixels.begin(), pixels.end());
        change(i, k, std::span(batch).last(pixels.size()));
      }
      const Shape shape{last - first, pictures.size(1), pictures.size(2), pictures.size(3)};
      of_one_picture(static_cast<int64_t>(i), [&] { return run(i, from_doubles(batch, shape, pictures.dtype(), pictures.device())); });
      if (options.progress) options.progress(static_cast<int64_t>(i) * count + last, static_cast<int64_t>(of.size()) * count);
    }
  }
}

// The mean of d score / d picture over `count` changed versions of each picture: (N)(H W 3).
template <class Change>
std::vector<std::vector<double>> mean_gradients(Module& model, const Tensor& pictures, std::span<const Attribution> of, int64_t count,
                                                const BatchOptions& options, Change change) {
  const size_t numel = static_cast<size_t>(pictures.numel()) / of.size();
  std::vector<std::vector<double>> means(of.size(), std::vector<double>(numel, 0.0));
  for_changed(pictures, of, count, options, change, [&](size_t i, const Tensor& batch) {
    const Slopes slopes = slopes_of(model, batch, {&of[i].target, 1});
    for (size_t k = 0; k < slopes.gradient.size(); ++k) means[i][k % numel] += slopes.gradient[k] / static_cast<double>(count);
  });
  return means;
}

void check_count(std::string_view what, int64_t count) {
  if (count < 1) throw UsageError(fmt::format("{}: expected at least 1, got {}", what, count));
}

}  // namespace

std::vector<Attribution> guided_backpropagation(Module& model, const Tensor& pictures, std::span<const Target> targets) {
  const EvaluationMode mode(model);
  const GuidedRelu guided;
  const Slopes slopes = slopes_of(model, pictures, targets);
  std::vector<Attribution> all = begin(pictures, slopes.logits, slopes.targets, 3);
  for (size_t i = 0; i < all.size(); ++i) {
    const auto row = row_of(slopes.gradient, all.size(), i);
    all[i].values.assign(row.begin(), row.end());
  }
  return all;
}

std::vector<Attribution> guided_grad_cam(Module& model, const Tensor& pictures, const std::string& layer, std::span<const Target> targets) {
  std::vector<Attribution> all = guided_backpropagation(model, pictures, targets);
  std::vector<Target> same;  // those of the first pass
  for (const Attribution& attribution : all) same.push_back(attribution.target);
  const std::vector<CamExplanation> maps =
      cam(model, pictures, {.layers = {layer}, .targets = same, .style = CamStyle::paper, .fuse = Fuse::mean});
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t k = 0; k < all[i].values.size(); ++k) all[i].values[k] *= maps[i].maps[0].values[k / 3];
  return all;
}

std::vector<Attribution> integrated_gradients(Module& model, const Tensor& pictures, std::span<const Target> targets,
                                              const IntegratedOptions& options) {
  check_count("the number of steps of integrated gradients", options.steps);
  const EvaluationMode mode(model);
  std::vector<Attribution> all = begin(model, pictures, targets, 3);
  const size_t numel = static_cast<size_t>(pictures.numel()) / all.size();
  const std::vector<double> baseline = options.baseline ? options.baseline.to_doubles() : std::vector<double>(numel, 0.0);
  if (baseline.size() != numel)
    throw ShapeError(fmt::format("the baseline of integrated gradients: expected a picture like those of {}, got {}",
                                 to_string(pictures.shape()), to_string(options.baseline.shape())));
  const auto means = mean_gradients(model, pictures, all, options.steps, options.batch, [&](size_t, int64_t step, std::span<double> x) {
    const double along = (static_cast<double>(step) + 0.5) / static_cast<double>(options.steps);
    for (size_t k = 0; k < x.size(); ++k) x[k] = baseline[k] + along * (x[k] - baseline[k]);
  });
  const std::vector<double> values = pictures.to_doubles();
  for (size_t i = 0; i < all.size(); ++i)
    for (size_t k = 0; k < numel; ++k) all[i].values.push_back(static_cast<float>((values[i * numel + k] - baseline[k]) * means[i][k]));
  return all;
}

std::vector<Attribution> smoothgrad(Module& model, const Tensor& pictures, std::span<const Target> targets,
                                    const SmoothGradOptions& options) {
  check_count("the number of samples of SmoothGrad", options.samples);
  if (!(options.level >= 0)) throw UsageError(fmt::format("the noise of SmoothGrad: expected a level of 0 or more, got {}", options.level));
  const EvaluationMode mode(model);
  std::vector<Attribution> all = begin(model, pictures, targets, 3);
  const std::vector<double> values = pictures.to_doubles();
  const auto noisy = [&](size_t i, int64_t sample, std::span<double> x) {
    const auto pixels = row_of(values, all.size(), i);
    const auto [least, most] = std::minmax_element(pixels.begin(), pixels.end());
    const RandomKey key{
        .seed = options.seed, .purpose = Purpose::kExplain, .step = static_cast<uint32_t>(i), .item = static_cast<uint32_t>(sample)};
    const std::vector<double> noise = normal_numbers(x.size(), options.level * (*most - *least), key);
    std::transform(x.begin(), x.end(), noise.begin(), x.begin(), std::plus<>());
  };
  const auto means = mean_gradients(model, pictures, all, options.samples, options.batch, noisy);
  for (size_t i = 0; i < all.size(); ++i) all[i].values.assign(means[i].begin(), means[i].end());
  return all;
}

namespace {

// Where squares begin along an extent.
std::vector<int> starts(int extent, int window, int stride) {
  std::vector<int> all;
  for (int start = 0; start + window < extent; start += stride) all.push_back(start);
  all.push_back(extent - window);
  return all;
}

struct Squares {
  int window = 0;
  std::vector<int> rows, columns;
};

Squares squares_of(const Tensor& pictures, const OcclusionOptions& options) {
  const int height = static_cast<int>(pictures.size(1)), width = static_cast<int>(pictures.size(2)), shorter = std::min(height, width);
  const int window = options.window == 0 ? std::max(1, shorter / 4) : options.window;
  const int stride = options.stride == 0 ? std::max(1, window / 2) : options.stride;
  if (window < 1 || window > shorter || stride < 1)
    throw UsageError(fmt::format("occlusion: expected a window from 1 to {} pixels and a stride of 1 or more, got {} and {}", shorter,
                                 options.window, options.stride));
  return {window, starts(height, window, stride), starts(width, window, stride)};
}

// At each pixel of (height, width) the mean of the values whose square covers it.
std::vector<float> mean_at_pixels(const Squares& squares, std::span<const double> values, int height, int width) {
  const auto pixels = static_cast<size_t>(height) * static_cast<size_t>(width);
  std::vector<double> totals(pixels, 0.0);
  std::vector<int> covering(pixels, 0);
  for (size_t square = 0; square < values.size(); ++square) {
    const int top = squares.rows[square / squares.columns.size()], left = squares.columns[square % squares.columns.size()];
    for (int y = top; y < top + squares.window; ++y)
      for (int x = left; x < left + squares.window; ++x) {
        const auto at = static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x);
        totals[at] += values[square];
        ++covering[at];
      }
  }
  std::vector<float> means;
  for (size_t k = 0; k < pixels; ++k) means.push_back(covering[k] == 0 ? 0.0f : static_cast<float>(totals[k] / covering[k]));
  return means;
}

}  // namespace

std::vector<Attribution> occlusion(Module& model, const Tensor& pictures, std::span<const Target> targets,
                                   const OcclusionOptions& options) {
  const Squares squares = squares_of(pictures, options);
  const EvaluationMode mode(model);
  const tape::NoGrad no_grad;
  std::vector<Attribution> all = begin(model, pictures, targets, 1);
  const auto width = static_cast<size_t>(pictures.size(2)), colours = static_cast<size_t>(pictures.size(3));
  const size_t across = squares.columns.size();
  const auto hide = [&](size_t, int64_t square, std::span<double> x) {
    const auto top = static_cast<size_t>(squares.rows[static_cast<size_t>(square) / across]);
    const auto left = static_cast<size_t>(squares.columns[static_cast<size_t>(square) % across]);
    for (size_t y = top; y < top + static_cast<size_t>(squares.window); ++y)
      std::fill_n(x.begin() + static_cast<std::ptrdiff_t>((y * width + left) * colours), static_cast<size_t>(squares.window) * colours,
                  options.fill);
  };
  const auto count = static_cast<int64_t>(squares.rows.size() * across);
  std::vector<std::vector<double>> lost(all.size());
  for_changed(pictures, all, count, options.batch, hide, [&](size_t i, const Tensor& batch) {
    const std::vector<double> logits = finite_logits(model, batch, model(batch));
    const auto rows = static_cast<size_t>(batch.size(0));
    for (size_t k = 0; k < rows; ++k)
      lost[i].push_back(score_of(all[i].target, all[i].logits) - score_of(all[i].target, row_of(logits, rows, k)));
  });
  for (size_t i = 0; i < all.size(); ++i) all[i].values = mean_at_pixels(squares, lost[i], all[i].height, all[i].width);
  return all;
}

data::Picture signed_picture(const Attribution& attribution) {
  constexpr double kSpread = 0.1, kGrey = 0.5;
  if (attribution.channels != 3) throw UsageError("a picture of an attribution needs three channels; occlusion has one");
  const std::vector<float>& values = attribution.values;
  const auto n = static_cast<double>(values.size());
  double mean = 0, variance = 0;
  for (const float value : values) mean += value / n;
  for (const float value : values) variance += (value - mean) * (value - mean) / n;
  const double factor = variance > 0 ? kSpread / std::sqrt(variance) : 0.0;
  data::Picture picture(attribution.width, attribution.height);
  for (size_t k = 0; k < values.size(); ++k) {
    const double shown = (values[k] - mean) * factor + kGrey;
    picture.pixels[k] = static_cast<uint8_t>(std::clamp(shown, 0.0, 1.0) * 255);
  }
  return picture;
}

std::vector<float> magnitude(const Attribution& attribution) {
  constexpr double kPercentile = 0.99;
  const auto channels = static_cast<size_t>(attribution.channels);
  std::vector<float> sums(attribution.values.size() / channels, 0.0f);
  for (size_t k = 0; k < attribution.values.size(); ++k) sums[k / channels] += std::abs(attribution.values[k]);
  std::vector<float> sorted = sums;
  const auto nth = static_cast<size_t>(kPercentile * static_cast<double>(sorted.size() - 1));
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(nth), sorted.end());
  const float full = sorted[nth] > 0 ? sorted[nth] : *std::max_element(sums.begin(), sums.end());
  if (full > 0)
    for (float& value : sums) value = std::min(value / full, 1.0f);
  return sums;
}

}  // namespace mirilla::nn
