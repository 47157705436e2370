// SPDX-License-Identifier: MIT
// Answers that are not finite: which module wrote the first such number, and why.
#include "nn/run/finite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "data/write/png_write.h"
#include "engine/tape.h"
#include "kernels/devices.h"
#include "nn/explain/cam.h"
#include "nn/explain/explain.h"
#include "nn/explain/grad_cam.h"
#include "nn/run/predict.h"
#include "tests/nn/kernel_device.h"
#include "tests/nn/synthetic.h"
#include "tests/oracle/named_values.h"

namespace mirilla::nn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

Tensor tensor_of(const ResNet& model, std::string_view name) {
  for (const auto& all : {model.parameters(), model.buffers()})
    for (const NamedTensor& named : all)
      if (named.name == name) return named.tensor;
  throw Error(std::string(name));
}

void put(Tensor tensor, size_t at, double value) {
  std::vector<double> values = tensor.to_doubles();
  values[at] = value;
  tensor.copy_from(from_doubles(values, tensor.shape(), tensor.dtype(), tensor.device()));
}

std::unique_ptr<ResNet> healthy(Device& device, Head head = Head::fastai) {
  auto model = std::make_unique<ResNet>(ResNetSpec{.classes = 3, .head = head, .seed = std::nullopt}, Placement{.device = device});
  test::fill_by_name(*model);
  model->evaluate();
  return model;
}

// Rows of pictures, each of one value.
Tensor pictures(Device& device, const std::vector<float>& levels) {
  std::vector<float> values;
  for (const float level : levels) values.insert(values.end(), 32 * 32 * 3, level);
  return from_host(values, {static_cast<int64_t>(levels.size()), 32, 32, 3}, device);
}

template <class F>
NotFinite caught(F f) {
  try {
    f();
  } catch (const NotFinite& error) {
    return error;
  }
  ADD_FAILURE() << "NotFinite was expected";
  return {"nothing", {}};
}

class BrokenModel : public testing::TestWithParam<std::string> {
 protected:
  Device& device_ = open_device(GetParam());
};

TEST_P(BrokenModel, IsNamedByTheFirstModuleWhateverIsBroken) {
  struct Case {
    const char* tensor;
    double value;
    const char* module;
    bool is_nan;
    const char* flaw;
  };
  const Case cases[] = {{"conv1.weight", kNaN, "conv1", true, "its weight is not finite itself"},
                        {"layer2.0.conv2.weight", kNaN, "layer2.0.conv2", true, "its weight is not finite itself"},
                        {"layer2.0.downsample.0.weight", kInfinity, "layer2.0.downsample.0", false, "its weight is not finite itself"},
                        {"layer1.0.bn1.weight", kNaN, "layer1.0.bn1", true, "its weight is not finite itself"},
                        {"layer3.0.bn2.bias", kInfinity, "layer3.0.bn2", false, "its bias is not finite itself"},
                        {"bn1.running_mean", kNaN, "bn1", true, "its running_mean is not finite itself"},
                        {"bn1.running_var", kNaN, "bn1", true, "its running_var is not finite itself"},
                        {"layer2.0.downsample.1.running_var", kNaN, "layer2.0.downsample.1", true, "its running_var is not finite itself"},
                        {"layer2.1.bn1.running_var", -1, "layer2.1.bn1", true, "its running_var is negative, and a variance never is"},
                        {"head.2.running_var", -3, "head.2", true, "its running_var is negative, and a variance never is"},
                        {"head.4.weight", kNaN, "head.4", true, "its weight is not finite itself"},
                        {"head.8.weight", kNaN, "head.8", true, "its weight is not finite itself"}};
  for (const Case& broken : cases) {
    const auto owned = healthy(device_);
    ResNet& model = *owned;
    put(tensor_of(model, broken.tensor), 5, broken.value);
    const Tensor input = pictures(device_, {0.5f});
    const tape::NoGrad no_grad;
    const NotFinite error = caught([&] { finite_logits(model, input, model(input)); });
    EXPECT_EQ(error.cause.module, broken.module) << broken.tensor;
    EXPECT_EQ(error.cause.is_nan, broken.is_nan) << broken.tensor;
    EXPECT_EQ(error.cause.flaw, broken.flaw) << broken.tensor;
    EXPECT_FALSE(error.overflow()) << broken.tensor;
    EXPECT_THAT(error.pictures, ElementsAre(0)) << broken.tensor;
    EXPECT_EQ(error.message(), fmt::format("the logits are not finite: {} wrote the first {}; {}", broken.module,
                                           broken.is_nan ? "NaN" : "infinity", broken.flaw));
    EXPECT_FALSE(running::checking()) << "the check mode is left";
  }
}

