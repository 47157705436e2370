// SPDX-License-Identifier: MIT
// A network of one's own, which says nothing of itself but its children: all that is done with a ResNet is done with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "nn/explain/explain.h"
#include "nn/explain/explain_files.h"
#include "nn/explain/run_after.h"
#include "nn/files/model_file.h"
#include "nn/inspect/diff.h"
#include "nn/inspect/summary.h"
#include "nn/measure/randomise.h"
#include "nn/modules/resnet.h"
#include "nn/run/predict.h"
#include "nn/train/callbacks.h"
#include "nn/train/freeze.h"
#include "nn/train/learner.h"
#include "nn/train/lr_find.h"
#include "nn/train/sgd.h"
#include "tests/nn/synthetic.h"

namespace mirilla::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kClasses = 3, kSize = 16;

Placement on_cpu() { return {.device = open_device("cpu")}; }

std::unique_ptr<Sequential> own_network(int classes = kClasses) {
  auto model = std::make_unique<Sequential>();
  model->append(std::make_unique<Conv2d>(Conv2d::Spec{.in = 3, .out = 8, .conv = {.stride = 2, .padding = 1}}, on_cpu()));
  model->append(std::make_unique<BatchNorm2d>(8, on_cpu()));
  model->append(std::make_unique<ReLU>());
  model->append(std::make_unique<Conv2d>(Conv2d::Spec{.in = 8, .out = 16, .conv = {.stride = 2, .padding = 1}}, on_cpu()));
  model->append(std::make_unique<ReLU>());
  model->append(std::make_unique<AdaptiveAvgPool2d>());
  model->append(std::make_unique<Flatten>());
  model->append(std::make_unique<Linear>(16, classes, true, on_cpu()));
  initialise(*model, 3);
  return model;
}

class OwnNetwork : public testing::Test {
 protected:
  Learner learner(const LearnerOptions& options = {}) {
    return Learner(*model_, std::make_unique<StripedBatches>(24, 8, kSize, kClasses),
                   std::make_unique<StripedBatches>(12, 8, kSize, kClasses), info_, options);
  }
  static Tensor pictures(int64_t n) {
    StripedBatches batches(n, n, kSize, kClasses);
    return validation_input(batches.batches()[0], small_info(kClasses, kSize), on_cpu());
  }

  std::unique_ptr<Sequential> model_ = own_network();
  ModelInfo info_ = small_info(kClasses, kSize);
};

TEST_F(OwnNetwork, TrainsInOneGroupOfWhichNothingFreezes) {
  Learner learner = this->learner({.augmentation = false});
  ASSERT_EQ(learner.optimizer().groups().size(), 1u);
  const auto before = values_of(*model_);
  learner.fine_tune(6, 2e-2);
  EXPECT_EQ(learner.recorder().steps()[0].rates.lr.size(), 1u);
  EXPECT_NE(values_of(*model_)[0], before[0]) << "the first layer moved in the frozen phase too";
  EXPECT_LT(learner.recorder().steps().back().loss, 0.7 * learner.recorder().steps().front().loss);
  EXPECT_GT(learner.evaluate().accuracy, 0.6);
}

TEST_F(OwnNetwork, IsRefusedWhereItsWidthIsNotThatOfTheVocabulary) {
  model_ = own_network(kClasses + 1);
  Learner learner = this->learner();
  EXPECT_THROW(learner.fit_one_cycle(1, 1e-3), ShapeError);
}

TEST_F(OwnNetwork, TrainsWithAnotherOptimizerAndAnotherLoss) {
  const auto loss = std::make_shared<CrossEntropyLoss>(CrossEntropySpec{.label_smoothing = 0.1, .class_weights = {1, 2, 0.5}});
  Learner learner = this->learner({.augmentation = false, .optimizer = sgd({.nesterov = true}), .loss = loss});
  EXPECT_NE(dynamic_cast<Sgd*>(&learner.optimizer()), nullptr);
  learner.fit_one_cycle(8, 5e-2);
  EXPECT_LT(learner.recorder().steps().back().loss, 0.8 * learner.recorder().steps().front().loss);

  // The mean over weights, whatever the batches: 12 pictures in batches of 8 and 4 as in one.
  StripedBatches two(12, 8, kSize, kClasses), one(12, 12, kSize, kClasses);
  const Evaluation parts = evaluate(*model_, two, info_, {.loss = loss.get()}), whole = evaluate(*model_, one, info_, {.loss = loss.get()});
  EXPECT_NEAR(parts.loss, whole.loss, 1e-6);
  EXPECT_NE(parts.loss, evaluate(*model_, one, info_).loss);
  const Tensor logits = [&] {
    const EvaluationMode mode(*model_);
    const tape::NoGrad no_grad;
    return (*model_)(pictures(12));
  }();
  const Tensor targets = from_host(one.batches()[0].labels, {12}, logits.device());
  EXPECT_NEAR(whole.loss, (*loss)(logits, targets).item(), 1e-5);
}

