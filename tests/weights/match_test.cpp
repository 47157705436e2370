// SPDX-License-Identifier: MIT
#include "weights/match.h"

#include "tests/weights/support.h"

namespace mirilla::weights {
namespace {

using Names = std::vector<std::string>;

StateDict file(const std::vector<Wanted>& tensors) {
  StateDict state;
  for (const auto& [name, shape] : tensors) {
    const std::vector<float> zeros(static_cast<size_t>(shape.numel()));
    state.add(name, Array::from<float>(shape, zeros));
  }
  return state;
}

const std::vector<Wanted> kBodyAndHead = {
    {"conv1.weight", {4, 3, 7, 7}}, {"bn1.weight", {4}},       {"bn1.num_batches_tracked", {}}, {"layer1.0.conv1.weight", {4, 4, 3, 3}},
    {"head.2.weight", {8}},         {"head.4.weight", {5, 8}}, {"head.8.weight", {6, 5}}};
const std::vector<Wanted> kTorchvision = {{"conv1.weight", {4, 3, 7, 7}},          {"bn1.weight", {4}},     {"bn1.num_batches_tracked", {}},
                                          {"layer1.0.conv1.weight", {4, 4, 3, 3}}, {"fc.weight", {200, 4}}, {"fc.bias", {200}}};

TEST(ModelNames, FastaisBecomeTorchvisionsAndTheHeadKeepsItsIndex) {
  const StateDict state = file({{"0.0.weight", {1}},
                                {"0.1.running_mean", {1}},
                                {"0.4.0.conv1.weight", {1}},
                                {"0.5.0.downsample.0.weight", {1}},
                                {"0.7.1.bn2.bias", {1}},
                                {"1.2.weight", {1}},
                                {"1.8.weight", {1}}});
  EXPECT_EQ(model_names(state), (Names{"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight",
                                       "layer4.1.bn2.bias", "head.2.weight", "head.8.weight"}));
}

TEST(ModelNames, AnotherSequentialIsNotTakenForFastais) {
  EXPECT_EQ(model_names(file({{"0.weight", {1}}, {"1.weight", {1}}})), (Names{"0.weight", "1.weight"}));
  EXPECT_EQ(model_names(file({{"0.4.0.conv1.weight", {1}}, {"2.weight", {1}}})), (Names{"0.4.0.conv1.weight", "2.weight"}));
}

TEST(ModelNames, DataParallelsPrefixIsRemovedIfAllHaveIt) {
  EXPECT_EQ(model_names(file({{"module.conv1.weight", {1}}, {"module.fc.bias", {1}}})), (Names{"conv1.weight", "fc.bias"}));
  EXPECT_EQ(model_names(file({{"module.0.4.0.conv1.weight", {1}}, {"module.1.4.weight", {1}}})),
            (Names{"layer1.0.conv1.weight", "head.4.weight"}));
  EXPECT_EQ(model_names(file({{"module.conv1.weight", {1}}, {"fc.bias", {1}}})), (Names{"module.conv1.weight", "fc.bias"}));
}

TEST(ModelNames, APrefixOfAllButCountersIsRemoved) {
  for (const std::string prefix : {"model.", "_orig_mod.", "module.module.", "learner.net._orig_mod.", "student."}) {
    const StateDict state = file({{"n_averaged", {}},
                                  {prefix + "conv1.weight", {4, 3, 7, 7}},
                                  {prefix + "bn1.weight", {4}},
                                  {prefix + "bn1.num_batches_tracked", {}},
                                  {prefix + "layer1.0.conv1.weight", {4, 4, 3, 3}},
                                  {prefix + "fc.weight", {200, 4}},
                                  {prefix + "fc.bias", {200}}});
    EXPECT_EQ(names_in(state).prefix, prefix);
    const Report report = match(kTorchvision, state);
    EXPECT_EQ(report.matched.size(), kTorchvision.size()) << prefix;
    EXPECT_EQ(report.left_out, Names{"n_averaged"});
    EXPECT_EQ(report.unexpected, Names{});
    EXPECT_EQ(report.remarks, Names{"the prefix '" + prefix + "' of the file's names was removed"});
  }
}

TEST(ModelNames, TwoNetworksInOneFileKeepTheirNames) {
  const Names two = {"encoder_q.layer1.0.conv1.weight", "encoder_k.layer1.0.conv1.weight"};
  EXPECT_EQ(model_names(file({{two[0], {1}}, {two[1], {1}}})), two);
}

TEST(ModelNames, HuggingFacesBecomeTorchvisions) {
  const auto named = [](const std::string& before, const std::string& classifier) {
    return file({{before + "embedder.embedder.convolution.weight", {1}},
                 {before + "embedder.embedder.normalization.running_var", {1}},
                 {before + "encoder.stages.0.layers.0.layer.0.convolution.weight", {1}},
                 {before + "encoder.stages.1.layers.0.shortcut.convolution.weight", {1}},
                 {before + "encoder.stages.1.layers.0.shortcut.normalization.bias", {1}},
                 {before + "encoder.stages.3.layers.1.layer.1.normalization.num_batches_tracked", {1}},
                 {before + "encoder.stages.3.layers.2.layer.2.convolution.weight", {1}},
                 {classifier + "classifier.1.weight", {1}}});
  };
  const Names ours = {"conv1.weight",
                      "bn1.running_var",
                      "layer1.0.conv1.weight",
                      "layer2.0.downsample.0.weight",
                      "layer2.0.downsample.1.bias",
                      "layer4.1.bn2.num_batches_tracked",
                      "layer4.2.conv3.weight",
                      "fc.weight"};
  EXPECT_EQ(model_names(named("resnet.", "")), ours);
  EXPECT_EQ(model_names(named("", "")), ours);
  EXPECT_EQ(model_names(named("model.resnet.", "model.")), ours);
  EXPECT_EQ(names_in(named("model.resnet.", "model.")).prefix, "model.");
}

TEST(Match, ATorchvisionFileFillsTheBodyAndItsClassifierIsLeftOutWithALine) {
  const Report report = match(kBodyAndHead, file(kTorchvision));
  EXPECT_EQ(report.matched.size(), 4u);
  EXPECT_EQ(report.missing, (Names{"head.2.weight", "head.4.weight", "head.8.weight"}));
  EXPECT_EQ(report.left_out, (Names{"fc.weight", "fc.bias"}));
  EXPECT_EQ(report.remarks, (Names{"fc (200 classes) is left out: the new head has 6"}));
  EXPECT_TRUE(report.unexpected.empty() && report.misshaped.empty() && report.fresh.empty());
  const std::string_view head[] = {"head."};
  EXPECT_NO_THROW(require_fit(report, "x.pth", head));
  EXPECT_EQ(sentence_of([&] { require_fit(report, "x.pth"); }),
            "'x.pth' does not fit the model: 3 tensors of the model are not in it: head.2.weight, head.4.weight, head.8.weight");
}

TEST(Match, AClassifierForOtherClassesStaysFreshInsteadOfMisshaped) {
  std::vector<Wanted> six = kTorchvision;
  six[4].shape = {6, 4};
  six[5].shape = {6};
  const Report report = match(six, file(kTorchvision));
  EXPECT_EQ(report.matched.size(), 4u);
  EXPECT_EQ(report.fresh, (Names{"fc.weight", "fc.bias"}));
  EXPECT_EQ(report.left_out, (Names{"fc.weight", "fc.bias"}));
  EXPECT_EQ(report.remarks, (Names{"fc (200 classes) is left out: the model has 6"}));
  EXPECT_TRUE(report.missing.empty() && report.unexpected.empty() && report.misshaped.empty());
  EXPECT_THROW(require_fit(report, "x.pth"), WeightsError) << "a whole model was wanted";
  const std::string_view fc[] = {"fc."};
  EXPECT_NO_THROW(require_fit(report, "x.pth", fc));
}

TEST(Match, OnlyTheLastLayerOfAnEarlierHeadIsLeftOut) {
  std::vector<Wanted> earlier = kBodyAndHead;
  earlier.back().shape = {10, 5};
  const Report report = match(kBodyAndHead, file(earlier));
  EXPECT_EQ(report.matched.size(), 6u);
  EXPECT_EQ(report.fresh, Names{"head.8.weight"});
  EXPECT_EQ(report.remarks, (Names{"head.8 (10 classes) is left out: the new head has 6"}));
}

TEST(Match, BatchCountersMayBeMissingOrOfOneElement) {
  std::vector<Wanted> without = kBodyAndHead;
  without.erase(without.begin() + 2);
  EXPECT_TRUE(match(kBodyAndHead, file(without)).missing.empty());
  EXPECT_TRUE(match(without, file(kBodyAndHead)).unexpected.empty());
  std::vector<Wanted> counted = kBodyAndHead;
  counted[2].shape = {1};
  EXPECT_EQ(match(counted, file(kBodyAndHead)).matched.size(), kBodyAndHead.size());
}

TEST(Match, SourcesAreTheFilesOwnNames) {
  const Report report = match(std::vector<Wanted>{{"conv1.weight", {1}}, {"layer1.0.conv1.weight", {1}}},
                              file({{"0.4.0.conv1.weight", {1}}, {"0.0.weight", {1}}, {"1.4.weight", {2, 2}}}));
  ASSERT_EQ(report.matched.size(), 2u);
  EXPECT_EQ(report.matched[0].source, "0.0.weight");
  EXPECT_EQ(report.matched[1].source, "0.4.0.conv1.weight");
  EXPECT_EQ(report.unexpected, Names{"1.4.weight"});
}

TEST(Match, DescribesItselfInAFewLinesHoweverMuchDiffers) {
  std::vector<Wanted> wanted = {{"conv1.weight", {4, 3, 7, 7}}, {"same", {1}}};
  std::vector<Wanted> held = {{"conv1.weight", {4, 3, 3, 3}}, {"same", {1}}, {"extra", {1}}};
  for (int i = 0; i < 9; ++i) wanted.push_back({fmt::format("w{}", i), {1}});
  const Report report = match(wanted, file(held));
  EXPECT_EQ(describe(report),
            "1 of the model's 11 tensors are in the file\n"
            "not in the file (9): w0, w1, w2, w3, w4, w5, and 3 more\n"
            "not in the model (1): extra\n"
            "of another shape (1): conv1.weight is (4,3,3,3) in the file and (4,3,7,7) in the model");
  EXPECT_EQ(sentence_of([&] { require_fit(report, "x.pth"); }),
            "'x.pth' does not fit the model: conv1.weight is (4,3,3,3) in the file and (4,3,7,7) in the model; "
            "9 tensors of the model are not in it: w0, w1, w2, w3, w4, w5, and 3 more");
}

TEST(Match, AFileOfAnotherKindOfModelIsNamedByItsNames) {
  const Report report = match(kBodyAndHead, file({{"encoder.weight", {1}}}));
  const std::string_view head[] = {"head."};
  EXPECT_EQ(sentence_of([&] { require_fit(report, "x.pth", head); }),
            "'x.pth' has no tensor with a name of the model; its names are encoder.weight");
}

}  // namespace
}  // namespace mirilla::weights
