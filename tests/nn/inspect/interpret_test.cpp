// SPDX-License-Identifier: MIT
#include "nn/inspect/interpret.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "data/archive/archive.h"
#include "data/write/png_write.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "tests/nn/synthetic.h"

namespace mirilla::nn {
namespace {

const std::vector<std::string> kNames{"a", "b", "c"};

// One picture for each count of the matrix, with increasing losses.
Evaluation counted(int64_t classes, const std::vector<int64_t>& confusion) {
  std::vector<ItemResult> items;
  for (size_t cell = 0; cell < confusion.size(); ++cell)
    for (int64_t i = 0; i < confusion[cell]; ++i)
      items.push_back({.item = static_cast<int64_t>(items.size()),
                       .actual = static_cast<int64_t>(cell) / classes,
                       .predicted = static_cast<int64_t>(cell) % classes,
                       .loss = 0.5});
  return summarize(classes, items);
}

TEST(Summarize, CountsWhatEachPictureWasTakenFor) {
  const Evaluation evaluation = counted(2, {3, 1, 0, 4});
  EXPECT_EQ(evaluation.confusion, (std::vector<int64_t>{3, 1, 0, 4}));
  EXPECT_EQ(evaluation.correct, 7);
  EXPECT_DOUBLE_EQ(evaluation.accuracy, 7.0 / 8);
  EXPECT_DOUBLE_EQ(evaluation.loss, 0.5);
  EXPECT_TRUE(std::isnan(summarize(2, {}).loss));
}

TEST(ResultsOf, RefusesWhatDoesNotFit) {
  const Tensor logits = from_host(std::vector<float>(6), {2, 3}, open_device("cpu"));
  const std::vector<int64_t> two{0, 1}, three{0, 1, 2}, outside{0, 3};
  EXPECT_THROW(results_of(logits, three, three), ShapeError);
  EXPECT_THROW(results_of(logits, two, three), ShapeError);
  EXPECT_THROW(results_of(logits, outside, two), ShapeError);
  EXPECT_EQ(results_of(logits, two, two)[1].predicted, 0) << "the first of equals";
}

TEST(MostConfused, LeavesOutTheDiagonalAndKeepsTheMatrixsOrderAmongEquals) {
  const Evaluation evaluation = counted(3, {9, 2, 1, 2, 9, 0, 3, 2, 9});
  EXPECT_EQ(most_confused(evaluation), (std::vector<Confused>{{2, 0, 3}, {0, 1, 2}, {1, 0, 2}, {2, 1, 2}, {0, 2, 1}}));
  EXPECT_EQ(most_confused(evaluation, 3), (std::vector<Confused>{{2, 0, 3}}));
  EXPECT_TRUE(most_confused(counted(2, {1, 0, 0, 1})).empty());
  EXPECT_THROW(most_confused(evaluation, 0), UsageError);
}

TEST(TopLosses, AreTheLargestWithEqualsInTheBatchesOrderAndNaNFirst) {
  std::vector<ItemResult> items;
  for (const double loss : {1.0, 3.0, std::numeric_limits<double>::quiet_NaN(), 1.0, 7.0, 3.0})
    items.push_back({.item = static_cast<int64_t>(items.size()), .loss = loss});
  const Evaluation evaluation = summarize(1, items);
  std::vector<int64_t> order;
  for (const ItemResult& result : top_losses(evaluation, 100)) order.push_back(result.item);
  EXPECT_EQ(order, (std::vector<int64_t>{2, 4, 1, 5, 0, 3}));
  ASSERT_EQ(top_losses(evaluation, 2).size(), 2u);
  EXPECT_EQ(top_losses(evaluation, 2)[1].item, 4);
  EXPECT_TRUE(top_losses(evaluation, 0).empty());
  EXPECT_THROW(top_losses(evaluation, -1), UsageError);
}

TEST(CaptionOf, IsPredictedActualLossAndProbability) {
  EXPECT_EQ(caption_of({.actual = 0, .predicted = 2, .loss = 4.125, .probability = 0.987}, kNames), "c/a / 4.12 / 0.99");
}

TEST(ClassificationReportTest, GivesEachClassItsShares) {
  const ClassificationReport report = classification_report(counted(3, {3, 1, 0, 1, 1, 0, 0, 2, 0}));
  EXPECT_DOUBLE_EQ(report.classes[0].precision, 3.0 / 4);
  EXPECT_DOUBLE_EQ(report.classes[0].recall, 3.0 / 4);
  EXPECT_DOUBLE_EQ(report.classes[1].precision, 1.0 / 4);
  EXPECT_DOUBLE_EQ(report.classes[1].recall, 1.0 / 2);
  EXPECT_DOUBLE_EQ(report.classes[1].f1, 2.0 / 6);
  EXPECT_EQ(report.classes[2].precision, 0) << "never predicted";
  EXPECT_EQ(report.classes[2].support, 2);
  EXPECT_DOUBLE_EQ(report.accuracy, 0.5);
  EXPECT_DOUBLE_EQ(report.macro.recall, 1.25 / 3);
  EXPECT_DOUBLE_EQ(report.weighted.recall, 0.5);
  EXPECT_EQ(report.weighted.support, 8);
}

TEST(ClassificationReportTest, IsZerosWithoutPictures) {
  const ClassificationReport report = classification_report(summarize(2, {}));
  EXPECT_EQ(report.accuracy, 0);
  EXPECT_EQ(report.weighted.f1, 0);
}

TEST(ClassificationReportTest, AlignsNamesByTheirCharacters) {
  const std::vector<std::string> names{"montañas nevadas", "b"};
  const std::string text = to_text(classification_report(counted(2, {1, 0, 1, 0})), names);
  EXPECT_NE(text.find("\nmontañas nevadas       0.50      1.00      0.67         1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n               b       0.00      0.00      0.00         1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n        accuracy                           0.50         2\n"), std::string::npos) << text;
}

TEST(Csv, HoldsTheMatrixTheReportAndThePairs) {
  const std::vector<std::string> names{"sea, deep", "b"};
  const Evaluation evaluation = counted(2, {1, 2, 0, 1});
  EXPECT_EQ(confusion_csv(evaluation, names), "actual\\predicted,\"sea, deep\",b\n\"sea, deep\",1,2\nb,0,1\n");
  EXPECT_EQ(to_csv(most_confused(evaluation), names), "actual,predicted,count\n\"sea, deep\",b,2\n");
  EXPECT_EQ(to_csv(classification_report(counted(2, {1, 0, 1, 0})), names),
            "class,precision,recall,f1,support\n\"sea, deep\",0.5,1,0.6666666666666666,1\nb,0,0,0,1\naccuracy,,,0.5,2\n"
            "macro avg,0.25,0.5,0.3333333333333333,2\nweighted avg,0.25,0.5,0.3333333333333333,2\n");
}

TEST(DrawTopLosses, ShowsEachPictureBesideItsMap) {
  const TemporaryFolder folder;
  for (const char* name : {"class0/x.png", "class1/y.png"}) {
    data::Picture picture(40, 40);
    for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<uint8_t>(i * 7 % 256);
    std::filesystem::create_directories((folder / name).parent_path());
    data::write_png((folder / name).string(), picture);
  }
  const ModelInfo info = small_info(2, 64);
  ResNet model({.classes = 2, .seed = 3}, {.device = open_device("cpu")});
  const auto dataset = data::open_evaluation(data::open_source(folder / ""), {.resize = 64, .vocabulary = info.vocabulary});
  const std::vector<ItemResult> results{{.item = 1, .actual = 1, .predicted = 0, .loss = 2}, {.item = 0, .predicted = 1, .loss = 1}};
  EXPECT_EQ(to_csv(results, *dataset),
            "path,actual,predicted,loss,probability\nclass1/y.png,class1,class0,2.000000,0.000000\n"
            "class0/x.png,class0,class1,1.000000,0.000000\n");
  std::vector<int64_t> told;
  const data::Picture two =
      draw_top_losses(model, *dataset, results, info, {.layer = "layer3", .progress = [&](int64_t done, int64_t total) {
                                                         told.push_back(done);
                                                         EXPECT_EQ(total, 2);
                                                       }});
  EXPECT_EQ(told, (std::vector<int64_t>{1, 2}));
  const data::Picture one = draw_top_losses(model, *dataset, std::span(results).first(1), info);
  EXPECT_GT(two.width, 2 * 400);
  EXPECT_LT(one.width, 2 * 400);
  EXPECT_THROW(draw_top_losses(model, *dataset, results, info, {.layer = "layer9"}), UsageError);
  EXPECT_THROW(draw_top_losses(model, *dataset, {}, info), UsageError);
}

}  // namespace
}  // namespace mirilla::nn
