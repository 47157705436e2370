// SPDX-License-Identifier: MIT
#include "nn/measure/cam_bench.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include "engine/tape.h"
#include "nn/explain/run_after.h"
#include "nn/measure/bench_names.h"
#include "nn/measure/cam_measures.h"
#include "nn/measure/randomise.h"
#include "nn/measure/road.h"
#include "nn/run/finite.h"

namespace mirilla::nn {

namespace {

using Clock = std::chrono::steady_clock;

// The random draws for a picture: RandomKey{seed, kPointing, .step = picture, .item = one of these}.
enum class Draw : uint32_t { ties, random, random_coarse, noise, perturbation };  // the k-th has the number perturbation + k

RandomKey key_of(uint64_t seed, size_t picture, Draw draw, int64_t k = 0) {
  return {.seed = seed,
          .purpose = Purpose::kPointing,
          .step = static_cast<uint32_t>(picture),
          .item = static_cast<uint32_t>(draw) + static_cast<uint32_t>(k)};
}

bool is_baseline(std::string_view name) {
  const auto all = baseline_maps();
  return std::find(all.begin(), all.end(), name) != all.end();
}

// The softmax at a class, of pictures on the host.
Confidence confidence_in(Module& model, const BenchSubject& subject, int64_t batch_size) {
  return [&model, &subject, batch_size](std::span<const double> pictures, int64_t n) {
    const tape::NoGrad no_grad;
    const size_t numel = pictures.size() / static_cast<size_t>(n);
    std::vector<double> confidences;
    for (int64_t begin = 0; begin < n; begin += batch_size) {
      const int64_t rows = std::min(batch_size, n - begin);
      const auto some = pictures.subspan(static_cast<size_t>(begin) * numel, static_cast<size_t>(rows) * numel);
      const Shape shape{rows, subject.input.size(1), subject.input.size(2), subject.input.size(3)};
      const Tensor input = from_doubles(some, shape, subject.input.dtype(), subject.input.device());
      const std::vector<double> logits = finite_logits(model, input, model(input));
      const size_t classes = logits.size() / static_cast<size_t>(rows);
      for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
        const auto of = std::span(logits).subspan(row * classes, classes);
        const double largest = *std::max_element(of.begin(), of.end());
        double total = 0;
        for (const double logit : of) total += std::exp(logit - largest);
        confidences.push_back(std::exp(of[static_cast<size_t>(subject.label)] - largest) / total);
      }
    }
    return confidences;
  };
}

// Means that are updated picture by picture.
struct Means {
  std::map<std::string, BenchValue> values;

  void add(const std::string& column, double value) {
    BenchValue& mean = values[column];
    ++mean.n;
    mean.value += (value - mean.value) / static_cast<double>(mean.n);
  }
};

// One method, or baseline, over the pictures.
class Bench {
 public:
  Bench(Module& model, std::span<const BenchSubject> subjects, const CamBenchOptions& options)
      : model_(model),
        subjects_(subjects),
        options_(options),
        layer_(model.resolve(options.layer)),
        wanted_(options.measures.begin(), options.measures.end()) {
    std::map<int, int64_t> of_class;
    const bool again = wants("sensitivity") || wants("randomisation");
    for (size_t i = 0; i < subjects.size(); ++i)
      if (again && ++of_class[subjects[i].label] <= options.explained_again) again_.push_back(i);
    for (const BenchSubject& subject : subjects) {
      pixels_.push_back(subject.input.to_doubles());
      blurred_.push_back(wants("insertion") ? blurred(subject_at(pixels_.size() - 1)) : std::vector<double>());
    }
    whole_ = confidences();
    const CamMap sized = cam(model, subjects[0].input, {.layers = {layer_}}).at(0).maps.at(0);
    coarse_height_ = sized.height, coarse_width_ = sized.width;
  }

  int64_t explained_again() const { return static_cast<int64_t>(again_.size()); }

