// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "apps/command.h"
#include "apps/outputs.h"
#include "data/dataset.h"
#include "nn/train/learner.h"

/// Shared by the commands that train, `train` and `lr-find`, and by `show-batch`, which opens the same data.
namespace mirilla::apps {

/// Options for the data, the network and its input.
struct TrainingOptions {
  CommonOptions common;
  std::string data;
  std::string weights;
  std::string arch = "resnet18";
  int64_t batch_size = 128;
  int resize = 256;
  int size = 128;
  double valid_pct = 0.2;
  bool valid_pct_said = false;
  std::string split_file;
  std::string init_head;
  bool allow_nonfinite = false;
  int64_t limit = 0;
  bool exif_rotate = false;
  double max_bad = data::kUsualMaxBad;
  std::string out = "mirilla-out";
  std::string precision;
  nn::ReplayMode replay = nn::ReplayMode::automatic;
  std::string device_pictures = "auto";
};

/// Adds --data, --resize, --size, --valid-pct, --split-file, --limit, --exif-rotate and --max-bad.
void add_data_options(CLI::App& command, TrainingOptions& options);
/// Adds --weights, --init-head, --allow-nonfinite, --arch, --batch-size and --precision.
void add_network_options(CLI::App& command, TrainingOptions& options);

/// The folder that --out names, created if it is missing, after checking the existing files: `files` will be written to it.
std::filesystem::path results_folder(const TrainingOptions& options, const std::vector<std::pair<std::string, FileKind>>& files);

/// The archive to train on; without --data the scenes, drawn into the results' folder so that eval and predict find them.
std::string data_path(const TrainingOptions& options, const std::filesystem::path& out, nn::Console& console);

/// The data set, scanned, with messages on stderr about skipped and turned pictures. Throws DataError if nothing is left to
/// validate with.
std::shared_ptr<data::Dataset> open_data(const TrainingOptions& options, const std::string& path, nn::Console& console);
void describe_data(const data::Dataset& dataset, const std::string& path, nn::Console& console);

nn::ResNet make_network(const TrainingOptions& options, const data::Dataset& dataset, Device& device);
/// --weights and --init-head; prints what matched, or `without_weights` without weights.
void import_weights(const TrainingOptions& options, std::string_view without_weights, nn::Module& model, nn::Console& console);

nn::Learner make_learner(const TrainingOptions& options, nn::Module& model, std::shared_ptr<const data::Dataset> dataset);

}  // namespace mirilla::apps
