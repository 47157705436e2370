// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "data/augment.h"
#include "kernels/devices.h"
#include "nn/run/evaluate.h"
#include "tests/parity/row.h"

// The random draws for a training batch: 10,000 of our draws against 10,000 of fastai's. make_augment_draws.py says what is stored.
namespace mirilla::parity {
namespace {

constexpr uint32_t kDraws = 10000;
// Two samples of the same distribution: a difference of 4.5 standard errors occurs once in 150,000 comparisons, and all rows together make
// about 300.
constexpr double kStandardErrors = 4.5;
constexpr const char* kUnit = "standard errors of the difference";
constexpr const char* kBecause = "sampling: two times 10,000 draws; one in 150,000 comparisons is further off";

nlohmann::json oracle() { return nlohmann::json::parse(std::ifstream(MIRILLA_SOURCE_DIR "/tests/oracle/augment/draws.json")); }

std::string fastai(const nlohmann::json& document) { return "fastai " + document["made_with"]["fastai"].get<std::string>(); }

/// Everything drawn for one picture.
struct Drawn : data::PictureDraw {
  data::CropDraw resize;
};

/// A parameter that may be drawn; `neutral` is NaN where there is no neutral value.
struct Parameter {
  std::string name;
  double (*of)(const Drawn&);
  double low, high, neutral;
};

const std::vector<Parameter>& parameters() {
  static const double none = std::nan(""), flattest = std::log(0.8);
  static const std::vector<Parameter> all{
      {"flip", [](const Drawn& d) { return d.flip ? 1.0 : 0.0; }, 1, 1, 0},
      {"degrees", [](const Drawn& d) { return d.degrees; }, -10, 10, 0},
      {"zoom", [](const Drawn& d) { return d.zoom; }, 1, 1.1, 1},
      {"zoom_x", [](const Drawn& d) { return d.zoom_x; }, 0, 1, none},
      {"zoom_y", [](const Drawn& d) { return d.zoom_y; }, 0, 1, none},
      {"warp_x", [](const Drawn& d) { return d.warp_x; }, -0.2, 0.2, 0},
      {"warp_y", [](const Drawn& d) { return d.warp_y; }, -0.2, 0.2, 0},
      {"resize_x", [](const Drawn& d) { return d.resize.x; }, 0, 1, none},
      {"resize_y", [](const Drawn& d) { return d.resize.y; }, 0, 1, none},
      {"brightness", [](const Drawn& d) { return d.brightness; }, 0.4, 0.6, 0.5},
      {"contrast", [](const Drawn& d) { return std::log(d.contrast); }, flattest, -flattest, 0},
  };
  return all;
}

const Parameter& parameter(const std::string& name) { return *std::ranges::find(parameters(), name, &Parameter::name); }

/// Our draws of each parameter, as in the course's training: 100 batches of 100, two epochs of 5000.
const std::map<std::string, std::vector<double>>& draws() {
  static const std::map<std::string, std::vector<double>> all = [] {
    std::map<std::string, std::vector<double>> values;
    for (uint32_t i = 0; i < kDraws; ++i) {
      const Drawn draw{data::draw_picture({}, 20, i / 100, i % 100), data::crop_draw(20, i / 5000, i % 5000)};
      for (const Parameter& p : parameters()) values[p.name].push_back(p.of(draw));
    }
    return values;
  }();
  return all;
}

std::vector<double> kept(const Parameter& p) {
  std::vector<double> values;
  std::ranges::copy_if(draws().at(p.name), std::back_inserter(values), [&](double v) { return v != p.neutral; });
  std::ranges::sort(values);
  return values;
}

/// Counts m1 of n1 and m2 of n2.
double share_errors(double m1, double n1, double m2, double n2) {
  const double p = (m1 + m2) / (n1 + n2);
  return p <= 0 || p >= 1 ? 0 : std::abs(m1 / n1 - m2 / n2) / std::sqrt(p * (1 - p) * (1 / n1 + 1 / n2));
}

double mean_of(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size()); }

double covariance(const std::vector<double>& a, const std::vector<double>& b) {
  const double mean_a = mean_of(a), mean_b = mean_of(b);
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - mean_a) * (b[i] - mean_b);
  return sum / static_cast<double>(a.size());
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  return covariance(a, b) / std::sqrt(covariance(a, a) * covariance(b, b));
}

/// numpy.quantile of sorted values.
double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  const double above = at - static_cast<double>(low);
  return above > 0 ? sorted[low] + above * (sorted[low + 1] - sorted[low]) : sorted[low];
}

