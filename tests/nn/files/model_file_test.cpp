// SPDX-License-Identifier: MIT
#include "nn/files/model_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/tape.h"
#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "nn/files/model_tensors.h"
#include "tests/nn/synthetic.h"
#include "weights/read.h"
#include "weights/safetensors.h"

namespace mirilla::nn {
namespace {

Placement on_cpu() { return {.device = open_device("cpu")}; }

ModelInfo info_of_three() { return {.vocabulary = {"forest", "sea \"salt\"", "straße"}, .resize = 96, .size = 64}; }

// Sets unusual running statistics, so that a reader that forgets them is detected.
void stir(ResNet& model) {
  double value = 0.5;
  for (NamedTensor& named : model.buffers()) named.tensor.fill(value += 0.01);
}

// torchvision's file of a model: its own names, an fc in place of the head, counters beside the norms.
weights::StateDict torchvision_file(const ResNet& model, int classes) {
  weights::StateDict state;
  for (const auto& [name, array] : to_state_dict(model, {})) {
    if (name.starts_with("head.") || name.starts_with("fc.")) continue;
    state.add(name, array);
    if (name.ends_with("running_var")) {
      const int64_t count = 7;
      state.add(name.substr(0, name.rfind('.')) + ".num_batches_tracked", weights::Array::from({}, std::span<const int64_t>(&count, 1)));
    }
  }
  const std::vector<float> weight(static_cast<size_t>(classes) * 512, 0.01f), bias(static_cast<size_t>(classes), 0.5f);
  state.add("fc.weight", weights::Array::from({classes, 512}, std::span<const float>(weight)));
  state.add("fc.bias", weights::Array::from({classes}, std::span<const float>(bias)));
  return state;
}

// The names of fastai's Sequential(body, head).
weights::StateDict fastai_file(const ResNet& model) {
  static const std::vector<std::pair<std::string, std::string>> kChildren{
      {"conv1", "0.0"}, {"bn1", "0.1"}, {"layer1", "0.4"}, {"layer2", "0.5"}, {"layer3", "0.6"}, {"layer4", "0.7"}, {"head", "1"}};
  weights::StateDict state;
  for (const auto& [name, array] : to_state_dict(model, {})) {
    const size_t dot = name.find('.');
    for (const auto& [ours, theirs] : kChildren)
      if (name.substr(0, dot) == ours) state.add(theirs + name.substr(dot), array);
  }
  return state;
}

template <class E>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const E& error) {
    return error.message();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

class ModelFileTest : public testing::Test {
 protected:
  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "model.safetensors";
};

TEST_F(ModelFileTest, GivesBackEveryValueToTheBitAndWhatGoesWithIt) {
  for (const char* arch : {"resnet18", "resnet34", "resnet50"}) {
    ResNet model({.arch = arch, .classes = 3, .seed = 9}, on_cpu());
    stir(model);
    ModelInfo info = info_of_three();
    info.mean = {0.1f, 0.2f, 0.3f};
    save_model(file_, model, info);
    const LoadedModel loaded = load_model(file_, {}, on_cpu());
    EXPECT_EQ(loaded.model->spec().arch, arch);
    EXPECT_EQ(loaded.model->spec().classes, 3);
    EXPECT_TRUE(loaded.model->spec().head == Head::fastai);
    EXPECT_FALSE(loaded.model->training());
    EXPECT_EQ(loaded.info.vocabulary, info.vocabulary);
    EXPECT_EQ(loaded.info.resize, 96);
    EXPECT_EQ(loaded.info.size, 64);
    EXPECT_EQ(loaded.info.mean, info.mean);
    EXPECT_EQ(loaded.info.std, info.std);
    EXPECT_TRUE(loaded.notes.empty());
    EXPECT_TRUE(values_of(*loaded.model) == values_of(model));
  }
}

TEST_F(ModelFileTest, KeepsTheTorchvisionHeadToo) {
  ResNet model({.classes = 3, .head = Head::torchvision, .seed = 9}, on_cpu());
  save_model(file_, model, info_of_three());
  const LoadedModel loaded = load_model(file_, {}, on_cpu());
  EXPECT_TRUE(loaded.model->spec().head == Head::torchvision);
  EXPECT_TRUE(values_of(*loaded.model) == values_of(model));
}

TEST_F(ModelFileTest, StoresPyTorchsNamesAndLayout) {
  ResNet model({.classes = 3, .seed = 9}, on_cpu());
  save_model(file_, model, info_of_three());
  const weights::StateDict state = weights::read_safetensors(file_);
  EXPECT_EQ(state.size(), 66u + 44u);
  EXPECT_EQ(state.at("conv1.weight").shape(), (Shape{64, 3, 7, 7}));
  EXPECT_EQ(state.at("layer2.0.downsample.0.weight").shape(), (Shape{128, 64, 1, 1}));
  EXPECT_EQ(state.at("head.8.weight").shape(), (Shape{3, 512}));
  EXPECT_EQ(state.metadata.at("format"), "mirilla");
  EXPECT_EQ(state.metadata.at("architecture"), "resnet18");
  EXPECT_EQ(state.metadata.at("vocabulary"), R"(["forest","sea \"salt\"","straße"])");
  const auto ours = model.parameters()[0].tensor.to_vector<float>();  // (64,7,7,3)
  const auto theirs = state.at("conv1.weight").values<float>();
  for (size_t k : {0, 17, 63})
    for (size_t r : {0, 3, 6})
      for (size_t s : {0, 5})
        for (size_t c : {0, 1, 2}) ASSERT_EQ(theirs[((k * 3 + c) * 7 + r) * 7 + s], ours[((k * 7 + r) * 7 + s) * 3 + c]);
}

TEST_F(ModelFileTest, LetsTheUserOverruleWhatTheFileSays) {
  ResNet model({.classes = 3}, on_cpu());
  save_model(file_, model, info_of_three());
  const LoadedModel loaded =
      load_model(file_, {.vocabulary = std::vector<std::string>{"a", "b", "c"}, .resize = 200, .size = 100}, on_cpu());
  EXPECT_EQ(loaded.info.vocabulary, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(loaded.info.resize, 200);
  EXPECT_EQ(loaded.info.size, 100);
  EXPECT_THROW(load_model(file_, {.vocabulary = std::vector<std::string>{"a", "b"}}, on_cpu()), UsageError);
}

// `predict --json` lost one of the two, and `eval` looked for the first alone.
TEST_F(ModelFileTest, GivesNoTwoClassesOneName) {
  ResNet model({.classes = 3}, on_cpu());
  save_model(file_, model, info_of_three());
  EXPECT_THROW(load_model(file_, {.vocabulary = std::vector<std::string>{"a", "b", "a"}}, on_cpu()), UsageError);
  ModelInfo twice = info_of_three();
  twice.vocabulary[2] = twice.vocabulary[0];
  save_model(file_, model, twice);
  EXPECT_THROW(load_model(file_, {}, on_cpu()), WeightsError);
}

TEST_F(ModelFileTest, SaysThatClassesAreCalledOtherwiseThanInTraining) {
  ResNet model({.classes = 3}, on_cpu());
  save_model(file_, model, info_of_three());
  const std::vector<std::string> own = info_of_three().vocabulary, other{own[1], own[0], own[2]};
  EXPECT_TRUE(load_model(file_, {.vocabulary = own}, on_cpu()).notes.empty());
  const std::vector<std::string> notes = load_model(file_, {.vocabulary = other}, on_cpu()).notes;
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find(R"(calls its classes forest, sea "salt" and straße, and now they are called sea "salt", forest and straße)"),
            std::string::npos)
      << notes[0];
}

TEST_F(ModelFileTest, RemembersWhetherPhotosAreTurnedAndSaysNothingOfItOtherwise) {
  ResNet model({.classes = 3}, on_cpu());
  ModelInfo info = info_of_three();
  EXPECT_FALSE(to_state_dict(model, info).metadata.contains("exif_rotate"));
  save_model(folder_ / "stored.safetensors", model, info);
  info.exif_rotate = true;
  save_model(folder_ / "upright.safetensors", model, info);
  const auto turns = [&](const char* file, std::optional<bool> said) {
    return load_model(folder_ / file, {.exif_rotate = said}, on_cpu()).info.exif_rotate;
  };
  EXPECT_TRUE(turns("upright.safetensors", std::nullopt));
  EXPECT_FALSE(turns("stored.safetensors", std::nullopt));
  EXPECT_FALSE(turns("upright.safetensors", false));
  EXPECT_TRUE(turns("stored.safetensors", true));
}

TEST_F(ModelFileTest, ReadsATorchvisionFileAndNumbersItsClasses) {
  ResNet model({.classes = 3, .seed = 4}, on_cpu());
  stir(model);
  weights::write_safetensors(file_, torchvision_file(model, 5));
  const LoadedModel loaded = load_model(file_, {}, on_cpu());
  EXPECT_TRUE(loaded.model->spec().head == Head::torchvision);
  EXPECT_EQ(loaded.info.vocabulary, (std::vector<std::string>{"0", "1", "2", "3", "4"}));
  EXPECT_EQ(loaded.notes.size(), 2u);  // sizes assumed, classes numbered
  EXPECT_EQ(loaded.model->parameters()[0].tensor.to_vector<float>(), model.parameters()[0].tensor.to_vector<float>());
  const LoadedModel named =
      load_model(file_, {.vocabulary = std::vector<std::string>{"a", "b", "c", "d", "e"}, .resize = 64, .size = 32}, on_cpu());
  EXPECT_TRUE(named.notes.empty());
}

TEST_F(ModelFileTest, ReadsFastaisNames) {
  ResNet model({.classes = 3, .seed = 4}, on_cpu());
  stir(model);
  weights::write_safetensors(file_, fastai_file(model));
  const LoadedModel loaded = load_model(file_, {.vocabulary = std::vector<std::string>{"a", "b", "c"}}, on_cpu());
  EXPECT_TRUE(loaded.model->spec().head == Head::fastai);
  EXPECT_TRUE(values_of(*loaded.model) == values_of(model));
}

TEST_F(ModelFileTest, RefusesWhatIsNoWholeModelOfAKnownKind) {
  ResNet model({.classes = 3}, on_cpu());
  const weights::StateDict whole = to_state_dict(model, info_of_three());
  const auto without = [&](const std::function<bool(const std::string&)>& drop) {
    weights::StateDict state;
    for (const auto& [name, array] : whole)
      if (!drop(name)) state.add(name, array);
    weights::write_safetensors(file_, state);
    return message_of<WeightsError>([&] { load_model(file_, {}, on_cpu()); });
  };
  EXPECT_NE(without([](const std::string& name) { return name.starts_with("head."); }).find("without a classifier"), std::string::npos);
  EXPECT_NE(without([](const std::string& name) { return name.starts_with("conv1"); }).find("contains no ResNet"), std::string::npos);
  EXPECT_NE(without([](const std::string& name) { return name.starts_with("layer2.1"); }).find("2, 1, 2, 2 blocks"), std::string::npos);
  EXPECT_NE(without([](const std::string& name) { return name == "layer3.0.bn2.running_var"; }).find("layer3.0.bn2.running_var"),
            std::string::npos);
}

TEST_F(ModelFileTest, RefusesMetadataThatCannotBeUnderstood) {
  ResNet model({.classes = 3}, on_cpu());
  const std::pair<std::string, std::string> wrong[] = {{"version", "2"},        {"vocabulary", "forest"},   {"vocabulary", "[1,2,3]"},
                                                       {"size", "-5"},          {"resize", "1e9"},          {"mean", "[0.5]"},
                                                       {"size", "\"64\""},      {"vocabulary", R"(["a"])"}, {"std", "[0.2,0,0.2]"},
                                                       {"std", "[0.2,-1,0.2]"}, {"mean", "[1e300,0,0]"}};
  for (const auto& [key, value] : wrong) {
    weights::StateDict state = to_state_dict(model, info_of_three());
    state.metadata[key] = value;
    weights::write_safetensors(file_, state);
    EXPECT_THROW(load_model(file_, {}, on_cpu()), WeightsError) << key << " " << value;
  }
}

TEST_F(ModelFileTest, HasNoPlansWithoutAGpuAndNeedsNone) {
  ResNet model({.classes = 3}, on_cpu());
  weights::StateDict state = to_state_dict(model, info_of_three());
  EXPECT_FALSE(state.metadata.contains("plans"));
  state.metadata["plans"] = "of a machine with a GPU";
  weights::write_safetensors(file_, state);
  EXPECT_TRUE(values_of(*load_model(file_, {}, on_cpu()).model) == values_of(model));
}

TEST_F(ModelFileTest, OverwritesAModelWithItsOwnFileOnly) {
  ResNet model({.classes = 3, .seed = 1}, on_cpu()), same({.classes = 3, .seed = 2}, on_cpu()), other({.classes = 4}, on_cpu());
  save_model(file_, model, info_of_three());
  load_weights(same, file_);
  EXPECT_TRUE(values_of(same) == values_of(model));
  EXPECT_THROW(load_weights(other, file_), WeightsError);
}

TEST_F(ModelFileTest, ImportsABodyAndLeavesTheHeadAlone) {
  ResNet trained({.classes = 3, .seed = 4}, on_cpu()), model({.classes = 6, .seed = 5}, on_cpu()),
      fresh({.classes = 6, .seed = 5}, on_cpu());
  stir(trained);
  weights::write_safetensors(file_, torchvision_file(trained, 200));
  const weights::Report report = import_body(model, file_);
  EXPECT_EQ(report.matched.size(), 60u + 40u);
  EXPECT_TRUE(report.missing.empty());
  EXPECT_TRUE(report.unexpected.empty());
  ASSERT_EQ(report.remarks.size(), 1u);
  EXPECT_EQ(report.remarks[0], "fc (200 classes) is left out: the new head has 6");
  const auto came = model.parameters(), wanted = trained.parameters(), kept = fresh.parameters();
  for (size_t i = 0; i < came.size(); ++i) {
    const bool head = came[i].name.starts_with("head.");
    EXPECT_EQ(came[i].tensor.to_vector<float>(), (head ? kept : wanted)[i].tensor.to_vector<float>()) << came[i].name;
  }
}

TEST_F(ModelFileTest, KeepsAFreshHeadThoughTheFileHasOneThatFits) {
  ResNet trained({.classes = 3, .seed = 4}, on_cpu()), model({.classes = 3, .seed = 5}, on_cpu()),
      fresh({.classes = 3, .seed = 5}, on_cpu());
  save_model(file_, trained, info_of_three());
  const weights::Report report = import_body(model, file_);
  EXPECT_EQ(report.matched.size(), 100u);
  EXPECT_EQ(report.remarks, std::vector<std::string>{"the file's head is left out: training begins with a new one"});
  EXPECT_EQ(model.parameters().back().tensor.to_vector<float>(), fresh.parameters().back().tensor.to_vector<float>());
  EXPECT_EQ(model.parameters()[0].tensor.to_vector<float>(), trained.parameters()[0].tensor.to_vector<float>());
}

TEST_F(ModelFileTest, RefusesABodyThatDoesNotFit) {
  ResNet small({.classes = 3}, on_cpu()), large({.arch = "resnet34", .classes = 3}, on_cpu());
  weights::write_safetensors(file_, torchvision_file(small, 5));
  const auto before = values_of(large);
  EXPECT_THROW(import_body(large, file_), WeightsError);
  EXPECT_TRUE(values_of(large) == before);
  weights::StateDict strange;
  const float one = 1;
  strange.add("encoder.weight", weights::Array::from({1}, std::span<const float>(&one, 1)));
  weights::write_safetensors(file_, strange);
  EXPECT_THROW(import_body(small, file_), WeightsError);
  EXPECT_THROW(import_body(small, folder_ / "nothing"), WeightsError);
}

// The same file with another value in one tensor.
weights::StateDict with_value(const weights::StateDict& file, std::string_view tensor, float value) {
  weights::StateDict changed;
  changed.metadata = file.metadata;
  for (const auto& [name, array] : file) {
    if (name != tensor) {
      changed.add(name, array);
      continue;
    }
    std::vector<float> values = weights::to_f32(array);
    values.at(values.size() / 2) = value;
    changed.add(name, weights::Array::from(array.shape(), std::span<const float>(values)));
  }
  return changed;
}

TEST_F(ModelFileTest, RefusesWeightsThatAreNotFiniteByWhateverWayTheyCome) {
  ResNet trained({.classes = 3, .seed = 4}, on_cpu());
  const weights::StateDict ours = to_state_dict(trained, info_of_three()), body = torchvision_file(trained, 3),
                           theirs = fastai_file(trained);
  const std::vector<std::string> own{"a", "b", "c"};
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    ResNet model({.classes = 3, .seed = 5}, on_cpu());
    const auto before = values_of(model);
    const auto refused = [&](const weights::StateDict& file, const std::string& tensor, const std::function<void()>& import) {
      weights::write_safetensors(file_, with_value(file, tensor, bad));
      const std::string message = message_of<weights::FlawedWeights>(import);
      EXPECT_NE(message.find(tensor + " (1 of "), std::string::npos) << message;
      EXPECT_NE(message.find(std::isnan(bad) ? " is NaN" : " is infinite"), std::string::npos) << message;
      EXPECT_TRUE(values_of(model) == before) << "half of a file was taken";
    };
    refused(ours, "layer3.1.bn2.bias", [&] { load_model(file_, {}, on_cpu()); });
    refused(body, "fc.bias", [&] { load_model(file_, {.vocabulary = own}, on_cpu()); });
    refused(theirs, "0.4.0.conv1.weight", [&] { load_model(file_, {.vocabulary = own}, on_cpu()); });
    refused(ours, "head.8.weight", [&] { load_weights(model, file_); });
    refused(body, "conv1.weight", [&] { import_body(model, file_); });
    refused(theirs, "0.7.1.bn2.running_mean", [&] { import_body(model, file_); });
    refused(ours, "head.6.running_var", [&] { load_head(model, file_); });
  }
  weights::write_safetensors(file_, with_value(ours, "layer1.0.bn1.running_var", -1e-6f));
  EXPECT_NE(message_of<weights::FlawedWeights>([&] {
              load_model(file_, {}, on_cpu());
            }).find("layer1.0.bn1.running_var (1 of 64 values is negative)"),
            std::string::npos);
}

