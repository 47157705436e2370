// SPDX-License-Identifier: MIT
#include "kernels/simt/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <mutex>

#include "kernels/core/philox.h"
#include "kernels/host/threads.h"
#include "kernels/simt/block.h"
#include "kernels/simt/memory.h"
#include "kernels/simt/together.h"

namespace mirilla::simt {

namespace {

std::atomic<uint64_t> g_schedule_seed{0};
std::atomic<uint64_t> g_launches{0}, g_blocks{0}, g_switches{0};

std::string text_of(dim3 d) { return fmt::format("({},{},{})", d.x, d.y, d.z); }

void check_limits(const GridCall& call) {
  const auto refuse = [&](const std::string& what) {
    throw DeviceError(fmt::format("{}: {}", call.kernel, what), "a GPU would refuse this launch too");
  };
  const dim3 b = call.block, g = call.grid;
  const uint64_t threads = uint64_t{b.x} * b.y * b.z;
  if (threads == 0 || threads > Limits::kThreadsPerBlock || b.x > Limits::kBlockX || b.y > Limits::kBlockY || b.z > Limits::kBlockZ)
    refuse(fmt::format("a block of {} threads was asked for; it has 1 to {}, and z at most {}", text_of(b), Limits::kThreadsPerBlock,
                       Limits::kBlockZ));
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > Limits::kGridX || g.y > Limits::kGridY || g.z > Limits::kGridZ)
    refuse(fmt::format("a grid of {} blocks was asked for; x is 1 to {}, y and z 1 to {}", text_of(g), Limits::kGridX, Limits::kGridY));
  if (call.shared_bytes > Limits::kSharedBytes)
    refuse(fmt::format("{} bytes of dynamic shared memory were asked for and a block has {}", call.shared_bytes, Limits::kSharedBytes));
}

// A permutation of 0..n-1 without storing it: a four-round Feistel network over the next power of four, repeated until the result is < n.
class Order {
 public:
  Order(uint64_t n, uint64_t seed) : n_(n), seed_(seed) {
    while ((uint64_t{1} << (2 * half_bits_)) < n) ++half_bits_;
  }
  uint64_t operator()(uint64_t i) const {
    if (seed_ == 0) return i;
    do i = round(i);
    while (i >= n_);
    return i;
  }

 private:
  uint64_t round(uint64_t i) const {
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = i >> half_bits_, right = i & mask;
    for (uint32_t r = 0; r < 4; ++r) {
      const auto words = philox4x32({static_cast<uint32_t>(right), static_cast<uint32_t>(right >> 32), r, 0},
                                    {static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)});
      const uint64_t next = left ^ (words[0] & mask);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  uint64_t n_, seed_;
  int half_bits_ = 1;
};

// The first error of a grid; the other blocks then stop before they start.
class FirstError {
 public:
  bool raised() const { return raised_.load(std::memory_order_relaxed); }
  void keep(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    raised_ = true;
  }
  void rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::atomic<bool> raised_ = false;
  std::exception_ptr error_;
};

}  // namespace

void run_grid(const GridCall& call) {
  check_limits(call);
  const uint64_t seed = g_schedule_seed.load(std::memory_order_relaxed);
  const uint64_t launch = g_launches.fetch_add(1, std::memory_order_relaxed);
  const uint64_t blocks = uint64_t{call.grid.x} * call.grid.y * call.grid.z;
  const uint64_t launch_seed = seed == 0 ? 0 : seed * 0x9E3779B97F4A7C15u + launch + 1;
  const Order order(blocks, launch_seed);
  const int threads = call.together ? 1 : loop_threads(static_cast<int64_t>(blocks));
  FirstError error;
  const auto run = [&](uint64_t i) {
    if (error.raised()) return;
    try {
      const uint64_t block = order(i);
      const uint64_t thread_seed = launch_seed == 0 ? 0 : launch_seed + block * 0xD1B54A32D192ED03u + 1;
      g_switches.fetch_add(BlockRunner::of_this_thread().run(call, block, thread_seed), std::memory_order_relaxed);
    } catch (...) {
      error.keep(std::current_exception());
    }
  };
  if (call.together) {
    if (blocks > static_cast<uint64_t>(kMostTogether))
      throw DeviceError(
          fmt::format("{}: the executor runs at most {} blocks at the same time, not {}", call.kernel, kMostTogether, blocks));
    Together::run(static_cast<int>(blocks), [&](int i, Together& all) {
      run(static_cast<uint64_t>(i));
      if (error.raised()) all.fail();
    });
  } else if (threads < 2) {
    for (uint64_t i = 0; i < blocks; ++i) run(i);
  } else {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (uint64_t i = 0; i < blocks; ++i) run(i);
  }
  g_blocks.fetch_add(blocks, std::memory_order_relaxed);
  error.rethrow();
  check_guards(std::string(call.kernel).c_str());
}

void set_schedule_seed(uint64_t seed) { g_schedule_seed = seed; }
uint64_t schedule_seed() { return g_schedule_seed; }
ExecutorCounts executor_counts() { return {.launches = g_launches, .blocks = g_blocks, .switches = g_switches}; }

}  // namespace mirilla::simt
