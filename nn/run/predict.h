// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/pictures/picture.h"
#include "engine/amp/precision.h"
#include "nn/files/classifier.h"
#include "nn/files/model_file.h"
#include "nn/run/tta.h"

namespace mirilla::nn {

/// One decoded picture as network input, as in validation: Resize(info.resize) with the centre crop, then to info.size, normalised:
/// (1,size,size,3).
Tensor prepare(const data::Picture& picture, const ModelInfo& info, Placement placement);
/// Several as one batch: (N,size,size,3).
Tensor prepare(std::span<const data::Picture> pictures, const ModelInfo& info, Placement placement);
/// Only the resized picture (info.resize square), to be shown under a Grad-CAM map.
data::Picture resized_picture(const data::Picture& picture, const ModelInfo& info);

struct Prediction {
  std::string file;
  size_t place = 0;     // of the file among the requested ones
  int orientation = 1;  // from the file's EXIF (data/pictures/orientation.h); the picture was turned by it if ModelInfo::exif_rotate is set
  int64_t index = 0;    // the class with the largest probability
  std::vector<float> probabilities;
};

/// A requested picture that could not be used.
struct BadFile {
  std::string file;
  std::string reason, hint;
  size_t place = 0;  // as Prediction's
};

/// A picture without an answer: it was read, but its logits are not finite.
struct Unanswered {
  std::string file;
  NotFinite why;     // one for all of its batch
  size_t place = 0;  // as Prediction's
};

struct Predictions {
  std::vector<Prediction> pictures;  // in the order of the paths
  std::vector<BadFile> bad;
  std::vector<Unanswered> unanswered;
};

/// Probabilities of each picture, evaluation mode, validation's transforms. Throws NotFinite if a logit is not finite.
/// [fastai Learner.predict]
std::vector<Prediction> predict(Module& model, std::span<const data::Picture> pictures, const ModelInfo& info,
                                amp::Precision precision = amp::Precision::fp32);

/// The same of one picture.
Prediction predict(Classifier& model, const data::Picture& picture, amp::Precision precision = amp::Precision::fp32);

struct PredictOptions {
  int64_t batch_size = 32;
  amp::Precision precision = amp::Precision::fp32;
  std::function<void(int64_t done, int64_t total)> progress = {};
  ReplayOptions replay = {};
  std::optional<TtaOptions> tta = {};  // picture i is the i-th readable one, its batch i / batch_size
};

/// The same for files, read as `info` says. A file that does not decode is listed in `bad` and skipped, however many there are. A picture
/// whose logits are not finite is listed in `unanswered`; throws NotFinite if a whole batch has no others and no earlier picture had
/// an answer, since then the model is the cause.
Predictions predict_files(Module& model, std::span<const std::filesystem::path> files, const ModelInfo& info,
                          const PredictOptions& options = {});

}  // namespace mirilla::nn
