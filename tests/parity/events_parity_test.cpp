// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "tests/nn/synthetic.h"
#include "tests/parity/fine_tune.h"
#include "tests/parity/row.h"

// Fits with planted events, against fastai's under the course's callbacks. tests/oracle/make_fine_tune.py says how losses are
// planted, so that the same happens on both sides, and describes events.json.
namespace mirilla::parity {
namespace {

using Epoch = std::pair<int, int>;  // (fit, epoch)

// The counterpart of make_fine_tune.py's callbacks Planted and Kept.
class Planted final : public nn::Callback {
 public:
  Planted(nn::ResNet& model, const nlohmann::json& event) : model_(model), event_(event) {}
  Order order() const override { return Order::graph; }  // so that after_fit runs after the callback that loads

  void begin_fit(const nn::FitPlan& plan) override {
    fit_ = plan.fit;
    first_ = fit_ == 0 ? 0 : event_.at("freeze_epochs").get<int>();
  }
  void begin_epoch(int epoch) override {
    epoch_ = epoch;
    plant("train", 0);
  }
  void after_batch(const nn::BatchReport& report) override { plant("train", static_cast<int>(report.iteration) + 1); }
  void begin_validation() override { plant("valid", 0); }
  nn::Verdict after_epoch(const nn::EpochRow&) override {
    seen_[fingerprint()] = {fit_, epoch_};
    return nn::Verdict::go_on;
  }
  void after_fit() override {
    const auto found = seen_.find(fingerprint());
    kept_.push_back(found == seen_.end() ? Epoch{-1, -1} : found->second);
  }

  const std::vector<Epoch>& kept() const { return kept_; }

 private:
  Tensor tensor(std::string_view name) const {
    for (const nn::NamedTensor& named : model_.parameters())
      if (named.name == name) return named.tensor;
    throw Error(std::string(name));
  }
  static void overwrite(Tensor tensor, const std::vector<double>& values) {
    tensor.copy_from(from_host(values, tensor.shape(), tensor.device()));
  }
  void plant(const std::string& part, int batch) {
    const auto [top, loss] = event_.at(part).at(static_cast<size_t>(first_ + epoch_)).get<std::pair<size_t, double>>();
    const bool nan = part == "train" && event_.at("nan") == nlohmann::json{fit_, epoch_, batch};
    Tensor scale = tensor("head.6.weight"), classifier = tensor("head.8.weight");
    scale.fill(0);
    std::vector<double> bias(static_cast<size_t>(scale.numel()));
    bias[0] = 1;
    overwrite(tensor("head.6.bias"), bias);
    std::vector<double> rows = classifier.to_doubles();
    for (size_t k = 0; k < kFineTuneClasses; ++k)
      rows[k * bias.size()] = k != top ? 0 : nan ? std::numeric_limits<double>::quiet_NaN() : loss;
    overwrite(classifier, rows);
  }
  size_t fingerprint() const {
    size_t all = 0;
    for (const nn::NamedTensor& named : parameters_and_buffers(model_)) {
      const std::vector<double> values = named.tensor.to_doubles();
      const std::string_view bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(double));
      all = all * 31 + std::hash<std::string_view>{}(bytes);
    }
    return all;
  }

  nn::ResNet& model_;
  const nlohmann::json& event_;
  int fit_ = 0, epoch_ = 0, first_ = 0;
  std::map<size_t, Epoch> seen_;
  std::vector<Epoch> kept_;
};

// One event on both sides.
struct Outcome {
  explicit Outcome(const std::string& name) {
    std::ifstream file(kFineTuneFolder + "events.json");
    const nlohmann::json all = nlohmann::json::parse(file);
    made_with = all.at("made_with");
    for (const nlohmann::json& event : all.at("events"))
      if (event.at("name") == name) run(event);
    if (lines.empty()) throw Error("events.json has no " + name);
  }

  std::string made_with;
  std::vector<std::string> lines, their_lines;
  std::vector<Epoch> kept, their_kept;
  bool finite = true;  // of the weights at the end