/// The share kept, and the mean, standard deviation and deciles of the kept values, each difference in standard errors of a uniform
/// distribution.
double distribution_errors(const Parameter& p, const nlohmann::json& stored) {
  const std::vector<double> ours = kept(p);
  const double n1 = static_cast<double>(ours.size()), n2 = stored["kept"];
  double most = share_errors(n1, kDraws, n2, kDraws);
  if (p.low == p.high) return most;
  const double range = p.high - p.low, deviation = range / std::sqrt(12), both = std::sqrt(1 / n1 + 1 / n2);
  most = std::max(most, std::abs(mean_of(ours) - stored["mean"].get<double>()) / (deviation * both));
  // A uniform distribution's fourth moment is 1.8 of the variance squared.
  most =
      std::max(most, std::abs(std::sqrt(covariance(ours, ours)) - stored["std"].get<double>()) / (deviation * std::sqrt(0.8 / 4) * both));
  for (int i = 1; i <= 9; ++i) {
    const double q = i / 10.0, wanted = stored["deciles"][static_cast<size_t>(i - 1)];
    most = std::max(most, std::abs(quantile(ours, q) - wanted) / (range * std::sqrt(q * (1 - q)) * both));
  }
  return most;
}

struct Promise {
  const char* id;
  const char* what;
  std::vector<std::string> parameters;
};

class DrawsParity : public testing::TestWithParam<Promise> {};

TEST_P(DrawsParity, AreDistributedAsFastais) {
  const auto document = oracle();
  double most = 0;
  for (const std::string& name : GetParam().parameters)
    most = std::max(most, distribution_errors(parameter(name), document["parameters"][name]));
  report({.id = GetParam().id,
          .what = GetParam().what,
          .against = fastai(document),
          .measured = most,
          .tolerance = kStandardErrors,
          .unit = kUnit,
          .tolerance_because = kBecause});
}

INSTANTIATE_TEST_SUITE_P(
    Each, DrawsParity,
    testing::Values(Promise{"augment.distribution-flip", "10,000 draws: the share of pictures that are flipped", {"flip"}},
                    Promise{"augment.distribution-rotate",
                            "10,000 draws of the angle: share not applied; mean, standard deviation, deciles of the others",
                            {"degrees"}},
                    Promise{"augment.distribution-zoom",
                            "10,000 draws of the zoom and its centre: share not applied; mean, standard deviation, deciles of the others",
                            {"zoom", "zoom_x", "zoom_y"}},
                    Promise{"augment.distribution-warp",
                            "10,000 draws of the warp in x and in y: share not applied; mean, standard deviation, deciles of the others",
                            {"warp_x", "warp_y"}},
                    Promise{"augment.distribution-brightness",
                            "10,000 draws of the brightness: share not applied; mean, standard deviation, deciles of the others",
                            {"brightness"}},
                    Promise{"augment.distribution-contrast",
                            "10,000 draws of the contrast's logarithm: share not applied; mean, standard deviation, deciles of the others",
                            {"contrast"}},
                    Promise{"augment.distribution-resize",
                            "10,000 draws of where Resize's square lies, in x and in y: mean, standard deviation, deciles",
                            {"resize_x", "resize_y"}}),
    [](const auto& instance) { return std::string(instance.param.id).substr(21); });

TEST(BatchDrawsParity, NoParameterHangsOnAnother) {
  const auto document = oracle();
  double most = 0;
  const auto split = [](const std::string& pair) { return std::pair{pair.substr(0, pair.find(' ')), pair.substr(pair.find(' ') + 1)}; };
  for (const auto& [pair, wanted] : document["both_kept"].items()) {
    const auto [a, b] = split(pair);
    int both = 0;
    for (size_t i = 0; i < kDraws; ++i) both += draws().at(a)[i] != parameter(a).neutral && draws().at(b)[i] != parameter(b).neutral;
    most = std::max(most, share_errors(both, kDraws, wanted, kDraws));
  }
  for (const auto& [pair, wanted] : document["correlation"].items()) {
    const auto [a, b] = split(pair);
    // Independent numbers correlate by about 1 / sqrt(n).
    most = std::max(most, std::abs(correlation(draws().at(a), draws().at(b)) - wanted.get<double>()) / std::sqrt(2.0 / kDraws));
  }
  report({.id = "augment.independence",
          .what =
              "10,000 draws of all parameters: how often each two are applied together, warp x with warp y and rotation with zoom among "
              "them, and how each two correlate",
          .against = fastai(document),
          .measured = most,
          .tolerance = kStandardErrors,
          .unit = kUnit,
          .tolerance_because = kBecause});
}

TEST(BatchDrawsParity, EndsAreReachedAndNeverPassed) {
  const auto document = oracle();
  double most = 0;
  for (const Parameter& p : parameters()) {
    if (p.low == p.high) continue;
    const std::vector<double> ours = kept(p);
    const auto& stored = document["parameters"][p.name];
    constexpr double kRounding = 1e-7;  // fastai draws in f32
    EXPECT_GE(stored["least"], p.low - kRounding) << p.name << ": not fastai's end";
    EXPECT_LE(stored["greatest"], p.high + kRounding) << p.name << ": not fastai's end";
    for (const double gap : {ours.front() - p.low, p.high - ours.back()}) {
      const double share = gap / (p.high - p.low);
      most = std::max(most, share < -1e-12 ? std::numeric_limits<double>::infinity() : share * static_cast<double>(ours.size()));
    }
  }
  report({.id = "augment.ends",
          .what =
              "10,000 draws: no parameter passes fastai's ends (10 degrees, zoom 1 to 1.1, warp .2, brightness .4 to .6, contrast .8 to "
              "1.25), and each comes near both",
          .against = fastai(document),
          .measured = most,
          .tolerance = 12,
          .unit = "mean distances between neighbouring draws, from an end to the nearest draw; infinite beyond it",
          .tolerance_because = "sampling: a gap of 12 comes once in e^12 = 160,000"});
}

