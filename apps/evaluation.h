// SPDX-License-Identifier: MIT
#pragma once

#include "apps/command.h"
#include "data/dataset.h"
#include "nn/run/evaluate.h"
#include "nn/run/finite.h"

/// What the subcommands share that measure a model on labelled pictures: which pictures, and the measuring.
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
  std::optional<nn::TtaOptions> tta;  // no option here: add_tta
};

/// Adds --data, --part with --valid-pct and --split-file, --limit, --max-bad, --batch-size and --precision.
void add_evaluation(CLI::App& command, EvaluationOptions& options);

struct Evaluated {
  std::shared_ptr<const data::Dataset> dataset;
  nn::Evaluation evaluation;
};

/// Decodes the pictures, names those that do not decode on stderr, and runs the model over the others. With --part valid they are those
/// that training validated with: what the options leave open is read from the config.json that `mirilla train` left beside the model.
Evaluated evaluate(const EvaluationOptions& options, const ModelOptions& model, const nn::LoadedModel& loaded, Device& device,
                   ProgressLine& progress);

/// With the names of the pictures, whose items it has.
nn::NotFinite named(const nn::NotFinite& error, const data::Dataset& dataset);

/// A row a class.
nlohmann::ordered_json confusion_rows(const nn::Evaluation& evaluation);

}  // namespace mirilla::apps
