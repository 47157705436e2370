// SPDX-License-Identifier: MIT
#include "kernels/ledger.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "kernels/core/backend.h"
#include "kernels/core/error.h"
#include "kernels/cuda/ledger/account.h"
#include "tests/kernels/cuda/batch_norm_cases.h"

namespace mirilla {
namespace {

using Kind = LedgerEntry::Kind;

class LedgerTest : public testing::Test {
 protected:
  View tensor(const Shape& shape, DType dtype = DType::f16) {
    return {device_.allocate(static_cast<size_t>(shape.numel()) * size_of(dtype)), shape, dtype, true};
  }
  // What one call gives the GPU.
  template <class T>
  std::vector<LedgerEntry> run(const T& call) {
    device_.take();
    device_.backend().run(call);
    work_ = device_.take();
    return work_.entries;
  }
  const LedgerCall& call() const { return work_.calls.at(0); }

  LedgerDevice& device_ = new_ledger_device({.name = "GPU", .memory_bytes = size_t{1} << 30});
  LedgerDevice::Work work_;
};

TEST_F(LedgerTest, CountsEachTensorOfALaunchOnce) {
  const View a = tensor({1000}), b = tensor({1000}), y = tensor({1000});
  const auto sum = run(op::Add{a, b, y});
  ASSERT_EQ(sum.size(), 1u);
  EXPECT_EQ(sum[0].name.substr(0, 10), "map_kernel");
  EXPECT_EQ(sum[0].operation, "add");
  EXPECT_EQ(sum[0].read, 4000);
  EXPECT_EQ(sum[0].written, 2000);
  EXPECT_EQ(sum[0].blocks, 1);
  EXPECT_EQ(call().eager, 6000);
  EXPECT_EQ(call().compiled, 2000);
  EXPECT_EQ(run(op::Add{a, a, y})[0].read, 2000) << "one tensor given twice is read once";
  EXPECT_EQ(run(op::Add{y, a, y})[0].written, 2000);
}

TEST_F(LedgerTest, KnowsTheTensorsInATable) {
  EXPECT_EQ(device_.name(), "ledger");
  constexpr int64_t kN = 10'000;
  const View p = tensor({kN}, DType::f32), g = tensor({kN}, DType::f32), m = tensor({kN}, DType::f32), v = tensor({kN}, DType::f32);
  const View step = tensor({1}, DType::i64), copy = tensor({kN}), state = tensor({kScalerState}, DType::f32);
  const std::array tensors{AdamTensor{.parameter = p, .gradient = g, .m = m, .v = v, .step = step, .copy = copy}};
  const auto adam = run(op::Adam{.tensors = tensors, .spec = {}, .scaler_state = state});
  ASSERT_EQ(adam.size(), 2u);
  EXPECT_EQ(adam[0].read, 16 * kN + 8 + 16) << "with the count of steps and the scaler's state";
  EXPECT_EQ(adam[0].written, 12 * kN + 2 * kN + 8);
  EXPECT_EQ(adam[1].read, 8 + 16) << "only the counts";
  EXPECT_EQ(call().floor, 30 * kN);
  const std::array<ConstView, 2> gradients{g, m};
  const auto check = run(op::CheckFinite{gradients, state});
  EXPECT_EQ(check.at(1).read, 8 * kN);
  EXPECT_EQ(call().eager, 16 * kN);
}

TEST_F(LedgerTest, FollowsScratchMemoryFromTheKernelThatFillsItToTheOneThatReadsIt) {
  const Shape shape{8, 32, 32, 64};
  const View x = tensor(shape), dy = tensor(shape), dx = tensor(shape), y = tensor(shape), residual = tensor(shape);
  const View mean = tensor({64}, DType::f32), inv_std = tensor({64}, DType::f32), weight = tensor({64}, DType::f32),
             bias = tensor({64}, DType::f32), mask = tensor({shape.numel() / 8}, DType::u8), dweight = tensor({64}, DType::f32);
  const int64_t n = 2 * shape.numel();
  const auto statistics = run(op::BatchNormStatistics{.x = x, .mean = mean, .inv_std = inv_std});
  ASSERT_EQ(statistics.size(), 1u);
  const int64_t parts = statistics[0].written - 2 * 256;  // besides the mean and the standard deviation
  EXPECT_GT(parts, 8 * 64);
  EXPECT_EQ(statistics[0].read, n + parts) << "the last block reads what all wrote";
  const auto apply = run(op::BatchNormApply{
      .x = x, .mean = mean, .inv_std = inv_std, .weight = weight, .bias = bias, .residual = residual, .relu = true, .y = y, .mask = mask});
  ASSERT_EQ(apply.size(), 1u);
  EXPECT_EQ(apply[0].read, 2 * n + 4 * 256);
  EXPECT_EQ(apply[0].written, n + n / 16);
  EXPECT_EQ(call().eager, 7 * n);
  EXPECT_EQ(call().compiled, 3 * n);
  const test::batch_norm::LaunchesOfANorm two_launches(2);
  op::BatchNormBackward asked{.dy = dy,
                              .x = x,
                              .mean = mean,
                              .inv_std = inv_std,
                              .weight = weight,
                              .mask = mask,
                              .relu = true,
                              .dx = dx,
                              .dweight = dweight,
                              .dbias = bias};
  const auto backward = run(asked);
  ASSERT_EQ(backward.size(), 2u);
  const int64_t sums = backward[0].written - 4 * 256;  // besides two gradients, and what dx needs
  EXPECT_GT(sums, 8 * 64);
  EXPECT_EQ(backward[0].read, 2 * n + n / 16 + 2 * 256 + sums);
  EXPECT_EQ(backward[1].read, 2 * n + n / 16 + 5 * 256);
  EXPECT_EQ(backward[1].written, n);
  EXPECT_EQ(call().eager, 8 * n);
  asked.dy2 = residual;
  asked.dresidual = y;
  const auto of_two = run(asked);
  ASSERT_EQ(of_two.size(), 2u);
  EXPECT_EQ(of_two[0].read, backward[0].read + n);
  EXPECT_EQ(of_two[0].written, backward[0].written + n) << "the sum";
  EXPECT_EQ(of_two[1].read, 2 * n + 5 * 256) << "the sum, and no mask";
  EXPECT_EQ(of_two[1].written, n);
  EXPECT_EQ(call().eager, 11 * n);
}

// What blocks keep in shared memory is read once, the rest twice.
TEST_F(LedgerTest, ReadsTwiceWhatABatchNormsBlocksCannotKeep) {
  const View mean = tensor({64}, DType::f32), inv_std = tensor({64}, DType::f32), weight = tensor({64}, DType::f32);
  const auto read = [&](int64_t pictures, bool backward) {
    const Shape shape{pictures, 32, 32, 64};
    const View x = tensor(shape), dy = tensor(shape), y = tensor(shape);
    const op::BatchNormStatistics statistics{.x = x, .mean = mean, .inv_std = inv_std};
    const auto done = backward ? run(op::BatchNormBackward{.dy = dy, .x = x, .mean = mean, .inv_std = inv_std, .weight = weight, .dx = y})
                               : run(op::BatchNorm{.statistics = statistics, .weight = weight, .y = y});
    EXPECT_EQ(done.size(), 1u);
    EXPECT_GE(done[0].written, 2 * shape.numel());
    return done[0].read - (backward ? 4 : 2) * shape.numel();
  };
  constexpr int64_t kAllParts = 132 * 3 * 2 * 64 * 4 + 132 * 4 * 4 + 4096;
  EXPECT_LE(read(128, false), kAllParts) << "16 MiB fit";
  EXPECT_LE(read(64, true), kAllParts) << "2 of 8 MiB";
  const int64_t kept = 2 * 512 * 65536 - read(512, false), kept_twice = 4 * 512 * 65536 - read(512, true);
  for (const int64_t bytes : {kept, kept_twice}) {
    EXPECT_GT(bytes, 20'000'000);
    EXPECT_LT(bytes, 132 * 227 * 1024);
  }
}

TEST_F(LedgerTest, GivesTheLibrariesWhatAGpuWould) {
  const View x = tensor({4, 16, 16, 8}), w = tensor({16, 3, 3, 8}), y = tensor({4, 16, 16, 16}), dw = tensor({16, 3, 3, 8}, DType::f32);
  const Conv2dSpec spec{.padding = 1};
  const auto forward = run(op::Conv2d{.x = x, .w = w, .bias = {}, .spec = spec, .y = y});
  ASSERT_EQ(forward.size(), 1u);
  EXPECT_EQ(forward[0].kind, Kind::library);
  EXPECT_EQ(forward[0].read, 2 * (x.numel() + w.numel()));
  EXPECT_EQ(forward[0].written, 2 * y.numel());
  EXPECT_EQ(forward[0].flop, 2.0 * 4 * 16 * 16 * 16 * 72);
  EXPECT_TRUE(forward[0].halves);
  const auto data = run(op::Conv2dBackwardData{.dy = y, .w = w, .spec = spec, .dx = x});
  ASSERT_EQ(data.size(), 1u);
  EXPECT_EQ(data[0].flop, forward[0].flop);
  const auto weights = run(op::Conv2dBackwardWeight{.x = x, .dy = y, .spec = spec, .dw = dw});
  ASSERT_EQ(weights.size(), 2u) << "in halves, and widened";
  EXPECT_EQ(weights[0].kind, Kind::library);
  EXPECT_EQ(weights[1].kind, Kind::kernel);
  EXPECT_EQ(weights[1].read, 2 * dw.numel());
  EXPECT_EQ(weights[1].written, 4 * dw.numel());
  const View in_halves = tensor({16, 3, 3, 8});
  EXPECT_TRUE(device_.backend().rounds(op::Conv2dBackwardWeight{.x = x, .dy = y, .spec = spec, .dw = dw}));
  EXPECT_FALSE(device_.backend().rounds(op::Conv2dBackwardWeight{.x = x, .dy = y, .spec = spec, .dw = in_halves}));
  const auto with_bias = [&](const View& bias) {
    return device_.backend().rounds(op::Conv2dBiasAddRelu{.x = x, .w = in_halves, .bias = bias, .spec = spec, .y = y});
  };
  EXPECT_TRUE(with_bias(tensor({y.shape[-1]}, DType::f32)));
  EXPECT_FALSE(with_bias(tensor({y.shape[-1]})));
  const auto left_in_halves = run(op::Conv2dBackwardWeight{.x = x, .dy = y, .spec = spec, .dw = in_halves});
  ASSERT_EQ(left_in_halves.size(), 1u);
  EXPECT_EQ(left_in_halves[0].written, 2 * dw.numel());
  const auto fused = run(op::Conv2dBiasAddRelu{
      .x = x, .w = w, .bias = tensor({16}, DType::f32), .residual = y, .relu = true, .spec = spec, .y = tensor({4, 16, 16, 16})});
  ASSERT_EQ(fused.size(), 1u);
  EXPECT_EQ(fused[0].read, 2 * (x.numel() + w.numel() + y.numel()) + 64);
  EXPECT_GT(call().eager, call().compiled);
  EXPECT_GT(call().compiled, call().floor);
}

TEST_F(LedgerTest, PadsTheFirstLayerAndKeepsOddProducts) {
  const View x = tensor({4, 16, 16, 3}), w = tensor({16, 3, 3, 3}), y = tensor({4, 16, 16, 16}), dw = tensor({16, 3, 3, 3}, DType::f32);
  const Conv2dSpec spec{.padding = 1};
  EXPECT_EQ(run(op::Conv2d{.x = x, .w = w, .bias = {}, .spec = spec, .y = y}).size(), 3u) << "x and w padded, cuDNN";
  EXPECT_EQ(run(op::Conv2dBackwardWeight{.x = x, .dy = y, .spec = spec, .dw = dw}).size(), 4u) << "x padded, cuDNN, widened, cut";
  const LedgerCall narrow = call();
  const View four = tensor({4, 16, 16, 4}), w4 = tensor({16, 3, 3, 4});
  EXPECT_EQ(run(op::Conv2d{.x = four, .w = w, .bias = {}, .spec = spec, .y = y}).size(), 2u) << "w padded, cuDNN";
  const auto padded = run(op::Conv2d{.x = four, .w = w, .bias = {}, .spec = spec, .y = y, .padded_w = w4});
  ASSERT_EQ(padded.size(), 1u) << "cuDNN";
  EXPECT_EQ(padded[0].read, 2 * (four.numel() + w4.numel()));
  EXPECT_EQ(run(op::Conv2dBackwardWeight{.x = four, .dy = y, .spec = spec, .dw = dw}).size(), 3u) << "cuDNN, widened, cut";
  EXPECT_EQ(call().floor, narrow.floor) << "the padding is our own choice";
  EXPECT_EQ(call().eager, narrow.eager);
  const View in_halves = tensor({16, 3, 3, 3});
  EXPECT_EQ(run(op::Conv2dBackwardWeight{.x = x, .dy = y, .spec = spec, .dw = in_halves}).size(), 3u) << "x padded, cuDNN, cut";
  const View a = tensor({32, 64}), b = tensor({64, 16}), odd = tensor({64, 6});
  EXPECT_EQ(run(op::Matmul{a, b, {}, tensor({32, 16})}).at(0).kind, Kind::library);
  const auto own = run(op::Matmul{a, odd, {}, tensor({32, 6})});
  EXPECT_EQ(own.at(0).kind, Kind::kernel);
  EXPECT_EQ(own.at(0).flop, 2.0 * 32 * 6 * 64);
  LedgerDevice& without = new_ledger_device({.name = "without libraries", .libraries = false});
  EXPECT_FALSE(without.backend().rounds(op::Conv2dBackwardWeight{.x = x, .dy = y, .spec = spec, .dw = dw}));
  without.backend().run(op::Matmul{a, b, {}, tensor({32, 16})});
  without.backend().run(op::Conv2d{.x = x, .w = w, .bias = {}, .spec = spec, .y = y});
  for (const LedgerEntry& entry : without.take().entries) EXPECT_EQ(entry.kind, Kind::kernel) << entry.name;
}

// As much as for the operations one by one, of which ours moves less.
TEST_F(LedgerTest, KnowsWhatPyTorchMovesForANormWithItsPool) {
  const View x = tensor({2, 8, 8, 16}), y = tensor({2, 4, 4, 16}), index = tensor({2, 4, 4, 16}, DType::u8), big = tensor({2, 8, 8, 16});
  const View c = tensor({16}, DType::f32), dweight = tensor({16}, DType::f32);
  const Pool2dSpec spec{.window = 3, .stride = 2, .padding = 1};
  const auto sum = [&](auto first, auto second) {
    run(first);
    LedgerCall both = call();
    run(second);
    both.eager += call().eager;
    both.compiled += call().compiled;
    return both;
  };
  const LedgerCall there = sum(op::BatchNormApply{.x = x, .mean = c, .inv_std = c, .weight = c, .bias = c, .relu = true, .y = big},
                               op::MaxPool2d{.x = big, .spec = spec, .y = y, .index = index});
  const auto fused =
      run(op::BatchNormReluMaxPool2d{.x = x, .mean = c, .inv_std = c, .weight = c, .bias = c, .spec = spec, .y = y, .index = index});
  ASSERT_EQ(fused.size(), 1u);
  EXPECT_EQ(fused[0].read, 2 * x.numel() + 64) << "(C) views are one here";
  EXPECT_EQ(fused[0].written, 3 * y.numel());
  EXPECT_EQ(call().eager, there.eager);
  EXPECT_EQ(call().compiled, there.compiled);
  const LedgerCall back = sum(
      op::MaxPool2dBackward{.dy = y, .index = index, .spec = spec, .dx = big},
      op::BatchNormBackward{.dy = big, .x = x, .mean = c, .inv_std = c, .weight = c, .y = big, .relu = true, .dx = x, .dweight = dweight});
  const auto pooled = run(op::BatchNormBackward{
      .dy = y, .x = x, .mean = c, .inv_std = c, .weight = c, .dx = big, .dweight = dweight, .index = index, .pool = spec});
  ASSERT_EQ(pooled.size(), 2u);
  EXPECT_EQ(pooled[1].read, 2 * x.numel() + 3 * y.numel() + 64 + 2 * 64) << "x, dy, places, (C), and what the sums left";
  EXPECT_EQ(pooled[1].written, 2 * x.numel());
  EXPECT_EQ(call().eager, back.eager);
  EXPECT_EQ(call().compiled, back.compiled);
}

TEST_F(LedgerTest, KnowsWhatPyTorchMovesForPools) {
  const View x = tensor({2, 8, 8, 16}), y = tensor({2, 4, 4, 16}), index = tensor({2, 4, 4, 16}, DType::u8);
  run(op::MaxPool2d{.x = x, .spec = {.window = 3, .stride = 2, .padding = 1}, .y = y, .index = index});
  EXPECT_EQ(call().eager - call().compiled, 7 * y.numel());
  run(op::MaxPool2dBackward{.dy = y, .index = index, .spec = {.window = 3, .stride = 2, .padding = 1}, .dx = x});
  EXPECT_EQ(call().eager - call().compiled, 7 * y.numel());
  const View pictures = tensor({2, 16, 16, 3}, DType::u8), parameters = tensor({2, kAugmentParameters}, DType::f32);
  EXPECT_EQ(run(op::Augment{.pictures = pictures, .parameters = parameters, .std = {1, 1, 1}, .y = tensor({2, 8, 8, 3})}).size(), 2u);
  EXPECT_EQ(call().eager, call().floor);
}

TEST_F(LedgerTest, NotesARecordingWhenItRuns) {
  const View x = tensor({64}), y = tensor({64});
  device_.take();
  const auto replay = device_.record([&] {
    device_.push_range("conv1");
    device_.backend().run(op::Relu{x, y});
    device_.pop_range();
    device_.copy(y.address, x.address, 128);
    EXPECT_THROW(device_.record([] {}), DeviceError);
  });
  EXPECT_TRUE(device_.take().entries.empty());
  EXPECT_EQ(replay->size(), 2u);
  for (int i = 0; i < 2; ++i) replay->run();
  const LedgerDevice::Work work = device_.take();
  ASSERT_EQ(work.entries.size(), 4u);
  EXPECT_EQ(work.calls.size(), 2u);
  EXPECT_TRUE(work.entries[0].replayed);
  EXPECT_EQ(work.entries[0].range, "conv1");
  EXPECT_EQ(work.entries[1].kind, Kind::copy);
  EXPECT_EQ(work.entries[1].read, 128);
  EXPECT_THROW(device_.record([] { throw DeviceError("no"); }), DeviceError);
  EXPECT_FALSE(device_.recording());
}

TEST_F(LedgerTest, HasTheGpusMemoryAndNoValues) {
  const size_t before = device_.free_bytes();
  void* const block = device_.allocate(1 << 20);
  EXPECT_EQ(before - device_.free_bytes(), size_t{1} << 20);
  device_.release(block, 1 << 20);
  device_.release(nullptr, 0);
  EXPECT_EQ(device_.free_bytes(), before);
  EXPECT_THROW(device_.allocate(size_t{2} << 30), OutOfMemory);
  void* const pinned = device_.allocate_pinned(64);
  device_.copy_from_pinned(block, pinned, 64);
  device_.release_pinned(pinned, 64);
  int value = 7;
  device_.copy_to_host(&value, block, sizeof value);
  EXPECT_EQ(value, 0);
  device_.synchronize();
  const LedgerDevice::Work work = device_.take();
  ASSERT_EQ(work.entries.size(), 2u);
  EXPECT_EQ(work.entries[0].kind, Kind::send);
  EXPECT_EQ(work.entries[1].read, 4);
  EXPECT_EQ(device_.description(), "ledger: what a GPU would be given");
  EXPECT_EQ(device_.backend().name(), "ledger");
  EXPECT_TRUE(device_.can_replay() && device_.wants_ranges() && !device_.host_addressable());
}

TEST_F(LedgerTest, NotesFillsOfAStream) {
  simt::LedgerAccount account({.name = "GPU"});
  LedgerDevice::Work work;
  account.into() = &work;
  simt::Stream stream(account);
  stream.fill_bytes(nullptr, 0, 32);
  stream.copy(nullptr, nullptr, 16);
  ASSERT_EQ(work.entries.size(), 2u);
  EXPECT_EQ(work.entries[0].written, 32);
  EXPECT_EQ(work.entries[1].read, 16);
}

}  // namespace
}  // namespace mirilla
