// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/conv_plans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/core/error.h"

namespace mirilla::cuda::vendor {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

// A library whose plans are names with a time, and which records its calls.
class Recorder final : public ConvTools {
 public:
  struct Way {
    std::string plan;
    double milliseconds = 1;
    size_t workspace = 0;
    bool deterministic = true, full_precision = true;
    double apart = 0;  // difference of its result from ours
    bool builds = true;
    bool rounded = false;
    bool fails = false;
    double compiles_s = 0;  // 0: it is ready
  };

  std::vector<Way> ways;
  double own = 10;
  double largest = 1;
  bool records = false, memory = true;
  std::vector<std::string> log;
  ConvBuffers last;       // what the last plan ran on
  std::string last_plan;  // the plan that wrote last

  const Way* find(const std::string& plan) const {
    for (const Way& way : ways)
      if (way.plan == plan) return &way;
    return nullptr;
  }

  bool recording() const override { return records; }
  std::vector<ConvCandidate> candidates(const ConvProblem&) override {
    log.push_back("candidates");
    std::vector<ConvCandidate> all;
    for (const Way& way : ways) all.push_back(candidate_of(way));
    return all;
  }
  double seconds() const override { return seconds_; }
  std::unique_ptr<ConvPlan> build(const ConvProblem&, const std::string& plan) override {
    log.push_back("build " + plan);
    const Way* const way = find(plan);
    if (way) seconds_ += way->compiles_s;
    return way && way->builds ? std::make_unique<Plan>(*this, *way) : nullptr;
  }
  void run_own(const ConvProblem&, const ConvBuffers& buffers) override {
    log.push_back("run own");
    last = buffers;
    elapsed_ += own;
  }
  double milliseconds(const std::function<void()>& work, int times) override {
    log.push_back("time " + std::to_string(times));
    elapsed_ = 0;
    for (int i = 0; i < times; ++i) work();
    return elapsed_ / times;
  }
  ConvSample sample(const ConvProblem&) override {
    log.push_back("sample");
    if (!memory) throw DeviceError("no memory");
    ConvSample made;
    made.buffers.x = made.buffers.w = made.buffers.y = &ours_;
    made.elsewhere = &elsewhere_;
    return made;
  }
  void done() override { log.push_back("done"); }
  Distance distance(const void* ours, const void* theirs, DType dtype, int64_t count) override {
    log.push_back("distance " + std::string(name_of(dtype)) + " " + std::to_string(count));
    EXPECT_EQ(ours, &ours_);
    EXPECT_EQ(theirs, &elsewhere_);
    EXPECT_EQ(last.y, &elsewhere_);
    return {largest, find(last_plan)->apart};
  }

 private:
  class Plan final : public ConvPlan {
   public:
    Plan(Recorder& recorder, const Way& way) : recorder_(recorder), way_(way), what_(candidate_of(way)) {}
    const ConvCandidate& what() const override { return what_; }
    size_t workspace_bytes() const override { return way_.workspace; }
    void run(const ConvBuffers& buffers) override {
      recorder_.log.push_back("run " + way_.plan);
      if (way_.fails) throw DeviceError("it fails");
      recorder_.last = buffers;
      recorder_.last_plan = way_.plan;
      recorder_.elapsed_ += way_.milliseconds;
    }

   private:
    Recorder& recorder_;
    Way way_;
    ConvCandidate what_;
  };

  static ConvCandidate candidate_of(const Way& way) {
    return {way.plan, way.deterministic, way.full_precision, way.rounded, way.compiles_s > 0};
  }

  double elapsed_ = 0, seconds_ = 0;
  char ours_ = 0, elsewhere_ = 0;
};

const ConvProblem kProblem{.n = 2, .h = 8, .w = 8, .c = 16, .k = 32, .r = 3, .s = 3, .p = 8, .q = 8, .spec = {1, 1, 1}};
constexpr const char* kKey = "forward f16 (2,8,8,16) * (32,3,3,16) stride 1 padding 1 dilation 1";

struct ConvPlansTest : testing::Test {
  char x = 0, w = 0, y = 0;
  ConvBuffers buffers{.x = &x, .w = &w, .y = &y};
  Recorder tools;
  std::optional<PlanStore> store = std::optional<PlanStore>(std::in_place, "", PlanOwner{});  // in memory

