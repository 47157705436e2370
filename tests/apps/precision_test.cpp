// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/apps/program.h"
#include "weights/safetensors.h"

namespace mirilla::apps {
namespace {

using Json = nlohmann::json;

class Precision : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder = std::make_unique<Folder>();
    ASSERT_EQ(run({"scenes", "--out", zip(), "--per-class", "4", "--size", "40"}).code, 0);
  }
  static void TearDownTestSuite() { folder.reset(); }

  static std::string zip() { return *folder / "scenes.zip"; }
  static Outcome train(const std::string& precision) {
    return run({"train", "--data", zip(), "--resize", "40", "--size", "32", "--batch-size", "8", "--epochs", "1", "--device", "cpu",
                "--precision", precision, "--out", *folder / precision});
  }

  inline static std::unique_ptr<Folder> folder;
};

TEST_F(Precision, TrainsEvaluatesAndPredictsInHalfAndWritesF32) {
  for (const std::string precision : {"fp16", "bf16"}) {
    const Outcome trained = train(precision);
    ASSERT_EQ(trained.code, 0) << trained.err;
    EXPECT_EQ(Json::parse(slurp(*folder / (precision + "/config.json")))["precision"], precision);
    const std::string model = *folder / (precision + "/model.safetensors");
    for (const auto& [name, array] : weights::read_safetensors(model)) EXPECT_FALSE(is_half(array.dtype())) << name;
    const auto loss = [&](const std::string& in) {
      const Outcome outcome = run({"eval", model, "--data", zip(), "--device", "cpu", "--precision", in, "--json"});
      EXPECT_EQ(outcome.code, 0) << outcome.err;
      return Json::parse(outcome.out)["loss"].get<double>();
    };
    const double wide = loss("fp32"), half = loss(precision);
    EXPECT_NE(half, wide) << "did it run in half?";
    EXPECT_NEAR(half, wide, 40 * (precision == "fp16" ? 0x1p-11 : 0x1p-9) * wide) << "a rounding each of 20 convolutions and norms";
    const Outcome predicted = run({"predict", model, *folder / (precision + "/loss.png"), "--device", "cpu", "--precision", precision});
    EXPECT_EQ(predicted.code, 0) << predicted.err;
  }
}

TEST_F(Precision, IsFp32OnTheHostByDefault) {
  const Outcome said = train("fp32");
  ASSERT_EQ(said.code, 0) << said.err;
  const Outcome unsaid = run({"train", "--data", zip(), "--resize", "40", "--size", "32", "--batch-size", "8", "--epochs", "1", "--device",
                              "cpu", "--out", *folder / "unsaid"});
  ASSERT_EQ(unsaid.code, 0) << unsaid.err;
  EXPECT_EQ(slurp(*folder / "fp32/model.safetensors"), slurp(*folder / "unsaid/model.safetensors"));
  EXPECT_EQ(Json::parse(slurp(*folder / "unsaid/config.json"))["precision"], "fp32");
}

TEST_F(Precision, AnUnknownOneIsWrongUsageAndTheKnownOnesAreListed) {
  for (const char* command : {"train", "eval", "predict"}) {
    std::vector<std::string> arguments{command, "--precision", "fp8"};
    if (command != std::string("train")) arguments.insert(arguments.end(), {"model.safetensors", "--data", "x.zip"});
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 2) << command;
    for (const char* word : {"--precision", "fp8", "fp16"})
      EXPECT_NE(outcome.err.find(word), std::string::npos) << command << ": '" << word << "' is missing in\n" << outcome.err;
  }
}

TEST(ReplayOption, IsRefusedWhereTheDeviceHasNoneAndWhereItIsNoWordOfIts) {
  const Folder folder;
  const Outcome none = run({"train", "--device", "cpu", "--replay", "on", "--out", folder / "out"});
  EXPECT_EQ(none.code, 1);
  EXPECT_NE(none.err.find("the device 'cpu' has no replay"), std::string::npos) << none.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  const Outcome unknown = run({"train", "--replay", "perhaps"});
  EXPECT_EQ(unknown.code, 2);
  for (const char* word : {"--replay", "perhaps", "auto"}) EXPECT_NE(unknown.err.find(word), std::string::npos) << unknown.err;
}

}  // namespace
}  // namespace mirilla::apps
