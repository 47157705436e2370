// SPDX-License-Identifier: MIT
#include "nn/explain/cam_scores.h"

#include <algorithm>
#include <cmath>

#include "engine/tape.h"
#include "nn/run/finite.h"

namespace mirilla::nn {

namespace {

// (N): the network's scores for the input.
std::vector<double> scores_of(const Again& pass, const Target& target) {
  const Tensor logits = pass.network(pass.input);
  const std::vector<double> values = finite_logits(logits, pass);
  const auto classes = static_cast<size_t>(logits.size(1));
  std::vector<double> scores;
  for (size_t begin = 0; begin < values.size(); begin += classes)
    scores.push_back(score_of(target, std::span(values).subspan(begin, classes)));
  return scores;
}

// Channel c of (h,w,C), stretched to (H,W) with aligned corners. [torch.nn.UpsamplingBilinear2d]
std::vector<double> stretched_channel(std::span<const double> values, const Shape& from, int64_t c, int64_t height, int64_t width) {
  const int64_t h = from[1], w = from[2], channels = from[3];
  const auto at = [&](int64_t y, int64_t x) { return values[static_cast<size_t>((y * w + x) * channels + c)]; };
  const auto position = [](int64_t i, int64_t extent, int64_t cells) {
    return extent > 1 ? static_cast<double>(i) * static_cast<double>(cells - 1) / static_cast<double>(extent - 1) : 0.0;
  };
  std::vector<double> out;
  for (int64_t y = 0; y < height; ++y) {
    const double fy = position(y, height, h);
    const int64_t y0 = std::min(static_cast<int64_t>(fy), h - 1), y1 = std::min(y0 + 1, h - 1);
    const double ty = fy - static_cast<double>(y0);
    for (int64_t x = 0; x < width; ++x) {
      const double fx = position(x, width, w);
      const int64_t x0 = std::min(static_cast<int64_t>(fx), w - 1), x1 = std::min(x0 + 1, w - 1);
      const double tx = fx - static_cast<double>(x0);
      out.push_back((1 - ty) * ((1 - tx) * at(y0, x0) + tx * at(y0, x1)) + ty * ((1 - tx) * at(y1, x0) + tx * at(y1, x1)));
    }
  }
  return out;
}

void scale_to_unit(std::vector<double>& mask) {
  constexpr double kEps = 1e-8;
  const auto [least, most] = std::minmax_element(mask.begin(), mask.end());
  const double low = *least, range = *most - low + kEps;
  for (double& value : mask) value = (value - low) / range;
}

}  // namespace

std::vector<double> score_weights(Module& model, const Tensor& picture, const Tensor& activation, const Target& target,
                                  const BatchOptions& options) {
  const std::vector<double> pixels = picture.to_doubles(), values = activation.to_doubles();
  const int64_t height = picture.size(1), width = picture.size(2), colours = picture.size(3);
  const int64_t channels = activation.size(3);
  std::vector<double> weights;
  const tape::NoGrad no_grad;
  for (int64_t begin = 0; begin < channels; begin += options.batch_size) {
    const int64_t end = std::min(channels, begin + options.batch_size);
    std::vector<double> batch;
    for (int64_t c = begin; c < end; ++c) {
      std::vector<double> mask = stretched_channel(values, activation.shape(), c, height, width);
      scale_to_unit(mask);
      for (size_t k = 0; k < pixels.size(); ++k) batch.push_back(pixels[k] * mask[k / static_cast<size_t>(colours)]);
    }
    const Shape shape{end - begin, height, width, colours};
    const std::vector<double> scores = scores_of({.network = [&](const Tensor& masked) { return model(masked); },
                                                  .input = from_doubles(batch, shape, picture.dtype(), picture.device())},
                                                 target);
    weights.insert(weights.end(), scores.begin(), scores.end());
    if (options.progress) options.progress(end, channels);
  }
  const double largest = *std::max_element(weights.begin(), weights.end());
  double total = 0;
  for (double& w : weights) total += w = std::exp(w - largest);
  for (double& w : weights) w /= total;
  return weights;
}

std::vector<double> ablation_weights(Module& model, const std::string& layer, const Tensor& activation, const Target& target,
                                     const BatchOptions& options) {
  const std::vector<double> values = activation.to_doubles();
  const int64_t channels = activation.size(3);
  std::vector<double> weights;
  const tape::NoGrad no_grad;
  for (int64_t begin = 0; begin < channels; begin += options.batch_size) {
    const int64_t end = std::min(channels, begin + options.batch_size);
    // The whole activation is the first of each batch: falls are small, and an s from another batch, whose shape may order its sums
    // differently, would shift all of them alike.
    std::vector<double> batch = values;
    for (int64_t c = begin; c < end; ++c) {
      const size_t start = batch.size();
      batch.insert(batch.end(), values.begin(), values.end());
      for (size_t k = start + static_cast<size_t>(c); k < batch.size(); k += static_cast<size_t>(channels)) batch[k] = 0;
    }
    const Shape shape{end - begin + 1, activation.size(1), activation.size(2), channels};
    const std::vector<double> scores = scores_of({.network = [&](const Tensor& without) { return run_after(model, layer, without); },
                                                  .input = from_doubles(batch, shape, activation.dtype(), activation.device())},
                                                 target);
    const double whole = scores[0];
    for (size_t row = 1; row < scores.size(); ++row) weights.push_back(whole == 0 ? -scores[row] : (whole - scores[row]) / whole);
    if (options.progress) options.progress(end, channels);
  }
  return weights;
}

}  // namespace mirilla::nn