 private:
  void run(const nlohmann::json& event) {
    const nn::Placement placement{.device = open_device("reference"), .dtype = event.at("dtype") == "float64" ? DType::f64 : DType::f32};
    FineTune tuned(placement, 8, 2, event.at("train_labels"), {1, 0, 2, 3});
    const nn::TemporaryFolder folder;
    nn::EarlyStopping stopping(tuned.console, 3);
    nn::SaveBest best(tuned.console, tuned.model, tuned.info, folder / "model.safetensors");
    nn::LossGraph graph(tuned.console, tuned.learner.recorder(), {});
    Planted planted(tuned.model, event);
    for (nn::Callback* callback : std::initializer_list<nn::Callback*>{&graph, &stopping, &best, &planted}) tuned.learner.add(*callback);
    tuned.learner.fine_tune(event.at("epochs"), 1e-3, event.at("freeze_epochs"));
    lines = tuned.lines();
    kept = planted.kept();
    for (const double value : tuned.model.parameters()[0].tensor.to_doubles()) finite = finite && std::isfinite(value);
    event.at("lines").get_to(their_lines);
    event.at("kept").get_to(their_kept);
  }
};

Row lines_row(const std::string& id, const std::string& what, const Outcome& outcome) {
  EXPECT_EQ(outcome.lines, outcome.their_lines);
  return {.id = id,
          .what = what,
          .against = outcome.made_with,
          .measured = differing_lines(outcome.lines, outcome.their_lines),
          .tolerance = 0,
          .unit = "lines that differ",
          .tolerance_because = "text; only times are masked"};
}

TEST(EventsParity, StopsEarlyAndKeepsTheBestAsFastai) {
  const Outcome outcome("an early stop");
  report(lines_row("fine-tune.early-stop", "two fits under EarlyStopping(3) and SaveModel, ties and a recovery among them: printed lines",
                   outcome));
  EXPECT_EQ(outcome.kept, outcome.their_kept);
  double differing = std::abs(static_cast<double>(outcome.kept.size()) - static_cast<double>(outcome.their_kept.size()));
  for (size_t i = 0; i < std::min(outcome.kept.size(), outcome.their_kept.size()); ++i)
    differing += outcome.kept[i] != outcome.their_kept[i];
  report({.id = "fine-tune.best-reload",
          .what = "which epoch's weights and statistics, to the bit, the network has after each of those fits",
          .against = outcome.made_with,
          .measured = differing,
          .tolerance = 0,
          .unit = "fits that end with another epoch's",
          .tolerance_because = "an epoch is the same or it is not"});
}

TEST(EventsParity, GoesOnAfterANaNAndComesBackFromItAsFastai) {
  const Outcome outcome("a NaN at a batch");
  report(lines_row("fine-tune.nan", "a loss is NaN at one batch, then all are, the fit stops and the best epoch comes back: printed lines",
                   outcome));
  EXPECT_EQ(outcome.kept, outcome.their_kept);
  EXPECT_TRUE(outcome.finite);
}

// Here fastai loads the file of the previous fit; Mirilla leaves the network unchanged and prints a line that says so.
TEST(EventsParity, StopsAsFastaiWhereNoEpochIsTheBestAndKeepsTheWeights) {
  Outcome outcome("NaN from a fit's first batch");
  ASSERT_FALSE(outcome.lines.empty());
  EXPECT_TRUE(outcome.lines.back().starts_with("No epoch of this fit had a finite valid_loss: the weights stay as they are"));
  outcome.lines.pop_back();
  report(lines_row("fine-tune.nan-throughout",
                   "all losses of a fit are NaN: printed lines, but for Mirilla's own that says the weights stay", outcome));
  EXPECT_EQ(outcome.kept, (std::vector<Epoch>{{0, 0}, {1, 2}}));
  EXPECT_EQ(outcome.their_kept, (std::vector<Epoch>{{0, 0}, {0, 0}}));
}

TEST(EventsParity, PrintsLossesInFloatAsFastai) {
  const Outcome outcome("losses in f32");
  report(
      lines_row("fine-tune.best-in-float", "SaveModel's line of an f32 loss, all its digits (40.900001525878906): printed lines", outcome));
  EXPECT_EQ(outcome.kept, outcome.their_kept);
}

}  // namespace
}  // namespace mirilla::parity
