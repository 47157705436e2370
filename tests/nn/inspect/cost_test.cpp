// SPDX-License-Identifier: MIT
#include "nn/inspect/cost.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/devices.h"
#include "kernels/simt/executor.h"
#include "tests/nn/run/replay_network.h"

namespace mirilla::nn {
namespace {

CostOptions step_of(bool training, int64_t batch, int size) {
  return {.network = {.seed = std::nullopt}, .training = training, .batch_size = batch, .size = size, .input = false};
}

int64_t bytes_of(const Cost& cost, const std::string& kernel) {
  int64_t bytes = 0;
  for (const LedgerEntry& entry : cost.entries)
    if (entry.name.starts_with(kernel)) bytes += entry.read + entry.written;
  return bytes;
}

// The same steps on the executor, which runs each launch, and on a ledger of a GPU with the executor's facts.
TEST(Ledger, NotesTheLaunchesAndBlocksThatTheExecutorRuns) {
  LedgerDevice& ledger =
      new_ledger_device({.name = "the executor", .multiprocessors = 4, .threads_per_multiprocessor = 2048, .libraries = false});
  replaying::Training noted(ledger, amp::Precision::fp16, {.mode = ReplayMode::on});
  replaying::Training run(open_device("simt"), amp::Precision::fp16, {.mode = ReplayMode::on});
  for (uint32_t step = 0; step < 3; ++step) {  // eager, recorded, replayed
    ledger.take();
    noted.take(step);
    const LedgerDevice::Work work = ledger.take();
    const simt::ExecutorCounts before = simt::executor_counts();
    run.take(step);
    const simt::ExecutorCounts after = simt::executor_counts();
    uint64_t launches = 0, blocks = 0;
    for (const LedgerEntry& entry : work.entries) {
      if (entry.kind != LedgerEntry::Kind::kernel) continue;
      ++launches;
      blocks += static_cast<uint64_t>(entry.blocks);
    }
    EXPECT_GT(launches, 40u);
    EXPECT_EQ(launches, after.launches - before.launches) << "step " << step;
    EXPECT_EQ(blocks, after.blocks - before.blocks) << "step " << step;
  }
}

TEST(Cost, HasAsManyLaunchesForEachBatchAndBytesThatGrowWithIt) {
  const GpuModel& gpu = gpu_model_of("h200");
  const Cost one = cost_of(step_of(false, 1, 224), gpu), many = cost_of(step_of(false, 64, 224), gpu);
  EXPECT_EQ(one.total.launches, many.total.launches);
  EXPECT_GT(many.total.bytes(), 10 * one.total.bytes());
  EXPECT_NEAR(many.total.flop, 64 * one.total.flop, 1e-6 * many.total.flop);
  EXPECT_GT(many.pictures_per_s(64), 5 * one.pictures_per_s(1));
}

// 1.814 G multiply-adds of torchvision's resnet18 at 224 px, fastai's head for its own [torchvision's table of weights: 1.81 GFLOPS].
TEST(Cost, CountsTheMultiplyAddsOfResNet18) {
  EXPECT_NEAR(cost_of(step_of(false, 1, 224), gpu_model_of("h200")).total.flop, 2 * 1.814e9, 0.01e9);
}

// Adam reads 4 and writes 3 f32 of each parameter, and writes a half; unscaling reads the gradient. Those of convolutions are halves.
TEST(Cost, MovesTheBytesThatTheContractsSay) {
  const Cost cost = cost_of(step_of(true, 2, 64), gpu_model_of("h200"));
  const ResNet network({.seed = std::nullopt}, {open_device("cpu")});
  double parameters = 0, convolved = 0;
  for (const NamedTensor& parameter : network.parameters()) {
    const auto n = static_cast<double>(parameter.tensor.numel());
    parameters += n;
    if (parameter.tensor.shape().rank() == 4) convolved += n;
  }
  const double adam = 30 * parameters - 2 * convolved;
  EXPECT_NEAR(static_cast<double>(bytes_of(cost, "adam_kernel")), adam, 0.02 * adam);
  EXPECT_NEAR(static_cast<double>(bytes_of(cost, "check_finite_kernel")), 4 * parameters - 2 * convolved, 1e4);
  EXPECT_EQ(bytes_of(cost, "convert_kernel"), 0);
}

TEST(Cost, OfTheModulesAndOfTheKernelsAddUpToTheTotal) {
  const Cost cost = cost_of(step_of(true, 4, 64), gpu_model_of("a100"));
  for (const auto* rows : {&cost.modules, &cost.kernels}) {
    int64_t launches = 0, bytes = 0;
    for (const CostRow& row : *rows) {
      launches += row.sum.launches;
      bytes += row.sum.bytes();
    }
    EXPECT_EQ(launches, cost.total.launches);
    EXPECT_EQ(bytes, cost.total.bytes());
  }
  EXPECT_GT(cost.total.bytes(), cost.floor_bytes);
  EXPECT_GT(cost.eager_bytes, cost.compiled_bytes);
}

TEST(Cost, SaysWhereABatchDoesNotFit) {
  EXPECT_THROW(cost_of(step_of(true, 8192, 224), gpu_model_of("rtx4090")), OutOfMemory);
  EXPECT_THROW(gpu_model_of("voodoo"), UsageError);
}

struct Headline {
  std::string kind;
  int64_t batch = 0, launches = 0, bytes = 0;
  int size = 0;
};

std::vector<Headline> headlines() {
  std::ifstream file(MIRILLA_SOURCE_DIR "/tests/nn/inspect/headline_cost.tsv");
  std::vector<Headline> all;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    Headline& one = all.emplace_back();
    words >> one.kind >> one.batch >> one.size >> one.launches >> one.bytes;
  }
  return all;
}

// The four steps that are raced against PyTorch (tools/gpu_check/races.py). A change that makes one dearer says so here, on any machine.
TEST(HeadlineCost, DoesNotGrow) {
  const std::vector<Headline> all = headlines();
  ASSERT_EQ(all.size(), 4u);
  for (const Headline& kept : all) {
    const Cost cost = cost_of(step_of(kept.kind == "train", kept.batch, kept.size), gpu_model_of("h200"));
    const int64_t launches = cost.total.launches, bytes = cost.total.bytes();
    const std::string now = fmt::format("{}\t{}\t{}\t{}\t{}", kept.kind, kept.batch, kept.size, launches, bytes);
    EXPECT_TRUE(launches <= kept.launches && bytes <= kept.bytes)
        << "the step needs more than before: make it cheaper or, where that is meant, write into headline_cost.tsv\n"
        << now;
    EXPECT_TRUE(launches >= kept.launches && bytes >= kept.bytes)
        << "the step needs less than before, which should stay so: write into headline_cost.tsv\n"
        << now;
  }
}

}  // namespace
}  // namespace mirilla::nn