TEST_P(BrokenModel, OneLogitOfOneClassIsEnough) {
  for (const double value : {kNaN, kInfinity, -kInfinity}) {
    const auto owned = healthy(device_, Head::torchvision);
    ResNet& model = *owned;
    put(tensor_of(model, "fc.bias"), 1, value);
    const Tensor input = pictures(device_, {0.5f});
    const tape::NoGrad no_grad;
    const NotFinite error = caught([&] { finite_logits(model, input, model(input)); });
    EXPECT_EQ(error.cause.module, "fc");
    EXPECT_EQ(error.cause.flaw, "its bias is not finite itself");
  }
}

TEST_P(BrokenModel, OverflowIsDistinguishedFromBrokenWeights) {
  const auto owned = healthy(device_);
  ResNet& model = *owned;
  tensor_of(model, "layer3.1.bn2.weight").fill(3e38);
  tensor_of(model, "layer3.1.bn2.bias").fill(3e38);
  const Tensor input = pictures(device_, {0.5f});
  const tape::NoGrad no_grad;
  const NotFinite error = caught([&] { finite_logits(model, input, model(input)); });
  EXPECT_EQ(error.cause.module, "layer3.1.bn2");
  EXPECT_TRUE(error.overflow());
  EXPECT_EQ(error.cause.flaw, "");
  EXPECT_THAT(error.hint(), HasSubstr("beyond 3.4e38, the largest of fp32"));
  EXPECT_FALSE(error.cause.finite_in_fp32);
}

TEST_P(BrokenModel, AnInputThatIsNotFiniteIsNotTheNetworksFault) {
  const auto owned = healthy(device_);
  ResNet& model = *owned;
  const Tensor input = pictures(device_, {0.5f, static_cast<float>(kNaN)});
  const tape::NoGrad no_grad;
  const NotFinite error = caught([&] { finite_logits(model, input, model(input)); });
  EXPECT_EQ(error.cause.module, "the input of ResNet");
  EXPECT_FALSE(error.overflow());
  EXPECT_THAT(error.pictures, ElementsAre(1));
}

INSTANTIATE_TEST_SUITE_P(On, BrokenModel, testing::Values("cpu", "reference", kernel_device()),
                         [](const auto& which) { return which.param; });

// In fp16 bright pictures overflow after bn1; dark ones become -infinity there, which the ReLU makes 0.
std::unique_ptr<ResNet> overflowing_when_bright(Device& device) {
  auto model = healthy(device);
  tensor_of(*model, "conv1.weight").fill(1);
  tensor_of(*model, "bn1.weight").fill(1e4);
  return model;
}

TEST(Overflow, OfFp16IsReportedWithWhatFp32Gives) {
  Device& device = open_device("cpu");
  const auto owned = overflowing_when_bright(device);
  ResNet& model = *owned;
  Inference network(model, amp::Precision::fp16);
  const Tensor input = pictures(device, {-2, 2, -2, 2.5f}).to(DType::f16);
  const NotFinite error = caught([&] { finite_logits(network(input), again(network, input)); });
  EXPECT_EQ(error.cause.module, "bn1");
  EXPECT_FALSE(error.cause.is_nan);
  EXPECT_TRUE(error.overflow());
  EXPECT_TRUE(error.cause.finite_in_fp32);
  EXPECT_THAT(error.pictures, ElementsAre(1, 3)) << "the dark ones have an answer";
  EXPECT_THAT(error.hint(), HasSubstr("65504"));
  EXPECT_THAT(error.hint(), HasSubstr("fp32 holds them"));
  EXPECT_EQ(error.hint().find("--"), std::string::npos) << "options are the program's";
}

TEST(Overflow, OfFp16AndFp32AlikeGetsNoSuchHint) {
  Device& device = open_device("cpu");
  const auto owned = healthy(device);
  ResNet& model = *owned;
  tensor_of(model, "bn1.weight").fill(3e38);
  Inference network(model, amp::Precision::fp16);
  const Tensor input = pictures(device, {1}).to(DType::f16);
  const NotFinite error = caught([&] { finite_logits(network(input), again(network, input)); });
  EXPECT_TRUE(error.overflow());
  EXPECT_FALSE(error.cause.finite_in_fp32);
  EXPECT_THAT(error.hint(), HasSubstr("fp32 overflows too"));
}

