// SPDX-License-Identifier: MIT
#include <numeric>

#include "kernels/host/threads.h"
#include "tests/kernels/simt/support.h"

namespace mirilla::simt {
namespace {

__global__ void write_number(int* where) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  where[block * blockDim.x * blockDim.y * blockDim.z + thread] += static_cast<int>(block * 1000 + thread);
}

TEST(SimtGrid, RunsEveryThreadOfEveryBlockOnceInAnyOrder) {
  in_every_order([] {
    constexpr size_t kBlocks = 3 * 4 * 5, kThreads = 5 * 3 * 2;
    const Array<int> where(kBlocks * kThreads, 0);
    Stream stream;
    launch<write_number>(stream, {dim3(3, 4, 5), dim3(5, 3, 2)}, where.data());
    for (size_t i = 0; i < kBlocks * kThreads; ++i) ASSERT_EQ(where[i], static_cast<int>(i / kThreads * 1000 + i % kThreads));
  });
}

TEST(SimtGrid, OfThreadsThatNeverWaitCostsOneStackABlock) {
  const Array<int> where(7 * 256, 0);
  Stream stream;
  const ExecutorCounts before = executor_counts();
  launch<write_number>(stream, {7, 256}, where.data());
  EXPECT_EQ(executor_counts().blocks - before.blocks, 7u);
  EXPECT_EQ(executor_counts().switches - before.switches, 7u);
}

constexpr int kTile = 16;

__global__ void transpose(const float* in, float* out, int n) {
  __shared__ float tile[kTile][kTile + 1];
  const auto x = static_cast<int>(blockIdx.x * kTile + threadIdx.x), y = static_cast<int>(blockIdx.y * kTile + threadIdx.y);
  tile[threadIdx.y][threadIdx.x] = in[y * n + x];
  __syncthreads();
  const auto to_x = static_cast<int>(blockIdx.y * kTile + threadIdx.x), to_y = static_cast<int>(blockIdx.x * kTile + threadIdx.y);
  out[to_y * n + to_x] = tile[threadIdx.x][threadIdx.y];
}

TEST(SimtBarrier, LetsABlockExchangeThroughStaticSharedMemory) {
  in_every_order([] {
    constexpr int n = 3 * kTile;
    const Array<float> in(n * n), out(n * n);
    std::iota(in.data(), in.data() + n * n, 0.0f);
    Stream stream;
    launch<transpose>(stream, {dim3(3, 3), dim3(kTile, kTile)}, in.data(), out.data(), n);
    for (size_t y = 0; y < n; ++y)
      for (size_t x = 0; x < n; ++x) ASSERT_EQ(out[x * n + y], in[y * n + x]);
  });
}

// A sum over the block by halving, with barriers in a loop.
__global__ void block_sum_kernel(const int* in, int* out) {
  int* const room = dynamic_shared<int>();
  const auto t = static_cast<int>(threadIdx.x);
  room[t] = in[blockIdx.x * blockDim.x + threadIdx.x];
  for (int half = static_cast<int>(blockDim.x) / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) room[t] += room[t + half];
  }
  if (t == 0) out[blockIdx.x] = room[0];
}

TEST(SimtBarrier, MayStandInALoopOverDynamicSharedMemory) {
  in_every_order([] {
    const Array<int> in(4 * 1024), out(4);
    std::iota(in.data(), in.data() + 4 * 1024, 0);
    Stream stream;
    launch<block_sum_kernel>(stream, {4, 1024, 1024 * sizeof(int)}, in.data(), out.data());
    for (int b = 0; b < 4; ++b) EXPECT_EQ(out[static_cast<size_t>(b)], 1024 * 1023 / 2 + b * 1024 * 1024);
  });
}

__global__ void count_kernel(int* out) {
  const auto t = static_cast<int>(threadIdx.x);
  const int thirds = __syncthreads_count(t % 3 == 0);
  const int all = __syncthreads_and(t >= 0), not_all = __syncthreads_and(t != 5);
  const int some = __syncthreads_or(t == 5), none = __syncthreads_or(t < 0);
  out[t] = thirds * 10000 + (all != 0) * 1000 + (not_all != 0) * 100 + (some != 0) * 10 + (none != 0);
}

TEST(SimtBarrier, CountsAndJoinsPredicates) {
  in_every_order([] {
    const Array<int> out(100, 0);
    Stream stream;
    launch<count_kernel>(stream, {1, 100}, out.data());
    for (size_t t = 0; t < 100; ++t) ASSERT_EQ(out[t], 34 * 10000 + 1010);
  });
}

__global__ void read_unwritten(float* out) { out[0] = dynamic_shared<float>()[3]; }

TEST(SimtShared, IsFullOfNanWhenABlockStarts) {
  const Array<float> out(1, 0.0f);
  Stream stream;
  launch<read_unwritten>(stream, {1, 1, 64}, out.data());
  EXPECT_TRUE(std::isnan(out[0]));
}

// A race: without the barrier, what a thread reads depends on which thread was first.
template <bool kBarrier>
__global__ void neighbour(int* out) {
  int* const room = dynamic_shared<int>();
  const auto t = static_cast<int>(threadIdx.x), n = static_cast<int>(blockDim.x);
  room[t] = t;
  if (kBarrier) __syncthreads();
  out[t] = room[(t + n - 1) % n];
}