TEST_F(ModelFileTest, TakesThemWhereItIsAllowedAndSaysSo) {
  ResNet trained({.classes = 3, .seed = 4}, on_cpu()), model({.classes = 3, .seed = 5}, on_cpu());
  const weights::StateDict file = with_value(to_state_dict(trained, info_of_three()), "conv1.weight", INFINITY);
  weights::write_safetensors(file_, with_value(file, "head.8.weight", NAN));
  const LoadedModel loaded = load_model(file_, {.allow_nonfinite = true}, on_cpu());
  ASSERT_EQ(loaded.notes.size(), 1u);
  EXPECT_TRUE(loaded.notes[0].starts_with("warning: ")) << loaded.notes[0];
  for (const char* name : {"conv1.weight (1 of 9408 values is infinite)", "head.8.weight (1 of 1536 values is NaN)"})
    EXPECT_NE(loaded.notes[0].find(name), std::string::npos) << loaded.notes[0];
  EXPECT_EQ(flaws_of(*loaded.model).size(), 2u) << "they are there as they came";
  std::vector<std::string> warned;
  const ImportOptions allowing{.allow_nonfinite = true, .warn = [&](const std::string& line) { warned.push_back(line); }};
  import_body(model, file_, allowing);
  load_head(model, file_, allowing);
  ASSERT_EQ(warned.size(), 2u);
  EXPECT_NE(warned[0].find("conv1.weight"), std::string::npos);
  EXPECT_EQ(warned[0].find("head.8.weight"), std::string::npos);
  EXPECT_NE(warned[1].find("head.8.weight"), std::string::npos);
}

