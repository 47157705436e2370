// SPDX-License-Identifier: MIT
#include "nn/files/classifier.h"

#include <gtest/gtest.h>

#include "data/photos.h"
#include "data/scenes/scenes.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "nn/explain/explain_picture.h"
#include "nn/modules/resnet.h"
#include "nn/run/predict.h"
#include "nn/train/learner.h"
#include "tests/nn/synthetic.h"

namespace mirilla::nn {
namespace {

Device& cpu() { return open_device("cpu"); }

class ClassifierFrom : public testing::Test {
 protected:
  ClassifierFrom() {
    ResNet trained({.classes = 4, .head = Head::torchvision, .seed = 8}, {.device = cpu()});
    save_model(file(), trained, small_info(4));
    first_ = trained.parameters()[0].tensor.to_vector<float>();
  }
  std::filesystem::path file() const { return folder_ / "body.safetensors"; }

  TemporaryFolder folder_;
  std::vector<float> first_;
};

TEST_F(ClassifierFrom, WeightsHasTheirBodyAndANewHeadForItsClasses) {
  const Classifier model = classifier(file(), {"sea", "street"}, cpu());
  EXPECT_EQ(model.network->parameters()[0].tensor.to_vector<float>(), first_);
  EXPECT_EQ(model.network->parameters().back().tensor.shape(), (Shape{2, 512}));
  EXPECT_EQ(model.classes(), (std::vector<std::string>{"sea", "street"}));
  EXPECT_EQ(&model.device(), &cpu());
  EXPECT_EQ(architecture_in(file()), "resnet18");
  EXPECT_THROW(classifier(file(), {"sea"}, cpu()), UsageError);
}

TEST_F(ClassifierFrom, AModelIsTheModel) {
  const Classifier model = classifier(file(), cpu());
  EXPECT_EQ(model.classes().size(), 4u);
  save(folder_ / "again.safetensors", model);
  EXPECT_TRUE(values_of(*classifier(folder_ / "again.safetensors", cpu()).network) == values_of(*model.network));
}

TEST_F(ClassifierFrom, WeightsLearnsFromPhotosAndExplainsOne) {
  const std::string scenes = (folder_ / "scenes.zip").string();
  data::write_scenes(scenes, {.per_class = 4, .size = 32, .threads = 1});
  const data::Photos photos = data::open(scenes, {.valid = 0.25, .resize = 40, .size = 32, .threads = 1});
  EXPECT_FALSE(photos.dataset->valid().empty());
  Classifier model = classifier(file(), photos.classes(), cpu());
  Learner learner(model, photos, {.batch_size = 8});
  EXPECT_EQ(model.info.resize, 40);
  EXPECT_EQ(model.info.size, 32);
  learner.fit_one_cycle(1, 1e-3);

  const auto picture = photos.dataset->picture(0);
  const ExplainedPicture why = explain(model, *picture, {.layers = {"layer3"}});
  const Prediction said = predict(model, *picture);
  EXPECT_EQ(why.class_name(), model.classes()[static_cast<size_t>(said.index)]);
  EXPECT_NEAR(why.probability(), said.probabilities[static_cast<size_t>(said.index)], 1e-4);
  EXPECT_EQ(why.explanation().maps.at(0).layer, "layer3");
  EXPECT_GT(why.figure().width, 2 * 40);

  Classifier other = classifier(file(), {"sea", "street"}, cpu());
  EXPECT_THROW(Learner(other, photos), UsageError);
}

}  // namespace
}  // namespace mirilla::nn