TEST(SimtSchedule, BringsRacesToLight) {
  const auto run = [](auto started, uint64_t seed) {
    set_schedule_seed(seed);
    const Array<int> out(64, 0);
    started(out.data());
    set_schedule_seed(0);
    return out.values();
  };
  Stream stream;
  const auto racing = [&](int* out) { launch<neighbour<false>>(stream, {1, 64, 64 * sizeof(int)}, out); };
  const auto right = [&](int* out) { launch<neighbour<true>>(stream, {1, 64, 64 * sizeof(int)}, out); };
  EXPECT_NE(run(racing, 1), run(racing, 2));
  EXPECT_EQ(run(right, 1), run(right, 2));
  EXPECT_EQ(run(right, 0), run(right, 3));
}

__global__ void histogram(const int* values, int n, int* counts, float* sum, int* largest, int* smallest, unsigned* seen) {
  const auto i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  atomicAdd(&counts[values[i]], 1);
  atomicAdd(sum, 1.0f);
  atomicMax(largest, values[i]);
  atomicMin(smallest, values[i]);
  atomicOr(seen, 1u << values[i]);
}

__global__ void add_by_compare_and_swap(unsigned* total) {
  unsigned before = *total, expected;
  do {
    expected = before;
    before = atomicCAS(total, expected, expected + 3);
  } while (before != expected);
}

TEST(SimtAtomics, HoldBetweenBlocksThatRunSideBySide) {
  const int threads_before = host_threads();
  set_host_threads(4);
  constexpr int n = 10000;
  const Array<int> values(n), counts(10, 0), largest(1, -1), smallest(1, 99);
  const Array<float> sum(1, 0.0f);
  const Array<unsigned> seen(1, 0u), total(1, 0u);
  for (size_t i = 0; i < n; ++i) values[i] = static_cast<int>(i * 7 % 10);
  Stream stream;
  launch<histogram>(stream, {40, 256}, values.data(), n, counts.data(), sum.data(), largest.data(), smallest.data(), seen.data());
  launch<add_by_compare_and_swap>(stream, {100, 64}, total.data());
  set_host_threads(threads_before);
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(counts[i], n / 10);
  EXPECT_EQ(sum[0], static_cast<float>(n));
  EXPECT_EQ(largest[0], 9);
  EXPECT_EQ(smallest[0], 0);
  EXPECT_EQ(seen[0], 0x3ffu);
  EXPECT_EQ(total[0], 3u * 6400);
}

__global__ void add_one(int* x) { *x += 1; }

TEST(SimtReplay, DoesWhatWasRecordedEachTimeItRuns) {
  const Array<int> x(1, 0), copy(1, -1);
  Stream stream;
  const Replay replay = Replay::record(stream, [&] {
    launch<add_one>(stream, {1, 1}, x.data());
    launch<add_one>(stream, {1, 1}, x.data());
    stream.copy(copy.data(), x.data(), sizeof(int));
    const Scratch scratch(stream, 4);  // lives beyond its scope, since the record uses it
    stream.copy(scratch.as<int>(), x.data(), sizeof(int));
  });
  EXPECT_EQ(x[0], 0);
  for (int run = 1; run <= 3; ++run) {
    replay.run(stream);
    EXPECT_EQ(x[0], 2 * run);
    EXPECT_EQ(copy[0], 2 * run);
  }
}

TEST(SimtReplay, RefusesToWaitWhileItRecords) {
  Stream stream;
  EXPECT_NE(error_of([&] { Replay::record(stream, [&] { stream.synchronize(); }); }).find("while a replay records"), std::string::npos);
  EXPECT_NO_THROW(stream.synchronize());  // and the stream works again
}

TEST(SimtReplay, RecordsOneAtATime) {
  Stream stream;
  const std::string message = error_of([&] { Replay::record(stream, [&] { Replay::record(stream, [] {}); }); });
  EXPECT_NE(message.find("while another one records"), std::string::npos);
  char byte = 0;
  for (auto copy : {&Stream::copy_from_host, &Stream::copy_to_host}) {
    const std::string refused = error_of([&] { Replay::record(stream, [&] { (stream.*copy)(&byte, &byte, 1); }); });
    EXPECT_NE(refused.find("while a replay records"), std::string::npos);
  }
}

TEST(SimtStream, FillsBytes) {
  const Array<uint8_t> x(100);
  Stream stream;
  stream.fill_bytes(x.data() + 10, 7, 80);
  for (size_t i = 0; i < 100; ++i) ASSERT_EQ(x[i], i >= 10 && i < 90 ? 7 : 0xFF);
}

TEST(SimtEvent, TellsTimeBetweenTwoPointsOfAStream) {
  Stream stream;
  Event start, end;
  const Array<int> x(1, 0);
  start.record(stream);
  launch<add_one>(stream, {1, 1}, x.data());
  end.record(stream);
  EXPECT_GT(Event::milliseconds_between(start, end), 0);
}

}  // namespace
}  // namespace mirilla::simt