TEST_F(ModelFileTest, IgnoresWhatTheModelDoesNotUse) {
  ResNet trained({.classes = 3, .seed = 4}, on_cpu()), model({.classes = 3, .seed = 5}, on_cpu());
  for (const weights::StateDict& file : {torchvision_file(trained, 200), torchvision_file(trained, 3)}) {
    weights::write_safetensors(file_, with_value(file, "fc.weight", NAN));
    const weights::Report report = import_body(model, file_);
    ASSERT_FALSE(report.remarks.empty());
    EXPECT_NE(report.remarks.back().find("what is left out is damaged: fc.weight (1 of "), std::string::npos) << report.remarks.back();
  }
  weights::write_safetensors(file_, with_value(to_state_dict(trained, info_of_three()), "conv1.weight", NAN));
  EXPECT_NO_THROW(load_head(model, file_));
}

TEST_F(ModelFileTest, TellsWhatIsWrongWithAModelAsItIs) {
  ResNet model({.classes = 3, .seed = 4}, on_cpu());
  EXPECT_TRUE(flaws_of(model).empty());
  Tensor variance, weight = model.parameters()[0].tensor;
  for (const NamedTensor& named : model.buffers())
    if (named.name == "layer4.0.bn2.running_var") variance = named.tensor;
  variance.fill(-2);
  ASSERT_EQ(flaws_of(model).size(), 1u);
  EXPECT_EQ(flaws_of(model)[0].negative, 512);
  variance.fill(NAN);
  weight.fill(INFINITY);
  const std::vector<weights::Flaw> flaws = flaws_of(model);
  ASSERT_EQ(flaws.size(), 2u);
  EXPECT_EQ(flaws[0].name, "conv1.weight");
  EXPECT_EQ(flaws[0].infinite, 9408);
  EXPECT_EQ(flaws[1].name, "layer4.0.bn2.running_var");
  EXPECT_EQ(flaws[1].nan, 512);
}

TEST_F(ModelFileTest, TakesAHeadFromAFileOfTheHeadAlone) {
  ResNet trained({.classes = 3, .seed = 4}, on_cpu()), model({.classes = 3, .seed = 5}, on_cpu()),
      fresh({.classes = 3, .seed = 5}, on_cpu());
  stir(trained);
  weights::StateDict head;
  for (const auto& [name, array] : to_state_dict(trained, info_of_three()))
    if (name.starts_with("head.")) head.add(name, array);
  weights::write_safetensors(file_, head);
  EXPECT_EQ(load_head(model, file_).matched.size(), 10u);
  const auto came = model.parameters(), wanted = trained.parameters(), kept = fresh.parameters();
  for (size_t i = 0; i < came.size(); ++i) {
    const bool in_head = came[i].name.starts_with("head.");
    EXPECT_EQ(came[i].tensor.to_vector<float>(), (in_head ? wanted : kept)[i].tensor.to_vector<float>()) << came[i].name;
  }
  ResNet six({.classes = 6}, on_cpu());
  EXPECT_THROW(load_head(six, file_), WeightsError);
}

}  // namespace
}  // namespace mirilla::nn
