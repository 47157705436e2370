// SPDX-License-Identifier: MIT
#include "nn/measure/bench_names.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "data/items.h"
#include "data/pictures/decode.h"
#include "nn/measure/cam_bench.h"
#include "nn/measure/randomise.h"
#include "nn/run/predict.h"

namespace mirilla::nn {

std::span<const std::string> cam_measures() {
  static const std::vector<std::string> kAll{"pointing", "energy", "insertion",   "deletion",     "drop",
                                             "increase", "road",   "sensitivity", "randomisation"};
  return kAll;
}

bool needs_mask(std::string_view measure) { return measure == "pointing" || measure == "energy"; }

std::span<const std::string> baseline_maps() {
  static const std::vector<std::string> kAll{std::string(kCentre), std::string(kRandom), std::string(kRandomCoarse)};
  return kAll;
}

std::vector<MeasureColumn> measure_columns(std::span<const std::string> measures, const Module& model) {
  const auto all = cam_measures();
  for (const std::string& measure : measures)
    if (std::find(all.begin(), all.end(), measure) == all.end())
      throw UsageError(fmt::format("there is no measure '{}'", measure), fmt::format("available are {}", fmt::join(all, ", ")));
  std::vector<MeasureColumn> columns{
      {.name = "pointing", .measure = "pointing", .percent = true},
      {.name = "pointing-exact", .measure = "pointing", .percent = true, .detail = true},
      {.name = "energy", .measure = "energy", .percent = true},
      {.name = "insertion", .measure = "insertion"},
      {.name = "deletion", .measure = "deletion", .more_is_better = false},
      {.name = "drop", .measure = "drop", .more_is_better = false, .percent = true},
      {.name = "increase", .measure = "increase", .percent = true},
      {.name = "road", .measure = "road"},
      {.name = "road-most-first", .measure = "road", .more_is_better = false, .detail = true},
      {.name = "road-least-first", .measure = "road", .detail = true},
      {.name = "sensitivity", .measure = "sensitivity", .more_is_better = false},
      {.name = "randomisation", .measure = "randomisation", .more_is_better = false},
  };
  for (const std::string& part : parts_from_the_top(model))
    for (const std::string& name : {rank_column(part), ssim_column(part)})
      columns.push_back({.name = name, .measure = "randomisation", .more_is_better = false, .detail = true});
  std::erase_if(columns,
                [&](const MeasureColumn& column) { return std::find(measures.begin(), measures.end(), column.measure) == measures.end(); });
  return columns;
}

std::vector<BenchSubject> bench_subjects(const Module& model, const data::Dataset& dataset, const Evaluation& evaluation,
                                         const ModelInfo& info) {
  ModelInfo at_size = info;
  at_size.resize = info.size;
  std::vector<BenchSubject> subjects;
  for (const ItemResult& result : evaluation.items) {
    if (result.predicted != result.actual) continue;
    BenchSubject subject{.input = prepare(*dataset.picture(result.item), info, placement_of(model)),
                         .label = static_cast<int>(result.actual),
                         .mask = std::nullopt};
    if (const auto path = data::mask_path(dataset.source(), dataset.items()[static_cast<size_t>(result.item)].path))
      subject.mask = resized_picture(data::decode(dataset.source().read(*path), *path), at_size);
    subjects.push_back(std::move(subject));
  }
  return subjects;
}

}  // namespace mirilla::nn