TEST(Overflow, OfBf16HasTheRangeOfFp32) {
  Device& device = open_device("cpu");
  const auto owned = overflowing_when_bright(device);
  ResNet& model = *owned;
  Inference network(model, amp::Precision::bf16);
  const Tensor input = pictures(device, {2.5f}).to(DType::bf16);
  EXPECT_NO_THROW(finite_logits(network(input), again(network, input)));
}

TEST(NotFiniteError, NamesPicturesAndKeepsWhy) {
  const NotFinite error("the logits", {.module = "bn1", .is_nan = true, .flaw = "its bias is not finite itself"}, {0, 2});
  EXPECT_EQ(error.of({"a.jpg", "c.jpg"}).message(),
            "a.jpg and 1 more of its batch: the logits are not finite: bn1 wrote the first NaN; its bias is not finite itself");
  EXPECT_EQ(error.of({"a.jpg"}).message(), "a.jpg: the logits are not finite: bn1 wrote the first NaN; its bias is not finite itself");
  EXPECT_THAT(error.renumbered(std::vector<int64_t>{10, 11, 12}).pictures, ElementsAre(10, 12));
  EXPECT_EQ(NotFinite("the logits", {}).message(),
            "the logits are not finite, although every module's output is finite when it is checked alone");
}

TEST(RowsNotFinite, AreThoseWithAnyBadNumber) {
  EXPECT_TRUE(rows_not_finite(std::vector<double>{1, 2, 3, 4}, 2).empty());
  EXPECT_THAT(rows_not_finite(std::vector<double>{1, kNaN, 3, 4, -kInfinity, 5, 6, 7}, 4), ElementsAre(0, 2));
  EXPECT_TRUE(rows_not_finite({}, 0).empty());
}

TEST(AsItRuns, ChecksOnItsOwnThreadAloneAndTheSameOperations) {
  Device& device = open_device("cpu");
  const auto owned = healthy(device);
  ResNet& model = *owned;
  const Tensor input = pictures(device, {0.25f});
  const tape::NoGrad no_grad;
  const std::vector<double> usual = model(input).to_doubles();
  const running::AsItRuns looking;
  EXPECT_TRUE(running::checking());
  std::thread([] { EXPECT_FALSE(running::checking()); }).join();
  EXPECT_EQ(model(input).to_doubles(), usual) << "norms stay folded";
}

// --- Callers ----------------------------------------------------------------------------------------------------------------------------

class Asked : public testing::Test {
 protected:
  Device& device_ = open_device("cpu");
  std::unique_ptr<ResNet> owned_ = healthy(device_);
  ResNet& model_ = *owned_;
  ModelInfo info_ = small_info(3, 32);
  TemporaryFolder folder_;

  std::filesystem::path picture(const std::string& name, uint8_t level) {
    data::Picture picture(32, 32);
    std::fill(picture.pixels.begin(), picture.pixels.end(), level);
    data::write_png((folder_ / name).string(), picture);
    return folder_ / name;
  }
};

TEST_F(Asked, PredictGivesTheAnswersThereAreAndNamesTheOthers) {
  const auto owned = overflowing_when_bright(device_);
  ResNet& model = *owned;
  const std::vector<std::filesystem::path> files{picture("dark.png", 0), picture("bright.png", 255), picture("dusk.png", 3)};
  for (const bool tta : {false, true}) {
    PredictOptions options{.precision = amp::Precision::fp16};
    if (tta) options.tta = TtaOptions{.n = 2};
    const Predictions predictions = predict_files(model, files, info_, options);
    ASSERT_EQ(predictions.pictures.size(), 2u);
    EXPECT_EQ(predictions.pictures[0].file, files[0].string());
    EXPECT_EQ(predictions.pictures[1].file, files[2].string());
    ASSERT_EQ(predictions.unanswered.size(), 1u);
    EXPECT_EQ(predictions.unanswered[0].file, files[1].string());
    EXPECT_THAT(predictions.unanswered[0].why.message(), testing::StartsWith(files[1].string() + ": the logits are not finite: bn1 wrote"));
    const Predictions alone = predict_files(model, std::vector{files[0], files[2]}, info_, options);
    if (!tta) {
      EXPECT_EQ(alone.pictures[1].probabilities, predictions.pictures[1].probabilities) << "a neighbour changes nothing";
    }
  }
  const Predictions wide = predict_files(model, files, info_, {});
  EXPECT_EQ(wide.pictures.size(), 3u);
}

