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

/// Compares methods: every explanation of nn/explain/explain.h, by every measure of nn/measure/cam_measures.h and nn/measure/road.h,
/// over the same pictures.
namespace mirilla::nn {

/// "pointing", "energy" (both use the mask), "insertion", "deletion", "drop", "increase", "road", "sensitivity", "randomisation".
std::span<const std::string> cam_measures();
/// Whether a measure needs masks.
bool needs_mask(std::string_view measure);
/// "centre", "random" (one number per pixel), "random-coarse" (one number per place of the layer): maps that use neither picture nor
/// network.
std::span<const std::string> baseline_maps();

/// A column of the table; a measure has one or several.
struct MeasureColumn {
  std::string name, measure;
  bool more_is_better = true;
  bool percent = false;
  bool detail = false;  // additional to another column of its measure
};
/// The columns of these measures for this model, in the order of cam_measures(). Throws UsageError for an unknown name.
std::vector<MeasureColumn> measure_columns(std::span<const std::string> measures, const Module& model);

/// A measured picture, and the class that is explained in it.
struct BenchSubject {
  Tensor input;  // (1,size,size,3)
  int label = 0;
  std::optional<data::Picture> mask;  // (size,size), cropped and resized like the picture
};
/// The pictures that were classified right, each with its mask if the data set has one (data::mask_path).
std::vector<BenchSubject> bench_subjects(const Module& model, const data::Dataset& dataset, const Evaluation& evaluation,
                                         const ModelInfo& info);

struct CamBenchOptions {
  std::vector<std::string> methods = {"gradcam"};
  std::vector<std::string> measures = {"pointing", "energy"};
  std::string layer = "layer3";  // for the CAMs and guided-gradcam
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
  std::vector<BenchRow> rows;  // the methods in the requested order, then the baselines
  int64_t pictures = 0, with_mask = 0, explained_again = 0;
};

/// From this rank correlation with the map of a network with random weights on, a method counts as surviving the randomisation.
inline constexpr double kSurvives = 0.5;

/// Validates all names before any work starts: throws UsageError for an unknown method, measure or layer, or a layer that ablationcam
/// cannot continue from.
void check_names(Module& model, const CamBenchOptions& options);

/// Explains the pictures one at a time, in evaluation mode (the mode is restored); maps have the style paper. Random
/// draws depend only on the seed and the picture's number: all methods get the same noise. Waits for the device.
///
///   pointing          points_inside within pointing_tolerance;  pointing-exact: without tolerance
///   energy            energy_inside
///   insertion, deletion   area_under replacing_curve
///   drop, increase    of seen_through
///   road              Road::combined;  road-most-first, road-least-first: its two parts
///   sensitivity       the largest relative_change of the map over `perturbations` pictures whose values are moved by up to `radius`
///   randomisation     the rank correlation of the map with that of the network with random weights; rank-<part> after each part
///                     (with_random_top), ssim-<part> by structural_similarity
///
/// Throws like check_names, UsageError for no pictures, and DataError where a measure needs masks and no picture has one.
CamBench cam_bench(Module& model, std::span<const BenchSubject> subjects, const CamBenchOptions& options = {});

}  // namespace mirilla::nn
