// SPDX-License-Identifier: MIT
#pragma once

#include "apps/command.h"
#include "data/dataset.h"
#include "nn/run/evaluate.h"
#include "nn/run/finite.h"

/// Shared by the subcommands that measure a model on labelled pictures: the choice of pictures, and the measurement.
namespace mirilla::apps {

struct EvaluationOptions {
  std::string data;
  std::string part = "test";
  std::optional<double> valid_pct;
  std::string split_file;
  std::optional<int64_t> limit;
  int64_t batch_size = 32;
  double max_bad = data::kUsualMaxBad;
  std::string precision;
  std::optional<nn::TtaOptions> tta;  // added separately: add_tta
};

/// Adds --data, --part with --valid-pct and --split-file, --limit, --max-bad, --batch-size and --precision.
void add_evaluation(CLI::App& command, EvaluationOptions& options);

struct Evaluated {
  std::shared_ptr<const data::Dataset> dataset;
  nn::Evaluation evaluation;
};

/// Decodes the pictures, names those that do not decode on stderr, and runs the model over the others. With --part valid these are the
/// pictures that training validated with: options that are not given are read from the config.json that `mirilla train` wrote beside the
/// model.
Evaluated evaluate(const EvaluationOptions& options, const ModelOptions& model, const nn::LoadedModel& loaded, Device& device,
                   ProgressLine& progress);

/// The error with the names of its pictures, from their items.
nn::NotFinite named(const nn::NotFinite& error, const data::Dataset& dataset);

/// One row per class.
nlohmann::ordered_json confusion_rows(const nn::Evaluation& evaluation);

}  // namespace mirilla::apps