TEST_F(OwnNetwork, SnapshotsOfAnyOptimizerArePutBack) {
  Learner learner = this->learner({.optimizer = sgd()});
  learner.fit_one_cycle(1, 1e-2);
  const auto before = values_of(*model_);
  const LearnerState state = learner.snapshot();
  lr_find(learner, {.iterations = 6, .stop_at_blowup = false});
  EXPECT_TRUE(values_of(*model_) == before);
  const auto kept = learner.optimizer().kept();
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(kept[i].tensors.at(0).to_doubles(), state.optimizer[i].tensors.at(0).to_doubles());
}

TEST_F(OwnNetwork, KeepsCallbacksThatAreGivenToIt) {
  const TemporaryFolder folder;
  std::ostringstream out;
  Learner learner = this->learner({.augmentation = false, .metrics = {balanced_accuracy()}});
  learner.add(Table(out));
  learner.add(StopDiverged());
  learner.add(LossGraph(folder / "loss.png"));
  const SaveBest& best = learner.add(SaveBest(folder / "best.safetensors"));
  learner.add(EarlyStopping(5));
  learner.fit_one_cycle(2, 1e-2);
  EXPECT_TRUE(best.saved());
  EXPECT_TRUE(std::filesystem::exists(folder / "loss.png"));
  EXPECT_THAT(out.str(), HasSubstr("accuracy  balanced  time"));
  EXPECT_THAT(out.str(), HasSubstr("\n1         "));
  const EpochRow& row = learner.recorder().epochs().back();
  EXPECT_NEAR(row.metrics.at(0), row.accuracy, 1e-12) << "four pictures of each class";

  const auto trained = values_of(*model_);
  model_ = own_network();
  load_weights(*model_, folder / "best.safetensors");
  EXPECT_TRUE(values_of(*model_) == trained);
  EXPECT_THROW(load_model(folder / "best.safetensors", {}, on_cpu()), WeightsError) << "it holds no ResNet";
}

TEST_F(OwnNetwork, IsExplainedByEveryMethod) {
  for (const std::string& method : explanation_methods()) {
    SCOPED_TRACE(method);
    const Explanation why = explain(*model_, pictures(1), {.method = method, .layers = {"4"}, .samples = 4}).at(0);
    EXPECT_EQ(why.logits.size(), static_cast<size_t>(kClasses));
    const CamMap map = saliency(why);
    EXPECT_GT(map.height * map.width, 1);
  }
}

TEST_F(OwnNetwork, ContinuesFromEachOfItsChildren) {
  model_->evaluate();
  const tape::NoGrad no_grad;
  std::vector<Watch> watches;
  for (const Module::Child& child : model_->children()) watches.push_back(model_->watch(child.name));
  const std::vector<double> logits = (*model_)(pictures(2)).to_doubles();
  for (const Watch& watch : watches) {
    const std::vector<double> again = run_after(*model_, watch.name(), watch.activation().detach()).to_doubles();
    for (size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(again[i], logits[i], 1e-5) << watch.name();
  }
  EXPECT_THAT(film_layers(*model_), ElementsAre("0", "1", "2", "3", "4"));
}

TEST_F(OwnNetwork, IsSummarisedTracedAndPredictsWith) {
  const std::vector<ModuleSummary> rows = summarise(*model_, kSize);
  EXPECT_EQ(rows[0].output, (Shape{1, kClasses}));
  EXPECT_EQ(rows[1].multiply_adds, 8 * 8 * 8 * 27);
  const Trace a = trace(*model_, pictures(2)), b = trace(*model_, pictures(2));
  EXPECT_TRUE(within(diff(a, b), 0));
  EXPECT_THROW(trace(*model_, pictures(1), {.classes = {kClasses}}), UsageError);
  const data::Picture grey(20, 20);
  EXPECT_EQ(predict(*model_, {&grey, 1}, info_).at(0).probabilities.size(), static_cast<size_t>(kClasses));
  EXPECT_THROW(with_random_top(*model_, 1, 1), UsageError);
}

// A network that says nothing at all of its main path.
class Closed final : public Module {
 public:
  Closed() : inside_(add("inside", own_network())) {}
  std::string_view kind() const override { return "Closed"; }

 protected:
  Tensor forward(const Tensor& x) override { return inside_(x); }

 private:
  Sequential& inside_;
};

TEST(ClosedNetwork, IsRefusedWhereItsMainPathIsNeeded) {
  Closed model;
  EXPECT_THROW(film_layers(model), UsageError);
  EXPECT_THROW(check_can_run_after(model, "inside.4"), UsageError);
  EXPECT_EQ(model.description().at("architecture"), "Closed");
}

TEST(BalancedAccuracy, IsTheMeanShareFoundOfTheClassesThatHavePictures) {
  const Evaluation evaluation{.n = 5, .correct = 3, .accuracy = 0.6, .classes = 3, .confusion = {3, 1, 0, 1, 0, 0, 0, 0, 0}};
  EXPECT_NEAR(balanced_accuracy().of(evaluation), 0.375, 1e-12);
  EXPECT_EQ(accuracy().of(evaluation), 0.6);
}

}  // namespace
}  // namespace mirilla::nn