  BenchRow row(const std::string& method) {
    BenchRow row{.method = method, .baseline = is_baseline(method), .values = {}};
    Means means;
    std::vector<MeasuredMap>& kept = kept_[method];
    for (size_t i = 0; i < subjects_.size(); ++i) {
      const auto begin = Clock::now();
      MeasuredMap map = explained(model_, method, i, subjects_[i].input);
      row.seconds += std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(subjects_.size());
      row.empty += map.empty;
      measure(i, map, means);
      if (std::find(again_.begin(), again_.end(), i) != again_.end()) {
        if (wants("sensitivity")) means.add("sensitivity", sensitivity(method, i, map));
        kept.push_back(std::move(map));
      }
      report(method, static_cast<int64_t>(i) + 1, static_cast<int64_t>(subjects_.size()));
    }
    row.values = std::move(means.values);
    return row;
  }

  // All rows at once, so that only one random network exists at a time.
  void randomise(std::vector<BenchRow>& rows) {
    const std::vector<std::string> parts = parts_from_the_top(model_);
    for (size_t count = 1; count <= parts.size(); ++count) {
      const auto network = with_random_top(model_, static_cast<int64_t>(count), options_.seed);
      for (size_t at = 0; at < rows.size(); ++at) {
        Means means;
        for (size_t k = 0; k < again_.size(); ++k) {
          const MeasuredMap& before = kept_[rows[at].method][k];
          const MeasuredMap after = explained(*network, rows[at].method, again_[k], subjects_[again_[k]].input);
          means.add(rank_column(parts[count - 1]), rank_correlation(before.strength, after.strength));
          means.add(ssim_column(parts[count - 1]), structural_similarity(before, after));
        }
        if (count == parts.size()) means.values["randomisation"] = means.values[rank_column(parts.back())];
        rows[at].values.merge(means.values);
        report("random " + parts[count - 1], static_cast<int64_t>(at) + 1, static_cast<int64_t>(rows.size()));
      }
    }
    for (BenchRow& row : rows) row.survives = row.values["randomisation"].value >= kSurvives;
  }

  bool wants(const std::string& measure) const { return wanted_.contains(measure); }

 private:
  void report(const std::string& what, int64_t done, int64_t total) const {
    if (options_.progress) options_.progress(what, done, total);
  }
  Subject subject_at(size_t i) const {
    return {pixels_[i], static_cast<int>(subjects_[i].input.size(1)), static_cast<int>(subjects_[i].input.size(2))};
  }
  std::vector<double> confidences() {
    std::vector<double> all;
    for (size_t i = 0; i < subjects_.size(); ++i) all.push_back(confidence_in(model_, subjects_[i], 1)(pixels_[i], 1)[0]);
    return all;
  }

  MeasuredMap explained(Module& model, const std::string& method, size_t i, const Tensor& input) {
    const int height = static_cast<int>(input.size(1)), width = static_cast<int>(input.size(2));
    if (method == kCentre) return measured_map(centre_map(height, width), height, width);
    if (method == kRandom) return measured_map(random_map(height, width, key_of(options_.seed, i, Draw::random)), height, width);
    if (method == kRandomCoarse)
      return measured_map(random_map(coarse_height_, coarse_width_, key_of(options_.seed, i, Draw::random_coarse)), height, width);
    ExplainOptions explaining{.method = method,
                              .layers = {layer_},
                              .targets = {Target{{{subjects_[i].label}}}},
                              .style = CamStyle::paper,
                              .samples = options_.samples,
                              .seed = options_.seed};
    explaining.batch.batch_size = options_.batch_size;
    explaining.batch.progress = [&](int64_t, int64_t) { report(method, static_cast<int64_t>(i), static_cast<int64_t>(subjects_.size())); };
    return measured_map(explain(model, input, explaining).at(0), height, width);
  }

