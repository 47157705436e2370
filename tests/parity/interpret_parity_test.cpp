// SPDX-License-Identifier: MIT
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "data/draw/confusion_plot.h"
#include "kernels/devices.h"
#include "nn/inspect/interpret.h"
#include "tests/parity/row.h"

// fastai's results come from tests/oracle/make_interpret.py; ours come from the functions that `mirilla eval` and `mirilla interpret`
// use.
namespace mirilla::nn {
namespace {

using Json = nlohmann::json;

const Json& oracle() {
  static const Json read = [] {
    std::ifstream file(MIRILLA_SOURCE_DIR "/tests/oracle/interpret/interpret.json");
    return Json::parse(file);
  }();
  return read;
}

std::string fastai() { return "fastai " + oracle()["made_with"]["fastai"].get<std::string>(); }

struct Case {
  const Json& expected;
  std::vector<std::string> names;
  Evaluation evaluation;
};

Case evaluated(const Json& expected) {
  std::vector<float> logits;
  for (const auto& row : expected["logits"])
    for (const auto& value : row) logits.push_back(value.get<float>());
  const auto labels = expected["targets"].get<std::vector<int64_t>>();
  std::vector<int64_t> items(labels.size());
  std::iota(items.begin(), items.end(), int64_t{0});
  auto names = expected["names"].get<std::vector<std::string>>();
  const auto n = static_cast<int64_t>(labels.size()), classes = static_cast<int64_t>(names.size());
  const Tensor on_device = from_host(logits, {n, classes}, open_device("cpu"));
  return {expected, std::move(names), summarize(classes, results_of(on_device, labels, items))};
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Json& expected : oracle()["cases"]) all.push_back(evaluated(expected));
  EXPECT_EQ(all.size(), 5u);
  return all;
}

// How many entries of two lists differ, including those that only one has.
template <class Entry>
int64_t differing(const std::vector<Entry>& ours, const std::vector<Entry>& theirs) {
  auto count = static_cast<int64_t>(std::max(ours.size(), theirs.size()) - std::min(ours.size(), theirs.size()));
  for (size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) count += ours[i] != theirs[i];
  return count;
}

// Each square in the form of the oracle's JSON. With a class without pictures, fastai writes all shares in black (its largest
// share is NaN then), so its text colours are left out in that case.
std::vector<Json> shown(const Case& c, bool normalize) {
  const auto cells = data::confusion_cells({.counts = c.evaluation.confusion, .names = c.names, .normalize = normalize});
  std::vector<Json> all;
  for (const data::ConfusionCell& cell : cells) all.push_back({cell.text, cell.on_dark ? "white" : "black", cell.color});
  return all;
}

void leave_out_text_colors(std::vector<Json>& cells) {
  for (Json& cell : cells) cell[1] = "";
}

int64_t differing_cells(const Case& c, bool normalize) {
  std::vector<Json> ours = shown(c, normalize), theirs = c.expected[normalize ? "normalized" : "cells"].get<std::vector<Json>>();
  if (std::any_of(theirs.begin(), theirs.end(), [](const Json& cell) { return cell[0] == "nan"; })) {
    leave_out_text_colors(ours);
    leave_out_text_colors(theirs);
  }
  return differing(ours, theirs);
}

TEST(InterpretParity, TheConfusionMatrixAndItsPicturesSquaresAreFastais) {
  int64_t differ = 0;
  for (const Case& c : cases()) {
    const auto classes = static_cast<size_t>(c.evaluation.classes);
    for (size_t i = 0; i < classes * classes; ++i) differ += c.evaluation.confusion[i] != c.expected["confusion"][i / classes][i % classes];
    differ += differing_cells(c, false) + differing_cells(c, true);
  }
  parity::report({.id = "interpret.confusion",
                  .what = "confusion matrix; its picture's squares with and without normalize: text, black or white, colour",
                  .against = fastai(),
                  .measured = static_cast<double>(differ),
                  .tolerance = 0,
                  .unit = "cells that differ",
                  .tolerance_because = "counts"});
}

TEST(InterpretParity, MostConfusedIsFastaisListInItsOrder) {
  int64_t differ = 0;
  for (const Case& c : cases()) {
    std::vector<Json> ours;
    for (const Confused& pair : most_confused(c.evaluation))
      ours.push_back({c.names[static_cast<size_t>(pair.actual)], c.names[static_cast<size_t>(pair.predicted)], pair.count});
    differ += differing(ours, c.expected["most_confused"].get<std::vector<Json>>());
  }
  parity::report({.id = "interpret.most-confused",
                  .what = "most_confused: actual, predicted, count, with equal counts in their order",
                  .against = fastai(),
                  .measured = static_cast<double>(differ),
                  .tolerance = 0,
                  .unit = "entries that differ",
                  .tolerance_because = "counts"});
}

TEST(InterpretParity, TopLossesStandInFastaisOrderUnderItsCaptions) {
  int64_t differ = 0;
  for (const Case& c : cases()) {
    std::vector<std::string> ours, theirs;
    for (const auto& entry : c.expected["top_losses"]) theirs.push_back(entry[1]);
    for (const ItemResult& result : top_losses(c.evaluation, static_cast<int64_t>(theirs.size())))
      ours.push_back(caption_of(result, c.names));
    differ += differing(ours, theirs);
  }
  parity::report({.id = "interpret.top-losses",
                  .what = "plot_top_losses: which pictures in which order, predicted/actual / loss / probability above each",
                  .against = fastai(),
                  .measured = static_cast<double>(differ),
                  .tolerance = 0,
                  .unit = "captions that differ",
                  .tolerance_because = "two decimals of each number"});
}

TEST(InterpretParity, LossesOfAllPicturesAreFastais) {
  double largest = 0;
  for (const Case& c : cases()) {
    const auto theirs = c.expected["losses"].get<std::vector<double>>();
    const std::vector<ItemResult> ours = top_losses(c.evaluation, c.evaluation.n);
    ASSERT_EQ(ours.size(), theirs.size());
    for (size_t i = 0; i < theirs.size(); ++i) largest = std::max(largest, std::abs(ours[i].loss - theirs[i]) / std::max(theirs[i], 1.0));
  }
  parity::report({.id = "interpret.losses",
                  .what = "top_losses: the loss of each picture, all of them in descending order",
                  .against = fastai(),
                  .measured = largest,
                  .tolerance = 1e-6,
                  .unit = "of the loss, or of 1 where it is smaller",
                  .tolerance_because = "f32: logits near 1 are rounded to 6e-8 before they are subtracted"});
}

TEST(InterpretParity, TheClassificationReportIsFastaisLineForLine) {
  int64_t differ = 0;
  for (const Case& c : cases()) {
    std::string text = to_text(classification_report(c.evaluation), c.names) + "\n";  // print adds a line break
    std::vector<std::string> lines;
    for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
      lines.push_back(text.substr(begin, end - begin));
    differ += differing(lines, c.expected["report"].get<std::vector<std::string>>());
  }
  parity::report({.id = "interpret.report",
                  .what = "print_classification_report: classes that have no picture or are never predicted among them",
                  .against = fastai() + ", scikit-learn " + oracle()["made_with"]["sklearn"].get<std::string>(),
                  .measured = static_cast<double>(differ),
                  .tolerance = 0,
                  .unit = "lines that differ",
                  .tolerance_because = "two decimals of each number"});
}

}  // namespace
}  // namespace mirilla::nn
