// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "kernels/cuda/batch_norm.h"

namespace mirilla::simt {
namespace {

/// A result that depends on the order in which others were merged into it.
struct Chain {
  float value = 0;
  void merge(const Chain& other) { value = value * 1.25f + other.value; }
};

struct ChainParts {
  float* values;  // (parts, channels)
  int channels;

  Chain load(int part, int c) const { return {values[part * channels + c]}; }
  void store(int part, int c, const Chain& chain) const { values[part * channels + c] = chain.value; }
  ChainParts of_classes() const { return *this; }
};

float value_of(int part, int c) { return static_cast<float>(part % 7 + 1) / static_cast<float>(c % 5 + 1); }

void chain_kernel(ChainParts parts, unsigned* counters, float* result, int* times) {
  const int first = static_cast<int>(blockIdx.y * blockDim.x), end = min(first + static_cast<int>(blockDim.x), parts.channels);
  const int c = first + static_cast<int>(threadIdx.x), part = static_cast<int>(blockIdx.x);
  if (threadIdx.y == 0 && c < end) parts.store(part, c, {value_of(part, c)});
  merge_parts<Chain>(parts, first, end, counters, [&](int channel, const Chain& all) {
    result[channel] = all.value;
    atomicAdd(times + channel, 1);
  });
}

/// What they have to be: classes r, r + 32, ... one after the other, and then a tree.
std::vector<float> chains(int parts, int channels) {
  std::vector<float> all;
  for (int c = 0; c < channels; ++c) {
    std::vector<Chain> classes(static_cast<size_t>(std::min(parts, kClasses)));
    for (int part = 0; part < parts; ++part) classes[static_cast<size_t>(part % kClasses)].merge({value_of(part, c)});
    for (size_t half = kClasses / 2; half > 0; half /= 2)
      for (size_t r = 0; r < half && r + half < classes.size(); ++r) classes[r].merge(classes[r + half]);
    all.push_back(classes[0].value);
  }
  return all;
}

/// Memory for one launch, and the launch.
class Job {
 public:
  Job(int parts, int channels) : parts_(parts), channels_(channels), values_(static_cast<size_t>(parts * channels), -1) { renew(); }

  void renew() {
    result.assign(static_cast<size_t>(channels_), -1);
    times_.assign(static_cast<size_t>(channels_), 0);
  }
  void start(Stream& stream) {
    const RowBlock block(channels_, 1);
    launch<chain_kernel>(stream, {dim3(static_cast<unsigned>(parts_), block.blocks_across), block.threads},
                         ChainParts{values_.data(), channels_}, stream.counters(), result.data(), times_.data());
  }
  void expect_done(int times = 1) {
    EXPECT_EQ(result, chains(parts_, channels_)) << parts_ << " parts, " << channels_ << " channels";
    EXPECT_EQ(times_, std::vector<int>(static_cast<size_t>(channels_), times)) << parts_ << " parts, " << channels_ << " channels";
  }

 private:
  int parts_, channels_;
  std::vector<float> values_;
  std::vector<int> times_;

 public:
  std::vector<float> result;
};

void expect_zero(Stream& stream) {
  for (unsigned i = 0; i < kCounters; ++i) ASSERT_EQ(stream.counters()[i], 0u) << "counter " << i;
}

TEST(MergeParts, MergesInOneOrderWhicheverBlockComesLast) {
  Stream stream;
  for (const uint64_t seed : {0, 1, 2, 3}) {
    set_schedule_seed(seed);
    for (const int parts : {1, 2, 5, 31, 32, 33, 64, 97, 257})
      for (const int channels : {1, 3, 33, 64, 130}) {
        Job job(parts, channels);
        job.start(stream);
        job.expect_done();
      }
    expect_zero(stream);
  }
  set_schedule_seed(0);
}

TEST(MergeParts, StreamsAndReplaysCountOnTheirOwn) {
  Stream here, beside(0, Stream::Pace::when_waited_for);
  Job first(97, 40), second(33, 40), recorded(70, 40);
  const Replay replay = Replay::record(here, [&] { recorded.start(here); });
  EXPECT_NE(here.counters(), beside.counters());
  second.start(beside);
  replay.run(beside);
  first.start(here);
  replay.run(here);
  first.expect_done();
  recorded.expect_done();
  recorded.renew();
  beside.synchronize();
  second.expect_done();
  recorded.expect_done();
  expect_zero(here);
  expect_zero(beside);
}

}  // namespace
}  // namespace mirilla::simt
