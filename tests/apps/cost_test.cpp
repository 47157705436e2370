// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/apps/expectations.h"

namespace mirilla::apps {
namespace {

TEST(CostCommand, AnswersWithoutAGpuInAtMostAHundredColumns) {
  const Outcome outcome = run({"cost", "--train", "--batch-size", "8", "--size", "64", "--kernels"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* word : {"input", "stem", "layer4", "head", "loss", "optimizer", "total", "adam: adam", "cuDNN forward",
                           "pictures/s on an NVIDIA H200", "never measured on a GPU", "PyTorch"})
    EXPECT_NE(outcome.out.find(word), std::string::npos) << word << " is missing in\n" << outcome.out;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100u) << line;
}

TEST(CostCommand, PredictsMoreForABetterGpuAndTakesOtherNetworks) {
  const auto rate = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"cost", "--batch-size", "64", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return nlohmann::json::parse(outcome.out).at("predicted_pictures_per_s").get<double>();
  };
  const double best = rate({"--gpu", "h200"});
  EXPECT_GT(best, rate({"--gpu", "a100"}));
  EXPECT_GT(best, rate({"resnet50", "--gpu", "h200"}));
  EXPECT_GT(best, rate({"--precision", "fp32"}));
}

TEST(CostCommand, NamesWhatItDoesNotTake) {
  expect_failure(run({"cost", "--gpu", "voodoo"}), 2, {"--gpu", "h200"});
  expect_failure(run({"cost", "--batch-size", "0"}), 2, {"--batch-size"});
  expect_failure(run({"cost", "resnet19"}), 1, {"resnet19"});
  expect_failure(run({"cost", "--train", "--gpu", "rtx4090", "--batch-size", "8192", "--size", "224"}), 1, {"RTX 4090", "bytes"});
}

}  // namespace
}  // namespace mirilla::apps