TEST_F(Asked, PredictEndsWhereNothingHasAnAnswer) {
  constexpr int64_t kCentre = 4 * 512;  // of the 3x3: layer4 has one position here; its other taps lie on padding and have no effect
  put(tensor_of(model_, "layer4.1.conv2.weight"), kCentre, kNaN);
  const std::vector<std::filesystem::path> files{picture("a.png", 10), picture("b.png", 200)};
  const NotFinite error = caught([&] { predict_files(model_, files, info_); });
  EXPECT_THAT(error.message(),
              testing::StartsWith(files[0].string() + " and 1 more of its batch: the logits are not finite: layer4.1.conv2 "));
  EXPECT_THAT(caught([&] { predict(model_, std::vector{data::Picture(32, 32)}, info_); }).cause.module, "layer4.1.conv2");
}

TEST_F(Asked, EvaluateNamesTheItemsAndTakesThemAsTheyComeInTraining) {
  StripedBatches batches(6, 4, 32, 3);
  batches.batches()[1].items = {40, 50};
  EXPECT_NO_THROW(evaluate(model_, batches, info_));
  put(tensor_of(model_, "head.8.weight"), 0, kNaN);
  EXPECT_THAT(caught([&] { evaluate(model_, batches, info_); }).pictures, ElementsAre(0, 1, 2, 3));
  const Evaluation taken = evaluate(model_, batches, info_, {.take_not_finite = true});
  EXPECT_TRUE(std::isnan(taken.loss));
  EXPECT_EQ(taken.n, 6);
}

TEST_F(Asked, EvaluateTellsLossesThatOverflowBesideFiniteLogits) {
  tensor_of(model_, "head.8.weight").fill(0);
  Tensor scale = tensor_of(model_, "head.6.weight"), bias = tensor_of(model_, "head.6.bias");
  scale.fill(0);
  bias.fill(1);
  put(tensor_of(model_, "head.8.weight"), 0, 3e38);
  put(tensor_of(model_, "head.8.weight"), 512, -3e38);
  StripedBatches batches(3, 3, 32, 3);
  const NotFinite error = caught([&] { evaluate(model_, batches, info_); });
  EXPECT_THAT(error.message(), testing::StartsWith("the losses are not finite: cross_entropy wrote the first infinity"));
  EXPECT_THAT(error.pictures, ElementsAre(1));
}

TEST_F(Asked, ExplanationsEndAsPredictionsDo) {
  put(tensor_of(model_, "layer4.0.bn1.running_var"), 2, -1);
  const Tensor input = pictures(device_, {0.5f, 1});
  for (const std::string& method : explanation_methods()) {
    ExplainOptions options{.method = method, .layers = {"layer3"}, .samples = 2};
    EXPECT_EQ(caught([&] { explain(model_, input, options); }).cause.module, "layer4.0.bn1") << method;
  }
  EXPECT_EQ(caught([&] { grad_cam(model_, input.slice(0, 1), {"layer3"}, 0, CamStyle::course); }).cause.module, "layer4.0.bn1");
}

TEST_F(Asked, AMapWhoseGradientsOverflowIsNoAnswerEither) {
  const auto owned = healthy(device_);
  ResNet& model = *owned;
  // In the forward pass 1e-37 keeps two factors of 1e30 in range; in the backward pass they are multiplied first.
  tensor_of(model, "head.2.weight").fill(1e-37);
  for (const char* name : {"head.6.weight", "head.8.weight"}) tensor_of(model, name).fill(1e30);
  for (const char* name : {"head.2.bias", "head.6.bias", "head.6.running_mean"}) tensor_of(model, name).fill(0);
  const Tensor input = pictures(device_, {0.5f});
  {
    const tape::NoGrad no_grad;
    ASSERT_TRUE(all_finite(model(input).to_doubles())) << "the test's network";
  }
  const NotFinite error = caught([&] { grad_cam(model, input, {"layer3"}, 0, CamStyle::course); });
  EXPECT_EQ(error.subject, "the numbers of the map at 'layer3'");
  EXPECT_EQ(error.cause.module, "the backward of batch_norm in head.6");
  EXPECT_TRUE(error.overflow());
}

}  // namespace
}  // namespace mirilla::nn
