// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "nn/explain/explain.h"
#include "nn/run/evaluate.h"

/// Methods beside methods: every explanation of nn/explain/explain.h, by every measure of nn/measure/cam_measures.h and nn/measure/road.h,
/// over the same pictures.
namespace mirilla::nn {

/// "pointing", "energy" (both of the mask), "insertion", "deletion", "drop", "increase", "road", "sensitivity", "randomisation".
std::span<const std::string> cam_measures();
/// Whether a measure needs masks.
bool needs_mask(std::string_view measure);
/// "centre", "random" (a number a pixel), "random-coarse" (a number a place of the layer): maps that know neither picture nor network.
std::span<const std::string> baseline_maps();

/// What a measure puts into a table: a column, or several.
struct MeasureColumn {
  std::string name, measure;
  bool more_is_better = true;
  bool percent = false;
  bool detail = false;  // beside another column of its measure
};
/// Of these measures for this model, in the order of cam_measures(). Throws UsageError for a name that is none.
std::vector<MeasureColumn> measure_columns(std::span<const std::string> measures, const Module& model);

/// A picture that is measured, and the class that is explained in it.
struct BenchSubject {
  Tensor input;  // (1,size,size,3)
  int label = 0;
  std::optional<data::Picture> mask;  // (size,size), as the network sees the picture
};
/// The pictures that were classified right, each with its mask where the data set has one (data::mask_path).
std::vector<BenchSubject> bench_subjects(const Module& model, const data::Dataset& dataset, const Evaluation& evaluation,
                                         const ModelInfo& info);

struct CamBenchOptions {
  std::vector<std::string> methods = {"gradcam"};
  std::vector<std::string> measures = {"pointing", "energy"};
  std::string layer = "layer3";  // of the CAMs and guided-gradcam
  int64_t steps = 32;            // of insertion and deletion
  int64_t explained_again = 2;   // pictures of each class for sensitivity and randomisation, which explain each several times
  int64_t perturbations = 4;     // of sensitivity
  double radius = 0.1;           // of sensitivity: the largest change of a normalised value
  int64_t samples = 0;           // of integrated and smoothgrad, as in ExplainOptions
  uint64_t seed = 42;
  int64_t batch_size = 32;
  std::function<void(const std::string& method, int64_t done, int64_t total)> progress = {};
};

/// A mean over n pictures.
struct BenchValue {
  double value = 0;
  int64_t n = 0;
};

struct BenchRow {
  std::string method;
  bool baseline = false;
  std::map<std::string, BenchValue> values;  // by column
  double seconds = 0;                        // to explain one picture
  int64_t empty = 0;                         // pictures whose map was 0 everywhere
  bool survives = false;                     // the randomisation of all weights
};

struct CamBench {
  std::vector<MeasureColumn> columns;
  std::vector<BenchRow> rows;  // the methods in the order asked for, then the baselines
  int64_t pictures = 0, with_mask = 0, explained_again = 0;
};

/// The rank correlation with the map of the network with random weights from which on a method is said to survive them.
inline constexpr double kSurvives = 0.5;

/// What would stop cam_bench by its name: throws UsageError for an unknown method, measure or layer, or one that ablationcam cannot go on
/// from.
void check_names(Module& model, const CamBenchOptions& options);

/// Explains the pictures one at a time, in evaluation mode (the mode is put back); maps are those of the style paper. What is drawn at
/// random depends on the seed and the picture's number alone: methods meet the same noise. Waits for the device.
///
///   pointing          points_inside within pointing_tolerance;  pointing-exact: without tolerance
///   energy            energy_inside
///   insertion, deletion   area_under replacing_curve
///   drop, increase    of seen_through
///   road              Road::combined;  road-most-first, road-least-first: its two parts
///   sensitivity       the largest relative_change of the map over `perturbations` pictures whose values are moved by up to `radius`
///   randomisation     the rank correlation of the map with that of the network whose weights are all random; rank-<part> on the way there
///                     (with_random_top), ssim-<part> by structural_similarity
///
/// Throws as check_names does, UsageError for no pictures, and DataError where a measure needs masks and no picture has one.
CamBench cam_bench(Module& model, std::span<const BenchSubject> subjects, const CamBenchOptions& options = {});

}  // namespace mirilla::nn