/// Two histograms bin by bin; bins with fewer than 40 in both count together.
double histogram_errors(const std::map<int, int>& ours, const nlohmann::json& stored) {
  std::map<int, double> theirs;
  for (const auto& [value, n] : stored.items()) theirs[std::stoi(value)] = n;
  std::set<int> values;
  for (const auto& [value, n] : ours) values.insert(value);
  for (const auto& [value, n] : theirs) values.insert(value);
  double most = 0, rest_ours = 0, rest_theirs = 0;
  for (const int value : values) {
    const double m1 = ours.contains(value) ? ours.at(value) : 0, m2 = theirs[value];
    if (m1 + m2 >= 40) {
      most = std::max(most, share_errors(m1, kDraws, m2, kDraws));
    } else {
      rest_ours += m1, rest_theirs += m2;
    }
  }
  return std::max(most, share_errors(rest_ours, kDraws, rest_theirs, kDraws));
}

TEST(BatchDrawsParity, CropsAreDistributedAsFastais) {
  const auto document = oracle();
  double most = 0;
  for (const auto& stored : document["crops"]) {
    std::map<int, int> sides, lefts, tops;
    std::vector<double> left, top;
    for (uint32_t step = 0; step < kDraws; ++step) {
      const data::Box crop = data::draw_crop({}, 21, step, stored["height"], stored["width"]);
      EXPECT_EQ(crop.width, crop.height);
      ++sides[crop.width], ++lefts[crop.x], ++tops[crop.y];
      left.push_back(crop.x), top.push_back(crop.y);
    }
    for (const auto& [name, ours] : {std::pair{"side", sides}, {"left", lefts}, {"top", tops}})
      most = std::max(most, histogram_errors(ours, stored[name]));
    most = std::max(most, std::abs(correlation(left, top) - stored["correlation"].get<double>()) / std::sqrt(2.0 / kDraws));
  }
  report({.id = "augment.distribution-crop",
          .what = "10,000 crops of 256 x 256 and of 130 x 100, where most do not fit at first: how often each side, left and top comes",
          .against = fastai(document) + "'s RandomResizedCropGPU",
          .measured = most,
          .tolerance = kStandardErrors,
          .unit = kUnit,
          .tolerance_because = kBecause});
}

/// How many crops the pictures of a training batch show: pixels encode their column (red) and row (green), and only the crop is drawn.
size_t crops_seen(uint32_t step) {
  constexpr int kPictures = 32, kSide = 256;
  static const data::Batch batch = [] {
    data::Batch made{.n = kPictures, .size = kSide};
    for (int i = 0; i < kPictures * kSide * kSide; ++i) {
      const auto x = static_cast<uint8_t>(i % kSide), y = static_cast<uint8_t>(i / kSide % kSide);
      made.pixels.insert(made.pixels.end(), {x, y, y});
    }
    for (int i = 0; i < kPictures; ++i) made.labels.push_back(0), made.items.push_back(7 * i);
    return made;
  }();
  constexpr float kByte = 1 / 255.f;
  const nn::ModelInfo info{.vocabulary = {}, .mean = {0, 0, 0}, .std = {kByte, kByte, kByte}};
  const data::AugmentSpec spec{.p_flip = 0, .p_affine = 0, .p_lighting = 0};
  const std::vector<float> y =
      nn::training_input(batch, spec, 22, step, info, nn::Placement{.device = open_device("cpu")}).to_vector<float>();
  const auto size = static_cast<size_t>(info.size);
  std::set<std::array<long, 4>> crops;
  for (size_t n = 0; n < kPictures; ++n) {
    const float* const picture = &y[n * size * size * 3];
    const float* const lower_left = picture + (size - 1) * size * 3;
    crops.insert({std::lround(picture[0]), std::lround(picture[1]), std::lround(picture[(size - 1) * 3]), std::lround(lower_left[1])});
  }
  return crops.size();
}

TEST(BatchDrawsParity, ABatchSharesOneCrop) {
  const auto document = oracle();
  int differ = 0;
  for (size_t step = 0; step < document["batches"].size(); ++step)
    differ += crops_seen(static_cast<uint32_t>(step)) != document["batches"][step].get<size_t>();
  report({.id = "augment.one-crop",
          .what = "50 training batches of 32 pictures whose pixels tell their place: how many crops are to be seen in each",
          .against = fastai(document) + "'s RandomResizedCropGPU",
          .measured = static_cast<double>(differ),
          .tolerance = 0,
          .unit = "batches with another number of crops",
          .tolerance_because = "a rule, not a number: both show one"});
}

}  // namespace
}  // namespace mirilla::parity
