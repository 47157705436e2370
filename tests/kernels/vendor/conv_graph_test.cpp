// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/conv_graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>

#include "kernels/core/error.h"
#include "kernels/cuda/vendor/conv_probe.h"
#include "tests/kernels/vendor/resnet18.h"

// What can be tested of cuDNN without a GPU: whether it accepts each graph and, with an H200's properties from CUDA's documentation,
// which plans it has for it. Kernels that cuDNN compiles when it makes a plan (fused graphs) need the driver's library, which only a
// machine with a GPU has; here those graphs are checked but not planned.
namespace mirilla::cuda::vendor {
namespace {

std::vector<ConvProblem> fused(const Layer& layer, DType dtype) {
  std::vector<ConvProblem> all;
  for (const bool bias : {false, true})
    for (const bool residual : {false, true})
      for (const bool relu : {false, true}) {
        ConvProblem problem = layer.problem(ConvKind::forward, dtype, 256);
        problem.bias = bias;
        problem.residual = residual;
        problem.relu = relu;
        all.push_back(problem);
        problem.bias_dtype = dtype;
        all.push_back(problem);
      }
  for (const bool scale : {false, true}) {
    ConvProblem problem = layer.problem(ConvKind::forward, dtype);
    problem.sums = true;
    problem.scale_shift_relu = scale;
    all.push_back(problem);
  }
  return all;
}

// None where this machine has no cuDNN.
const ConvChip* h200() {
  static const std::optional<ConvChip> chip = []() -> std::optional<ConvChip> {
    std::ifstream file(MIRILLA_SOURCE_DIR "/tests/kernels/vendor/h200.json");
    const std::string json(std::istreambuf_iterator<char>(file), {});
    try {
      return ConvChip::described(json);
    } catch (const DeviceError& error) {
      std::printf("%s\n", error.what());
      return std::nullopt;
    }
  }();
  return chip ? &*chip : nullptr;
}

struct ConvGraphOnH200 : testing::Test {
  void SetUp() override {
    if (!h200()) GTEST_SKIP() << "no cuDNN here";
  }
};

// The first candidate with f32 sums and a fixed order that can be built.
std::string first_plan(ConvGraph& graph) {
  for (const ConvCandidate& candidate : graph.candidates())
    if (candidate.full_precision && candidate.deterministic && graph.build(candidate.plan)) return candidate.plan;
  return "none: " + graph.why();
}

TEST_F(ConvGraphOnH200, TakesEveryGraphOfResNet18) {
  std::vector<Layer> layers = kLayers;
  layers.push_back(kStem);
  for (const Layer& layer : layers)
    for (const DType dtype : kTypes) {
      for (const ConvKind kind : kKinds) EXPECT_EQ(ConvGraph::check(layer.problem(kind, dtype)), "");
      for (const ConvProblem& problem : fused(layer, dtype)) EXPECT_EQ(ConvGraph::check(problem), "") << to_string(problem);
    }
}

TEST_F(ConvGraphOnH200, SaysWhatIsWrongWithAGraph) {
  ConvProblem problem = kLayers[0].problem(ConvKind::backward_data, DType::f16);
  problem.p = 7;
  try {
    ConvGraph(problem, *h200()).candidates();
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("cuDNN does not take the graph of backward_data f16"), std::string::npos) << error.what();
    return;
  }
  FAIL() << "a y of 7 rows from an x of 32 was taken";
}

TEST_F(ConvGraphOnH200, HasPlansForEveryLayerPassAndType) {
  for (const Layer& layer : kLayers)
    for (const DType dtype : kTypes)
      for (const ConvKind kind : kKinds) {
        const ConvProblem problem = layer.problem(kind, dtype);
        ConvGraph graph(problem, *h200());
        const std::string plan = first_plan(graph);
        ASSERT_FALSE(plan.starts_with("none")) << to_string(problem) << ": " << plan;
        EXPECT_LE(graph.workspace_bytes(), size_t{1} << 30) << to_string(problem);
      }
}

TEST_F(ConvGraphOnH200, HasPlansForTheFirstLayerOfPaddedPictures) {
  for (const DType dtype : {DType::f16, DType::bf16})
    for (const ConvKind kind : {ConvKind::forward, ConvKind::backward_weight}) {
      const ConvProblem problem = kStem.problem(kind, dtype);
      EXPECT_EQ(declined(problem), "");
      ConvGraph graph(problem, *h200());
      const std::string plan = first_plan(graph);
      EXPECT_FALSE(plan.starts_with("none")) << to_string(problem) << ": " << plan;
    }
}

TEST_F(ConvGraphOnH200, BuildsAPlanFromItsText) {
  const ConvProblem problem = kLayers[0].problem(ConvKind::forward, DType::f16);
  ConvGraph graph(problem, *h200());
  const std::string plan = first_plan(graph);
  ConvGraph again(problem, *h200());
  ASSERT_TRUE(again.build(plan)) << again.why();
  EXPECT_EQ(again.workspace_bytes(), graph.workspace_bytes());
  for (const char* const other : {"", "plan", "62 2", "62 2=", "62  2=4", "62,2=4", "99999", "62 2=99999"}) {
    EXPECT_FALSE(again.build(other)) << "'" << other << "'";
    EXPECT_FALSE(again.why().empty());
  }
}

TEST_F(ConvGraphOnH200, NamesNoCandidateTwice) {
  ConvGraph graph(kLayers[0].problem(ConvKind::forward, DType::f16), *h200());
  std::vector<std::string> plans;
  for (const ConvCandidate& candidate : graph.candidates()) plans.push_back(candidate.plan);
  EXPECT_GT(plans.size(), 10u);
  std::sort(plans.begin(), plans.end());
  EXPECT_EQ(std::unique(plans.begin(), plans.end()), plans.end());
}

TEST_F(ConvGraphOnH200, TellsTF32FromF32) {
  ConvGraph graph(kLayers[0].problem(ConvKind::forward, DType::f32), *h200());
  const auto all = graph.candidates();
  const auto full = std::count_if(all.begin(), all.end(), [](const ConvCandidate& c) { return c.full_precision; });
  EXPECT_GT(full, 0);
  EXPECT_LT(full, static_cast<ptrdiff_t>(all.size()));
  EXPECT_FALSE(all.front().full_precision) << "the heuristics' first choice is TF32";
}

TEST_F(ConvGraphOnH200, TellsWhichPlansAddInAnyOrder) {
  ConvGraph graph(kLayers[0].problem(ConvKind::backward_data, DType::f16), *h200());
  const auto all = graph.candidates();
  EXPECT_TRUE(std::any_of(all.begin(), all.end(), [](const ConvCandidate& c) { return c.deterministic; }));
  EXPECT_TRUE(std::any_of(all.begin(), all.end(), [](const ConvCandidate& c) { return !c.deterministic; }));
}

// As docs/vendor.md says of sm_90: the sums epilogue exists in f16, for every layer except the first.
TEST_F(ConvGraphOnH200, HasTheSumsOfAResultInF16) {
  for (const Layer& layer : kLayers) {
    ConvProblem problem = layer.problem(ConvKind::forward, DType::f16);
    problem.sums = true;
    ConvGraph graph(problem, *h200());
    const std::string plan = first_plan(graph);
    EXPECT_FALSE(plan.starts_with("none")) << to_string(problem) << ": " << plan;
  }
}

TEST_F(ConvGraphOnH200, SaysWhichFusionsTheChipHas) {
  const auto has = [](DType dtype) {
    std::map<std::string, bool> all;
    for (const Fusion& fusion : probe_fusions(*h200(), dtype)) {
      EXPECT_EQ(fusion.plans == 0, !fusion.why.empty()) << fusion.name;
      all[fusion.name] = fusion.plans > 0;
    }
    return all;
  };
  const auto f16 = has(DType::f16), bf16 = has(DType::bf16);
  EXPECT_EQ(f16.size(), 7u);
  EXPECT_TRUE(f16.at("bias f16, relu"));
  EXPECT_TRUE(f16.at("bias f16 + residual, relu"));
  EXPECT_TRUE(f16.at("sums"));
  EXPECT_TRUE(f16.at("scale, shift, relu before, sums"));
  EXPECT_TRUE(bf16.at("bias bf16 + residual, relu"));
  EXPECT_FALSE(bf16.at("sums"));
}

}  // namespace
}  // namespace mirilla::cuda::vendor