  void forget() { store.emplace("", PlanOwner{}); }
  std::string chosen(const PlanRules& rules = {}, const ConvProblem& problem = kProblem) {
    ConvPlans plans(tools, &*store, rules);
    plans.run(problem, buffers);
    const auto all = plans.chosen();
    return all.empty() ? "nothing" : all.begin()->second.text;
  }
};

TEST_F(ConvPlansTest, TheFastestIsChosenOnceAndThenOnlyRuns) {
  tools.ways = {{.plan = "slow", .milliseconds = 5}, {.plan = "fast", .milliseconds = 2}, {.plan = "middling", .milliseconds = 3}};
  ConvPlans plans(tools, &*store, {});
  EXPECT_TRUE(plans.run(kProblem, buffers));
  EXPECT_EQ(plans.chosen().at(kKey).text, "fast");
  EXPECT_EQ(plans.chosen().at(kKey).milliseconds, 2);
  EXPECT_EQ(tools.last.y, &y) << "the call's own result comes from the plan, as all later ones";
  EXPECT_EQ(tools.last_plan, "fast");
  tools.log.clear();
  EXPECT_TRUE(plans.run(kProblem, buffers));
  EXPECT_THAT(tools.log, ElementsAre("run fast"));
  EXPECT_EQ(plans.counts().timed, 1);
}

TEST_F(ConvPlansTest, TheOrderIsOursThenTimesThenTheCheckThenTheRun) {
  tools.ways = {{.plan = "a", .milliseconds = 2}};
  ConvPlans plans(tools, &*store, {});
  EXPECT_TRUE(plans.run(kProblem, buffers));
  EXPECT_THAT(tools.log, ElementsAre("sample", "time 1", "run own", "time 1", "run own", "time 5", "run own", "run own", "run own",
                                     "run own", "run own", "candidates", "build a", "time 1", "run a", "time 1", "run a", "time 5", "run a",
                                     "run a", "run a", "run a", "run a", "run own", "run a", "distance f16 4096", "done", "run a"));
}

TEST_F(ConvPlansTest, OurOwnKernelIsACandidateToo) {
  tools.ways = {{.plan = "slower than ours", .milliseconds = 11}};
  ConvPlans plans(tools, &*store, {});
  EXPECT_TRUE(plans.may_run(kProblem));
  EXPECT_FALSE(plans.run(kProblem, buffers));
  EXPECT_EQ(store->find(kKey)->text, kOwnKernel);
  EXPECT_FALSE(plans.may_run(kProblem));
  tools.log.clear();
  EXPECT_FALSE(plans.run(kProblem, buffers));
  EXPECT_TRUE(tools.log.empty());
}

TEST_F(ConvPlansTest, NoCandidateMeansOurOwnKernel) { EXPECT_EQ(chosen(), kOwnKernel); }

TEST_F(ConvPlansTest, AWrongPlanIsPassedOverForTheNext) {
  tools.ways = {{.plan = "wrong", .milliseconds = 1, .apart = 0.01}, {.plan = "right", .milliseconds = 2, .apart = 0.001}};
  ConvPlans plans(tools, &*store, {});
  EXPECT_TRUE(plans.run(kProblem, buffers));
  EXPECT_EQ(store->find(kKey)->text, "right");
  EXPECT_EQ(plans.counts().wrong, 1);
}

TEST_F(ConvPlansTest, APlanThatGivesNaNWhereWeDoNotIsWrong) {
  tools.ways = {{.plan = "nan", .apart = std::numeric_limits<double>::infinity()}};
  EXPECT_EQ(chosen(), kOwnKernel);
  tools.ways = {{.plan = "nan", .apart = std::nan("")}};
  forget();
  EXPECT_EQ(chosen(), kOwnKernel);
}

TEST_F(ConvPlansTest, ABoundIsOneOfTheResultsType) {
  struct Bound {
    DType read, written;
    double apart;
  };
  for (const Bound& b : {Bound{DType::f16, DType::f16, 0x1p-9},
                         {DType::bf16, DType::bf16, 0x1p-6},
                         {DType::f16, DType::f32, 0x1p-10},
                         {DType::f32, DType::f32, 0x1p-13}}) {
    ConvProblem problem = kProblem;
    problem.dtype = b.read;
    problem.result = b.written;
    tools.largest = 64;
    tools.ways = {{.plan = "within", .apart = 64 * b.apart}};
    EXPECT_EQ(chosen({}, problem), "within") << name_of(b.read);
    forget();
    tools.ways = {{.plan = "beyond", .apart = 64 * b.apart * 1.01}};
    EXPECT_EQ(chosen({}, problem), kOwnKernel) << name_of(b.read);
    forget();
  }
}

TEST_F(ConvPlansTest, AResultOfOursThatProvesNothingLetsNoPlanPass) {
  tools.ways = {{.plan = "a", .apart = 0}};
  for (const double largest : {0.0, std::numeric_limits<double>::infinity()}) {
    tools.largest = largest;
    EXPECT_EQ(chosen(), kOwnKernel);
    forget();
  }
}

TEST_F(ConvPlansTest, APlanThatFailsIsPassedOver) {
  tools.ways = {{.plan = "fails", .milliseconds = 1, .fails = true}, {.plan = "runs", .milliseconds = 2}};
  ConvPlans plans(tools, &*store, {});
  EXPECT_TRUE(plans.run(kProblem, buffers));
  EXPECT_EQ(store->find(kKey)->text, "runs");
  EXPECT_EQ(plans.counts().failed, 1);
}

TEST_F(ConvPlansTest, WithoutMemoryForASampleOurKernelRunsAndNothingIsKept) {
  tools.ways = {{.plan = "a"}};
  tools.memory = false;
  ConvPlans plans(tools, &*store, {});
  EXPECT_FALSE(plans.run(kProblem, buffers));
  EXPECT_FALSE(plans.run(kProblem, buffers));
  EXPECT_THAT(tools.log, ElementsAre("sample"));
  EXPECT_EQ(store->size(), 0u);
  EXPECT_EQ(plans.counts().untried, 1);
}

TEST_F(ConvPlansTest, NothingIsTimedOrBuiltWhileTheStreamRecords) {
  tools.ways = {{.plan = "a"}};
  store->put(kKey, {"a", 1});
  tools.records = true;
  ConvPlans plans(tools, &*store, {});
  EXPECT_FALSE(plans.run(kProblem, buffers));
  EXPECT_TRUE(tools.log.empty());
  EXPECT_EQ(plans.counts().unplanned, 1);
  tools.records = false;
  EXPECT_TRUE(plans.run(kProblem, buffers)) << "an eager step chooses";
  tools.records = true;
  tools.log.clear();
  EXPECT_TRUE(plans.run(kProblem, buffers)) << "and then it can be recorded";
  EXPECT_THAT(tools.log, ElementsAre("run a"));
}

TEST_F(ConvPlansTest, TheWorkspaceIsCapped) {
  tools.ways = {{.plan = "large", .milliseconds = 1, .workspace = 1001}, {.plan = "small", .milliseconds = 2, .workspace = 1000}};
  EXPECT_EQ(chosen({.workspace_bytes = 1000}), "small");
  EXPECT_THAT(tools.log, Not(Contains("run large")));
}

TEST_F(ConvPlansTest, DeterministicMeansTheFirstSuchPlanAndNoTiming) {
  tools.ways = {{.plan = "any order", .milliseconds = 1, .deterministic = false},
                {.plan = "wrong", .milliseconds = 9, .apart = 1},
                {.plan = "fixed order", .milliseconds = 12},
                {.plan = "fixed and fast", .milliseconds = 1}};
  EXPECT_EQ(chosen(), "any order");
  tools.log.clear();
  EXPECT_EQ(chosen({.deterministic = true}), "fixed order") << "what was kept under other rules does not count";
  EXPECT_THAT(tools.log, ElementsAre("sample", "run own", "candidates", "build wrong", "run wrong", "distance f16 4096",
                                     "build fixed order", "run fixed order", "distance f16 4096", "done", "run fixed order"));
  EXPECT_EQ(store->size(), 2u);
}

TEST_F(ConvPlansTest, DeterministicMeansNoRoundingWhereItCanBe) {
  tools.ways = {{.plan = "rounded", .rounded = true}, {.plan = "exact"}};
  EXPECT_EQ(chosen({.deterministic = true}), "exact");
  tools.ways.pop_back();
  EXPECT_EQ(chosen({.deterministic = true}), "rounded");
}

TEST_F(ConvPlansTest, F32IsNotRoundedUnlessAskedFor) {
  ConvProblem problem = kProblem;
  problem.dtype = problem.result = DType::f32;
  tools.ways = {{.plan = "tf32", .milliseconds = 1, .full_precision = false, .apart = 0x1p-11}, {.plan = "f32", .milliseconds = 2}};
  EXPECT_EQ(chosen({}, problem), "f32");
  EXPECT_EQ(chosen({.tf32 = true}, problem), "tf32");
  tools.ways = {{.plan = "sums in halves", .full_precision = false}};
  EXPECT_EQ(chosen({.tf32 = true}), kOwnKernel) << "the option is about f32";
}

TEST_F(ConvPlansTest, WhatIsKeptIsTakenWithoutTiming) {
  tools.ways = {{.plan = "kept", .milliseconds = 5}, {.plan = "faster", .milliseconds = 1}};
  store->put(kKey, {"kept", 5});
  ConvPlans plans(tools, &*store, {});
  EXPECT_TRUE(plans.run(kProblem, buffers));
  EXPECT_THAT(tools.log, ElementsAre("build kept", "run kept"));
  EXPECT_EQ(plans.counts().kept, 1);
}

TEST_F(ConvPlansTest, AStalePlanIsChosenAnew) {
  tools.ways = {
      {.plan = "gone", .builds = false}, {.plan = "grown", .workspace = 2000}, {.plan = "tf32", .full_precision = false}, {.plan = "new"}};
  for (const char* const stale : {"gone", "grown", "tf32", "never heard of"}) {
    store->put(kKey, {stale, 1});
    ConvPlans plans(tools, &*store, {.workspace_bytes = 1000});
    EXPECT_TRUE(plans.run(kProblem, buffers));
    EXPECT_EQ(plans.counts().stale, 1);
    EXPECT_EQ(store->find(kKey)->text, "new");
  }
}

// cuDNN's gradient in halves, widened: compared with ours by the bound for halves.
TEST_F(ConvPlansTest, ARoundedPlanIsHeldToItsOwnRounding) {
  ConvProblem problem = kProblem;
  problem.dtype = DType::bf16;
  problem.result = DType::f32;
  tools.ways = {{.plan = "widened", .apart = 0x1p-7}};
  EXPECT_EQ(chosen({}, problem), kOwnKernel);
  forget();
  tools.ways[0].rounded = true;
  EXPECT_EQ(chosen({}, problem), "widened");
}

TEST_F(ConvPlansTest, AHopelessPlanRunsTwiceAndNotSevenTimes) {
  tools.ways = {{.plan = "good", .milliseconds = 1}, {.plan = "hopeless", .milliseconds = 4}};
  EXPECT_EQ(chosen(), "good");
  EXPECT_EQ(std::count(tools.log.begin(), tools.log.end(), "run hopeless"), 2);
}

TEST_F(ConvPlansTest, NotAllOfAHundredCandidatesAreTried) {
  for (int i = 0; i < 100; ++i) tools.ways.push_back({.plan = std::to_string(i), .milliseconds = 9.0 - i / 100.0});
  EXPECT_EQ(chosen(), "7");
}

TEST_F(ConvPlansTest, WhatCannotBeBuiltGivesItsPlaceToTheNext) {
  for (int i = 0; i < 20; ++i) tools.ways.push_back({.plan = std::to_string(i), .milliseconds = 9.0 - i / 10.0, .builds = i % 2 == 1});
  EXPECT_EQ(chosen(), "15");
}

TEST_F(ConvPlansTest, WhatRoundsAndWhatDoesNotAreTriedInTurns) {
  for (int i = 0; i < 20; ++i) tools.ways.push_back({.plan = "exact " + std::to_string(i), .milliseconds = 9});
  tools.ways.push_back({.plan = "rounded", .milliseconds = 1, .rounded = true});
  EXPECT_EQ(chosen(), "rounded");
  EXPECT_THAT(tools.log, Not(Contains("build exact 7")));
}

ConvProblem with_bias() {
  ConvProblem problem = kProblem;
  problem.bias = true;
  return problem;
}

TEST_F(ConvPlansTest, WhatRoundsRunsWithoutItsConversionsWhereTheCallerHasHalves) {
  tools.ways = {{.plan = "rounded", .milliseconds = 1, .rounded = true}};
  ConvPlans plans(tools, &*store, {});
  EXPECT_TRUE(plans.rounds(with_bias()));
  EXPECT_EQ(plans.counts().timed, 1) << "it was chosen as a call would choose it";
  tools.log.clear();
  EXPECT_TRUE(plans.rounds(with_bias()));
  EXPECT_TRUE(plans.run(in_halves(with_bias()), buffers));
  EXPECT_TRUE(tools.last.in_halves);
  EXPECT_TRUE(plans.run(with_bias(), buffers));
  EXPECT_FALSE(tools.last.in_halves);
  EXPECT_THAT(tools.log, ElementsAre("run rounded", "run rounded"));
  EXPECT_EQ(plans.chosen().size(), 1u) << "the problem in halves has no plan of its own";
}

TEST_F(ConvPlansTest, WhatDoesNotRoundIsNotGivenHalvesForF32) {
  tools.ways = {{.plan = "exact", .milliseconds = 1}};
  ConvPlans plans(tools, &*store, {});
  EXPECT_FALSE(plans.rounds(with_bias()));
  EXPECT_TRUE(plans.run(in_halves(with_bias()), buffers));
  EXPECT_FALSE(tools.last.in_halves);
  EXPECT_EQ(plans.chosen().size(), 2u);
  EXPECT_FALSE(plans.rounds(in_halves(with_bias()))) << "there is nothing to convert";
}

TEST_F(ConvPlansTest, NothingIsChosenToSayWhetherItRoundsWhileAReplayRecords) {
  tools.ways = {{.plan = "rounded", .milliseconds = 1, .rounded = true}};
  ConvPlans plans(tools, &*store, {});
  tools.records = true;
  EXPECT_FALSE(plans.rounds(with_bias()));
  EXPECT_TRUE(tools.log.empty());
}

TEST_F(ConvPlansTest, WhatIsCompiledIsBuiltLastAndNotForLong) {
  tools.ways.push_back({.plan = "compiled", .milliseconds = 1, .compiles_s = 3});
  for (int i = 0; i < 9; ++i) tools.ways.push_back({.plan = std::to_string(i), .milliseconds = 5});
  for (int i = 0; i < 9; ++i) tools.ways.push_back({.plan = "compiled " + std::to_string(i), .milliseconds = 1, .compiles_s = 3});
  ConvPlans plans(tools, nullptr, {});
  ConvProblem problem = kProblem;
  const auto builds = [&] {
    tools.log.clear();
    ++problem.k;
    plans.run(problem, buffers);
    std::vector<std::string> all;
    for (const std::string& line : tools.log)
      if (line.starts_with("build")) all.push_back(line.substr(6));
    return all;
  };
  const std::vector<std::string> both = {"0", "1", "2", "3", "4", "5", "6", "7", "compiled", "compiled 0", "compiled 1", "compiled 2"};
  EXPECT_EQ(builds(), both);
  EXPECT_EQ(builds(), both) << "12 of 20 seconds are spent";
  EXPECT_EQ(builds(), std::vector(both.begin(), both.begin() + 8));
}

TEST(ConvProblem, SaysWhatItIs) {
  ConvProblem problem = kProblem;
  EXPECT_EQ(to_string(problem), kKey);
  problem.bias = problem.residual = problem.relu = true;
  EXPECT_EQ(to_string(problem), std::string(kKey) + " + bias f32 + residual, relu");
  problem = kProblem;
  problem.kind = ConvKind::backward_weight;
  problem.result = DType::f32;
  EXPECT_EQ(to_string(problem), "backward_weight f16 to f32 (2,8,8,16) * (32,3,3,16) stride 1 padding 1 dilation 1");
}

TEST(ConvProblem, ConvertsAtItsEndsOnlyAnF32GradientOfWeightsOrAnF32BiasBesideHalves) {
  EXPECT_FALSE(may_be_rounded(kProblem));
  EXPECT_TRUE(may_be_rounded(with_bias()));
  EXPECT_FALSE(may_be_rounded(in_halves(with_bias())));
  EXPECT_EQ(with_f32_ends(in_halves(with_bias())), with_bias());
  ConvProblem gradient = kProblem;
  gradient.kind = ConvKind::backward_weight;
  EXPECT_FALSE(may_be_rounded(gradient));
  EXPECT_TRUE(may_be_rounded(with_f32_ends(gradient)));
  EXPECT_EQ(with_f32_ends(gradient).result, DType::f32);
  gradient.kind = ConvKind::backward_data;
  EXPECT_FALSE(may_be_rounded(with_f32_ends(gradient)));
  gradient.dtype = DType::f32;
  EXPECT_FALSE(may_be_rounded(with_f32_ends(gradient)));
}

TEST(ConvProblem, IsDeclinedWhereChannelsSuitNoVector) {
  EXPECT_EQ(declined(kProblem), "");
  ConvProblem problem = kProblem;
  problem.c = 12;
  EXPECT_EQ(declined(problem), "12 channels are no multiple of 8");
  problem.dtype = problem.result = DType::f32;
  EXPECT_EQ(declined(problem), "");
  problem.k = 10;
  EXPECT_EQ(declined(problem), "10 filters are no multiple of 4");
  problem = kProblem;
  problem.n = 0;
  EXPECT_EQ(declined(problem), "nothing is in a tensor");
  problem.dtype = DType::f64;
  EXPECT_EQ(declined(problem), "f64 is not computed there");
}

}  // namespace
}  // namespace mirilla::cuda::vendor
