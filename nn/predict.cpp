// SPDX-License-Identifier: MIT
#include "nn/predict.h"

#include <algorithm>

#include "data/decode.h"
#include "data/resize.h"
#include "engine/amp/autocast.h"
#include "engine/ops/loss.h"
#include "kernels/error.h"
#include "nn/evaluate.h"

namespace mirilla::nn {

namespace {

constexpr double kMostBad = 0.05;
constexpr size_t kMostReasons = 3;
constexpr double kCentre = 0.5;

// Probabilities of pictures that are resized already and lie one after another.
std::vector<Prediction> predict_resized(ResNet& model, std::span<const uint8_t> pixels, int64_t n, const ModelInfo& info,
                                        amp::Precision precision) {
  const EvaluationMode mode(model);
  const tape::NoGrad no_grad;
  const amp::Autocast autocast(amp::dtype_of(precision));
  const std::vector<float> parameters = data::validation_parameters(static_cast<int>(n), info.resize, info.resize);
  const Tensor logits = model(to_input(pixels, n, info.resize, info.resize, parameters, false, info, input_placement(model, precision)));
  const std::vector<double> all = softmax(logits).to_doubles();
  const auto classes = static_cast<size_t>(logits.size(1));
  std::vector<Prediction> predictions;
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
    Prediction prediction;
    prediction.probabilities.assign(all.begin() + static_cast<std::ptrdiff_t>(i * classes),
                                    all.begin() + static_cast<std::ptrdiff_t>((i + 1) * classes));
    prediction.index =
        std::max_element(prediction.probabilities.begin(), prediction.probabilities.end()) - prediction.probabilities.begin();
    predictions.push_back(std::move(prediction));
  }
  return predictions;
}

size_t bytes_of(const ModelInfo& info) { return static_cast<size_t>(info.resize) * static_cast<size_t>(info.resize) * 3; }

void check_share(const std::vector<BadFile>& bad, size_t total) {
  if (static_cast<double>(bad.size()) <= kMostBad * static_cast<double>(total)) return;
  if (total == 1) throw DataError(bad[0].reason);
  std::string reasons;
  for (size_t i = 0; i < std::min(bad.size(), kMostReasons); ++i) reasons += (i == 0 ? "" : "; ") + bad[i].reason;
  throw DataError(fmt::format("{} of {} pictures could not be read, more than {:.0f} %: {}{}", bad.size(), total, 100 * kMostBad, reasons,
                              bad.size() > kMostReasons ? "; ..." : ""));
}

// Pictures gathered for one pass through the network.
struct Pending {
  std::vector<uint8_t> pixels;
  std::vector<std::string> files;
};

void flush(ResNet& model, const ModelInfo& info, amp::Precision precision, Pending& pending, std::vector<Prediction>& predictions) {
  if (pending.files.empty()) return;
  std::vector<Prediction> some = predict_resized(model, pending.pixels, static_cast<int64_t>(pending.files.size()), info, precision);
  for (size_t i = 0; i < some.size(); ++i) {
    some[i].file = std::move(pending.files[i]);
    predictions.push_back(std::move(some[i]));
  }
  pending.pixels.clear();
  pending.files.clear();
}

void append_resized(const data::Picture& picture, const ModelInfo& info, std::vector<uint8_t>& pixels) {
  const size_t begin = pixels.size();
  pixels.resize(begin + bytes_of(info));
  data::resize_crop(picture, info.resize, kCentre, kCentre, std::span(pixels).subspan(begin));
}

}  // namespace

data::Picture resized_picture(const data::Picture& picture, const ModelInfo& info) {
  return data::resize_crop(picture, info.resize, kCentre, kCentre);
}

Tensor prepare(const data::Picture& picture, const ModelInfo& info, Placement placement) {
  return prepare(std::span(&picture, 1), info, placement);
}

Tensor prepare(std::span<const data::Picture> pictures, const ModelInfo& info, Placement placement) {
  std::vector<uint8_t> pixels;
  for (const data::Picture& picture : pictures) append_resized(picture, info, pixels);
  const auto n = static_cast<int64_t>(pictures.size());
  const std::vector<float> parameters = data::validation_parameters(static_cast<int>(n), info.resize, info.resize);
  return to_input(pixels, n, info.resize, info.resize, parameters, false, info, placement);
}

std::vector<Prediction> predict(ResNet& model, std::span<const data::Picture> pictures, const ModelInfo& info, amp::Precision precision) {
  if (pictures.empty()) return {};
  std::vector<uint8_t> pixels;
  for (const data::Picture& picture : pictures) append_resized(picture, info, pixels);
  return predict_resized(model, pixels, static_cast<int64_t>(pictures.size()), info, precision);
}

Predictions predict_files(ResNet& model, std::span<const std::filesystem::path> files, const ModelInfo& info,
                          const PredictOptions& options) {
  if (options.batch_size < 1) throw UsageError(fmt::format("a batch of at least 1 was expected and {} came", options.batch_size));
  Predictions predictions;
  Pending pending;
  int64_t done = 0;
  for (const std::filesystem::path& file : files) {
    try {
      append_resized(data::load_picture(file), info, pending.pixels);
      pending.files.push_back(file.string());
    } catch (const DataError& error) {
      predictions.bad.push_back({.file = file.string(), .reason = error.message()});
    }
    if (static_cast<int64_t>(pending.files.size()) == options.batch_size)
      flush(model, info, options.precision, pending, predictions.pictures);
    if (options.progress) options.progress(++done, static_cast<int64_t>(files.size()));
  }
  check_share(predictions.bad, files.size());
  flush(model, info, options.precision, pending, predictions.pictures);
  return predictions;
}

}  // namespace mirilla::nn