  void measure(size_t i, const MeasuredMap& map, Means& means) {
    const Subject subject = subject_at(i);
    const RandomKey ties = key_of(options_.seed, i, Draw::ties);
    if (const auto& mask = subjects_[i].mask) {
      if (wants("pointing")) {
        means.add("pointing", points_inside(map, *mask, pointing_tolerance(map.height, map.width), ties));
        means.add("pointing-exact", points_inside(map, *mask, 0, ties));
      }
      if (wants("energy")) means.add("energy", energy_inside(map, *mask));
    }
    const Confidence confidence = confidence_in(model_, subjects_[i], options_.batch_size);
    const std::vector<uint32_t> order = strongest_first(map, ties);
    const std::vector<double> nothing(subject.pixels.size(), 0.0);
    if (wants("insertion"))
      means.add("insertion", area_under(replacing_curve(blurred_[i], subject.pixels, order, options_.steps, confidence)));
    if (wants("deletion")) means.add("deletion", area_under(replacing_curve(subject.pixels, nothing, order, options_.steps, confidence)));
    if (wants("drop") || wants("increase")) {
      const double seen = confidence(seen_through(subject, map), 1)[0];
      if (wants("drop")) means.add("drop", confidence_drop(whole_[i], seen));
      if (wants("increase")) means.add("increase", seen > whole_[i]);
    }
    if (wants("road")) {
      const Road parts = road(subject, order, confidence, {.key = key_of(options_.seed, i, Draw::noise)});
      means.add("road", parts.combined());
      means.add("road-most-first", parts.most_first);
      means.add("road-least-first", parts.least_first);
    }
  }

  double sensitivity(const std::string& method, size_t i, const MeasuredMap& map) {
    double largest = 0;
    for (int64_t k = 0; k < options_.perturbations; ++k) {
      std::vector<double> moved = pixels_[i];
      const RandomKey key = key_of(options_.seed, i, Draw::perturbation, k);
      for (size_t e = 0; e < moved.size(); ++e) moved[e] += options_.radius * (2.0 * to_unit(key.bits(static_cast<uint32_t>(e))) - 1);
      const Tensor& input = subjects_[i].input;
      const MeasuredMap other = explained(model_, method, i, from_doubles(moved, input.shape(), input.dtype(), input.device()));
      largest = std::max(largest, relative_change(map, other));
    }
    return largest;
  }

  Module& model_;
  std::span<const BenchSubject> subjects_;
  const CamBenchOptions& options_;
  std::string layer_;
  std::set<std::string> wanted_;
  std::vector<size_t> again_;  // the pictures that are explained several times
  std::vector<std::vector<double>> pixels_, blurred_;
  std::vector<double> whole_;                             // the confidence for each unchanged picture
  std::map<std::string, std::vector<MeasuredMap>> kept_;  // by method, the maps of again_
  int coarse_height_ = 1, coarse_width_ = 1;
};

void check(std::span<const BenchSubject> subjects, const CamBenchOptions& options) {
  if (subjects.empty())
    throw DataError("there is no correctly classified picture to measure explanations with", "use a better model, or other pictures");
  const bool masked = std::any_of(subjects.begin(), subjects.end(), [](const BenchSubject& subject) { return subject.mask.has_value(); });
  for (const std::string& measure : options.measures)
    if (needs_mask(measure) && !masked)
      throw DataError(fmt::format("the measure '{}' asks whether a map lies on the evidence, and none of the {} pictures has a mask",
                                  measure, subjects.size()),
                      "masks lie at masks/<path of the picture>.png in the same archive, as `mirilla scenes` writes them");
}

}  // namespace

void check_names(Module& model, const CamBenchOptions& options) {
  const std::string layer = model.resolve(options.layer);
  static_cast<void>(measure_columns(options.measures, model));
  for (const std::string& method : options.methods) {
    static_cast<void>(is_cam(method));
    if (method == "ablationcam") check_can_run_after(model, layer);
  }
}

CamBench cam_bench(Module& model, std::span<const BenchSubject> subjects, const CamBenchOptions& options) {
  check_names(model, options);
  check(subjects, options);
  CamBench bench{.columns = measure_columns(options.measures, model), .rows = {}};
  const EvaluationMode mode(model);
  Bench running(model, subjects, options);
  bench.pictures = static_cast<int64_t>(subjects.size());
  bench.with_mask = std::count_if(subjects.begin(), subjects.end(), [](const BenchSubject& subject) { return subject.mask.has_value(); });
  bench.explained_again = running.explained_again();
  for (const std::string& method : options.methods) bench.rows.push_back(running.row(method));
  for (const std::string& method : baseline_maps()) bench.rows.push_back(running.row(method));
  if (running.wants("randomisation")) running.randomise(bench.rows);
  return bench;
}

}  // namespace mirilla::nn
