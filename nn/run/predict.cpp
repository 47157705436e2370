// SPDX-License-Identifier: MIT
#include "nn/run/predict.h"

#include <algorithm>
#include <map>

#include "data/archive/names.h"
#include "data/pictures/decode.h"
#include "data/pictures/resize.h"
#include "kernels/core/error.h"
#include "nn/run/evaluate.h"

namespace mirilla::nn {

namespace {

// Each picture's row of probabilities.
std::vector<Prediction> predictions_of(std::span<const double> all, size_t n) {
  const size_t classes = n == 0 ? 0 : all.size() / n;
  std::vector<Prediction> predictions(n);
  for (size_t i = 0; i < n; ++i) {
    const std::span<const double> row = all.subspan(i * classes, classes);
    predictions[i].probabilities.assign(row.begin(), row.end());
    predictions[i].index = std::max_element(row.begin(), row.end()) - row.begin();
  }
  return predictions;
}

size_t bytes_of(const ModelInfo& info) { return static_cast<size_t>(info.resize) * static_cast<size_t>(info.resize) * 3; }

void append_resized(const data::Picture& picture, const ModelInfo& info, data::CropDraw draw, std::vector<uint8_t>& pixels) {
  const size_t begin = pixels.size();
  pixels.resize(begin + bytes_of(info));
  data::resize_crop(picture, info.resize, draw.x, draw.y, std::span(pixels).subspan(begin));
}

// Collects files, read and resized, until they fill a batch.
class Gatherer {
 public:
  Gatherer(Module& model, const ModelInfo& info, const PredictOptions& options)
      : network_(model, options.precision, options.replay), info_(info), options_(options) {
    if (options.tta) {
      check(*options.tta);
      crops_.resize(static_cast<size_t>(options.tta->n));
    }
  }

  void add(const std::filesystem::path& file, size_t place) {
    const auto [picture, orientation] = data::load_file(file, {.exif_rotate = info_.exif_rotate});
    append_resized(picture, info_, {}, pixels_);
    for (size_t pass = 0; pass < crops_.size(); ++pass)
      append_resized(picture, info_, data::crop_draw(options_.tta->seed, static_cast<int64_t>(pass), next_item_), crops_[pass]);
    files_.push_back({.file = data::shown(file.string()), .place = place, .orientation = orientation});
    items_.push_back(next_item_++);
  }
  bool full() const { return static_cast<int64_t>(files_.size()) == options_.batch_size; }

  void flush(Predictions& predictions) {
    if (files_.empty()) return;
    std::map<int64_t, NotFinite> unanswered;
    std::vector<Prediction> some = predictions_of(batch_probabilities(unanswered), files_.size());
    if (unanswered.size() == files_.size() && predictions.pictures.empty()) throw unanswered.begin()->second.of(file_names());
    for (size_t i = 0; i < some.size(); ++i) {
      if (const auto found = unanswered.find(static_cast<int64_t>(i)); found != unanswered.end()) {
        predictions.unanswered.push_back(
            {.file = files_[i].file, .why = found->second.of_picture(found->first).of({files_[i].file}), .place = files_[i].place});
        continue;
      }
      files_[i].index = some[i].index;
      files_[i].probabilities = std::move(some[i].probabilities);
      predictions.pictures.push_back(std::move(files_[i]));
    }
    for (std::vector<uint8_t>& crops : crops_) crops.clear();
    pixels_.clear();
    files_.clear();
    items_.clear();
    ++batch_;
  }

 private:
  std::vector<std::string> file_names() const {
    std::vector<std::string> names;
    for (const Prediction& one : files_) names.push_back(one.file);
    return names;
  }

  // Rows that are not finite, in any kind of pass, go to `unanswered`.
  std::vector<double> batch_probabilities(std::map<int64_t, NotFinite>& unanswered) {
    const auto n = static_cast<int64_t>(files_.size());
    const auto run = [&](const PreparedPictures& pictures) {
      Answers result = answers(network_, pictures, info_);
      if (result.not_finite)
        for (const int64_t row : result.not_finite->pictures) unanswered.emplace(row, *result.not_finite);
      return std::move(result.probabilities);
    };
    std::vector<std::vector<double>> augmented;
    for (size_t pass = 0; pass < crops_.size(); ++pass) {
      const std::vector<float> rows = tta_rows(*options_.tta, info_, batch_, static_cast<int>(pass), items_);
      augmented.push_back(run({.pixels = crops_[pass], .n = n, .rows = rows, .lighting = true}));
    }
    const std::vector<float> rows = data::validation_parameters(static_cast<int>(n), info_.resize, info_.resize);
    std::vector<double> plain = run({.pixels = pixels_, .n = n, .rows = rows});
    return options_.tta ? combine_tta(augmented, plain, *options_.tta) : plain;
  }

  Inference network_;
  const ModelInfo& info_;
  const PredictOptions& options_;
  std::vector<uint8_t> pixels_;              // centre crops
  std::vector<std::vector<uint8_t>> crops_;  // random ones, per pass
  std::vector<Prediction> files_;            // without the predicted values
  std::vector<int64_t> items_;
  int64_t next_item_ = 0, batch_ = 0;
};

}  // namespace

data::Picture resized_picture(const data::Picture& picture, const ModelInfo& info) {
  constexpr data::CropDraw kCentre;
  return data::resize_crop(picture, info.resize, kCentre.x, kCentre.y);
}

Tensor prepare(const data::Picture& picture, const ModelInfo& info, Placement placement) {
  return prepare(std::span(&picture, 1), info, placement);
}

Tensor prepare(std::span<const data::Picture> pictures, const ModelInfo& info, Placement placement) {
  std::vector<uint8_t> pixels;
  for (const data::Picture& picture : pictures) append_resized(picture, info, {}, pixels);
  const auto n = static_cast<int64_t>(pictures.size());
  const std::vector<float> parameters = data::validation_parameters(static_cast<int>(n), info.resize, info.resize);
  return to_input(pixels, n, info.resize, info.resize, parameters, false, info, placement);
}

std::vector<Prediction> predict(Module& model, std::span<const data::Picture> pictures, const ModelInfo& info, amp::Precision precision) {
  if (pictures.empty()) return {};
  std::vector<uint8_t> pixels;
  for (const data::Picture& picture : pictures) append_resized(picture, info, {}, pixels);
  const auto n = static_cast<int64_t>(pictures.size());
  const std::vector<float> rows = data::validation_parameters(static_cast<int>(n), info.resize, info.resize);
  return predictions_of(probabilities(model, {.pixels = pixels, .n = n, .rows = rows}, info, precision), pictures.size());
}

Prediction predict(Classifier& model, const data::Picture& picture, amp::Precision precision) {
  return predict(*model.network, {&picture, 1}, model.info, precision).at(0);
}

Predictions predict_files(Module& model, std::span<const std::filesystem::path> files, const ModelInfo& info,
                          const PredictOptions& options) {
  if (options.batch_size < 1) throw UsageError(fmt::format("expected a batch of at least 1, got {}", options.batch_size));
  Predictions predictions;
  Gatherer gathered(model, info, options);
  for (size_t place = 0; place < files.size(); ++place) {
    try {
      gathered.add(files[place], place);
    } catch (const DataError& error) {
      predictions.bad.push_back(
          {.file = data::shown(files[place].string()), .reason = error.message(), .hint = error.hint(), .place = place});
    }
    if (gathered.full()) gathered.flush(predictions);
    if (options.progress) options.progress(static_cast<int64_t>(place + 1), static_cast<int64_t>(files.size()));
  }
  gathered.flush(predictions);
  return predictions;
}

}  // namespace mirilla::nn
