// SPDX-License-Identifier: MIT
#include "engine/allocator.h"

#include <gtest/gtest.h>

#include <cstring>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "engine/ops/add.h"
#include "engine/tape.h"
#include "engine/tensor.h"
#include "kernels/devices.h"
#include "tests/engine/scale.h"

namespace mirilla {
namespace {

// A host device with limited memory.
class SmallDevice final : public Device {
 public:
  explicit SmallDevice(size_t capacity) : capacity_(capacity) {}

  std::string_view name() const override { return "small"; }
  std::string description() const override { return "small: for a test"; }
  Backend& backend() override { throw DeviceError("the device 'small' computes nothing"); }
  void* allocate(size_t bytes) override {
    if (std::exchange(fails_once, false)) throw DeviceError("the device 'small' failed");
    if (used_ + bytes > capacity_) throw OutOfMemory("small", {.wanted = bytes});
    used_ += bytes;
    return ::operator new(bytes);
  }
  void release(void* address, size_t bytes) noexcept override {
    used_ -= bytes;
    ::operator delete(address);
  }
  bool host_addressable() const override { return true; }
  void copy_from_host(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy_to_host(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void copy(void* to, const void* from, size_t bytes) override { std::memcpy(to, from, bytes); }
  void synchronize() override {}

  size_t used() const { return used_; }

  bool fails_once = false;

 private:
  size_t capacity_;
  size_t used_ = 0;
};

constexpr size_t kKiB = 1024, kMiB = 1024 * kKiB;

TEST(Allocator, GivesAFreedBlockOutAgain) {
  SmallDevice device(kMiB);
  Allocator allocator(device);
  const Allocator::Block first = allocator.allocate(1000);
  EXPECT_GE(first.bytes, 1000u);
  allocator.release(first);
  const Allocator::Block second = allocator.allocate(900);
  EXPECT_EQ(second.address, first.address);
  EXPECT_EQ(allocator.statistics().device_allocations, 1u);
  EXPECT_EQ(allocator.statistics().allocations, 2u);
  allocator.release(second);
}

TEST(Allocator, TakesTheSmallestBlockThatFitsAndNoneTwiceAsLarge) {
  SmallDevice device(kMiB);
  Allocator allocator(device);
  const Allocator::Block large = allocator.allocate(64 * kKiB), middle = allocator.allocate(16 * kKiB);
  allocator.release(large);
  allocator.release(middle);
  const Allocator::Block fits = allocator.allocate(10 * kKiB);
  EXPECT_EQ(fits.address, middle.address);
  const Allocator::Block fresh = allocator.allocate(10 * kKiB);
  EXPECT_NE(fresh.address, large.address) << "64 KiB for 10";
  EXPECT_EQ(allocator.statistics().device_allocations, 3u);
  allocator.release(fits);
  allocator.release(fresh);
}

TEST(Allocator, CountsWhatIsInUseCachedAndEverGiven) {
  SmallDevice device(kMiB);
  Allocator allocator(device);
  const Allocator::Block a = allocator.allocate(4 * kKiB), b = allocator.allocate(8 * kKiB);
  allocator.release(a);
  MemoryStatistics now = allocator.statistics();
  EXPECT_EQ(now.current, b.bytes);
  EXPECT_EQ(now.peak, a.bytes + b.bytes);
  EXPECT_EQ(now.cached, a.bytes);
  EXPECT_EQ(now.total, a.bytes + b.bytes);
  allocator.release(b);
  allocator.trim();
  now = allocator.statistics();
  EXPECT_EQ(now.current, 0u);
  EXPECT_EQ(now.cached, 0u);
  EXPECT_EQ(now.peak, a.bytes + b.bytes) << "the past does not change";
  EXPECT_EQ(device.used(), 0u);
}

TEST(Allocator, GivesItsFreeBlocksBackBeforeItFails) {
  SmallDevice device(100 * kKiB);
  Allocator allocator(device);
  allocator.release(allocator.allocate(60 * kKiB));
  const Allocator::Block block = allocator.allocate(90 * kKiB);  // fits only after the cached 60 KiB are returned
  EXPECT_NE(block.address, nullptr);
  EXPECT_EQ(allocator.statistics().cached, 0u);
  EXPECT_THROW(allocator.allocate(20 * kKiB), DeviceError);
  EXPECT_EQ(allocator.statistics().current, block.bytes) << "what failed was counted";
  allocator.release(block);
}

TEST(Allocator, DoesNotTryAgainAfterAnErrorThatIsNotOfMemory) {
  SmallDevice device(kMiB);
  Allocator allocator(device);
  device.fails_once = true;
  EXPECT_THROW(allocator.allocate(kKiB), DeviceError);
}

TEST(Allocator, ReturnsEverythingWhenItEnds) {
  SmallDevice device(kMiB);
  {
    Allocator allocator(device);
    for (const size_t bytes : {1000u, 5000u, 70000u}) allocator.release(allocator.allocate(bytes));
    EXPECT_GT(device.used(), 0u);
  }
  EXPECT_EQ(device.used(), 0u);
}

TEST(Allocator, GivesNothingForNoBytes) {
  SmallDevice device(0);
  Allocator allocator(device);
  EXPECT_EQ(allocator.allocate(0).address, nullptr);
  EXPECT_EQ(allocator.statistics().allocations, 0u);
}

TEST(Allocator, PoisonsReusedMemoryWithNaN) {
  SmallDevice device(kMiB);
  Allocator allocator(device);
  allocator.set_poison(true);
  for (int i = 0; i < 2; ++i) {
    const Allocator::Block block = allocator.allocate(4 * sizeof(float));
    const auto* const values = static_cast<const float*>(block.address);
    for (int k = 0; k < 4; ++k) EXPECT_TRUE(values[k] != values[k]);
    std::memset(block.address, 0, block.bytes);
    allocator.release(block);
  }
}

TEST(Allocator, ServesSeveralThreads) {
  SmallDevice device(64 * kMiB);
  Allocator allocator(device);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&allocator, t] {
      for (size_t i = 0; i < 500; ++i) {
        const Allocator::Block block = allocator.allocate(512 * (1 + (i * 7 + static_cast<size_t>(t)) % 9));
        std::memset(block.address, t, block.bytes);
        allocator.release(block);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(allocator.statistics().current, 0u);
  EXPECT_EQ(allocator.statistics().allocations, 2000u);
  EXPECT_EQ(allocator.statistics().cached, device.used());
}

TEST(AllocatorPool, ServesAScopeFromItsOwnMemoryAndNobodyElse) {
  SmallDevice device(kMiB);
  Allocator allocator(device);
  Allocator::Pool pool(allocator);
  Allocator::Block inside;
  {
    const PoolScope scope(allocator, pool);
    inside = allocator.allocate(1000);
  }
  allocator.release(inside);  // returns to the pool, whoever frees it
  EXPECT_EQ(pool.statistics().cached, inside.bytes);
  const Allocator::Block outside = allocator.allocate(1000);
  EXPECT_NE(outside.address, inside.address) << "somebody else got what a replay writes";
  {
    const PoolScope scope(allocator, pool);
    const Allocator::Block again = allocator.allocate(1000);
    EXPECT_EQ(again.address, inside.address);
    std::thread([&] {
      const Allocator::Block other = allocator.allocate(1000);
      EXPECT_EQ(other.pool, 0u) << "a scope is its thread's";
      allocator.release(other);
    }).join();
    allocator.release(again);
  }
  allocator.trim();
  EXPECT_EQ(device.used(), inside.bytes + outside.bytes) << "a pool keeps its memory";
  allocator.release(outside);
}

TEST(AllocatorPool, CountsItsOwnAndTheAllocatorCountsAll) {
  SmallDevice device(kMiB);
  Allocator allocator(device);
  Allocator::Pool pool(allocator);
  const Allocator::Block outside = allocator.allocate(kKiB);
  const PoolScope scope(allocator, pool);
  const Allocator::Block a = allocator.allocate(2 * kKiB), b = allocator.allocate(4 * kKiB);
  allocator.release(a);
  EXPECT_EQ(pool.statistics().current, 4 * kKiB);
  EXPECT_EQ(pool.statistics().peak, 6 * kKiB);
  EXPECT_EQ(pool.statistics().cached, 2 * kKiB);
  EXPECT_EQ(pool.statistics().device_allocations, 2u);
  EXPECT_EQ(allocator.statistics().current, 5 * kKiB);
  EXPECT_EQ(allocator.statistics().peak, 7 * kKiB);
  allocator.release(b);
  allocator.release(outside);
  EXPECT_EQ(allocator.statistics().current, 0u);
}

TEST(AllocatorPool, GivesItsMemoryToEverybodyWhenItEnds) {
  SmallDevice device(kMiB);
  Allocator allocator(device);
  Allocator::Block freed, alive;
  {
    Allocator::Pool pool(allocator);
    const PoolScope scope(allocator, pool);
    freed = allocator.allocate(1000);
    alive = allocator.allocate(5000);
    allocator.release(freed);
  }
  EXPECT_EQ(allocator.allocate(1000).address, freed.address);
  allocator.release(alive);  // outlived its pool
  EXPECT_EQ(allocator.allocate(5000).address, alive.address);
  allocator.release(freed);
  allocator.release(alive);
  EXPECT_EQ(allocator.statistics().current, 0u);
  allocator.trim();
  EXPECT_EQ(device.used(), 0u);
}

TEST(AllocatorPool, BelongsToItsAllocator) {
  SmallDevice device(kMiB);
  Allocator one(device), other(device);
  Allocator::Pool pool(one);
  EXPECT_THROW(PoolScope(other, pool), Error);
}

class EveryDeviceMemory : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { Allocator::of(device_).trim(); }  // a cached block may be larger than requested
  Tensor kib(int64_t count) { return empty({count * 256}, DType::f32, device_); }
  size_t current() { return Allocator::of(device_).statistics().current; }

  Device& device_ = open_device(GetParam());
};

TEST_P(EveryDeviceMemory, ScopesSeeTheirPeakAndThatOfScopesInside) {
  const Tensor before = kib(16);
  const MemoryScope outer(device_);
  const Tensor held = kib(4);
  {
    const MemoryScope inner(device_);
    { const Tensor brief = kib(32); }
    EXPECT_EQ(inner.peak_above_start(), 32 * kKiB);
  }
  {
    const MemoryScope quiet(device_);
    EXPECT_EQ(quiet.peak_above_start(), 0u) << "what was before does not count";
  }
  EXPECT_EQ(outer.peak_above_start(), 36 * kKiB);
  EXPECT_GE(outer.peak(), 52 * kKiB);
}

TEST_P(EveryDeviceMemory, IsGivenBackWithTheLastViewOfAStorage) {
  const size_t before = current();
  Tensor part;
  {
    const Tensor whole = kib(8);
    part = whole.slice(0, 1);
  }
  EXPECT_EQ(current(), before + 8 * kKiB) << "a slice holds its whole storage";
  part = Tensor();
  EXPECT_EQ(current(), before);
}

TEST_P(EveryDeviceMemory, DoesNotGrowFromStepToStep) {
  Tensor w = full({1024}, 1, DType::f32, device_);
  w.set_requires_grad();
  const auto step = [&] {
    w.clear_grad();
    Tensor y = w;
    for (int i = 0; i < 10; ++i) y = scale(y, 1.1);
    tape::backward(y, {.seed = w.clone()});
  };
  step();
  step();
  const MemoryStatistics before = Allocator::of(device_).statistics();
  for (int i = 0; i < 20; ++i) step();
  const MemoryStatistics after = Allocator::of(device_).statistics();
  EXPECT_EQ(after.current, before.current);
  EXPECT_EQ(after.peak, before.peak);
  if (!device_.exact_blocks()) {  // exact blocks come from the device each time
    EXPECT_EQ(after.device_allocations, before.device_allocations) << "a step asks for the sizes of the last one";
  }
}

TEST_P(EveryDeviceMemory, OfAPoolStaysToBeReadWhereTheRecordingFreesIt) {
  if (!device_.can_replay()) return;
  Allocator::Pool pool(Allocator::of(device_));
  const PoolScope scope(Allocator::of(device_), pool);
  Tensor out = empty({256}, DType::f32, device_);
  Tensor before = full({256}, 3, DType::f32, device_);
  const auto replay = device_.record([&] {
    out.copy_from(before);
    before = Tensor();
    static_cast<void>(full({256}, 99, DType::f32, device_));
  });
  for (int run = 0; run < 2; ++run) {
    replay->run();
    EXPECT_EQ(out.to_doubles(), std::vector<double>(256, 3));
  }
}

TEST_P(EveryDeviceMemory, IsAReplaysOwnAsLongAsItsPoolLives) {
  if (!device_.can_replay()) return;
  Allocator& allocator = Allocator::of(device_);
  const Tensor in = full({256}, 1, DType::f32, device_), out = empty({256}, DType::f32, device_);
  Tensor before = full({256}, 3, DType::f32, device_);  // freed during the recording that reads it
  const size_t at_first = current();
  {
    Allocator::Pool pool(allocator);
    std::unique_ptr<DeviceReplay> replay;
    Writes writes;
    {
      const PoolScope scope(allocator, pool);
      const Writes::Listen listen(writes);
      replay = device_.record([&] {
        Tensor sum = empty_like(in);
        sum.backend().run(op::Add{in, before, sum});
        before = Tensor();
        const Tensor other = scale(sum, 2);
        Tensor result = out;
        result.copy_from(other);
      });
    }
    EXPECT_GT(pool.statistics().cached, 0u);
    for (int i = 0; i < 10; ++i) static_cast<void>(full({256}, 99, DType::f32, device_));  // would reuse the replay's memory
    for (const double value : {1.0, 5.0}) {
      Tensor(in).fill(value);
      const uint64_t version = out.version();
      replay->run();
      writes.touch();
      EXPECT_GT(out.version(), version) << "a replay writes without asking";
      EXPECT_EQ(out.to_doubles(), std::vector<double>(256, 2 * (value + 3)));
    }
    EXPECT_EQ(writes.size(), 1u) << "of what was written, `out` alone still lives";
  }
  EXPECT_EQ(current(), at_first - kKiB);
}

INSTANTIATE_TEST_SUITE_P(Here, EveryDeviceMemory, ::testing::ValuesIn(device_names()), [](const auto& which) { return which.param; });

}  // namespace
}  // namespace mirilla
