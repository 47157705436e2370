// SPDX-License-Identifier: MIT
#include "tests/kernels/simt/support.h"

namespace mirilla::simt {
namespace {

constexpr unsigned kAll = 0xffffffffu;

__global__ void shuffles(int* out) {
  const auto t = static_cast<int>(threadIdx.x), lane = t % 32;
  int* const row = out + t * 8;
  row[0] = __shfl_sync(kAll, t, 5);
  row[1] = __shfl_sync(kAll, t, lane + 1);  // wraps round
  row[2] = __shfl_sync(kAll, t, 2, 8);      // lane 2 of each group of 8
  row[3] = __shfl_xor_sync(kAll, t, 16);
  row[4] = __shfl_up_sync(kAll, t, 3u);       // the first three keep their own value
  row[5] = __shfl_down_sync(kAll, t, 3u);     // the last three
  row[6] = __shfl_down_sync(kAll, t, 1u, 4);  // the last of each group of 4
  row[7] = __shfl_up_sync(kAll, t, 1u, 4);
}

TEST(SimtWarp, ShufflesAsTheProgrammingGuideSays) {
  in_every_order([] {
    const Array<int> out(64 * 8);
    Stream stream;
    launch<shuffles>(stream, {1, 64}, out.data());
    for (int t = 0; t < 64; ++t) {
      const int lane = t % 32, base = t - lane;
      const int want[] = {base + 5,
                          base + (lane + 1) % 32,
                          base + lane / 8 * 8 + 2,
                          base + (lane ^ 16),
                          lane < 3 ? t : t - 3,
                          lane >= 29 ? t : t + 3,
                          lane % 4 == 3 ? t : t + 1,
                          lane % 4 == 0 ? t : t - 1};
      for (int i = 0; i < 8; ++i) ASSERT_EQ(out[static_cast<size_t>(t * 8 + i)], want[i]) << "thread " << t << ", shuffle " << i;
    }
  });
}

__global__ void shuffle_types(double* out, Half* halves) {
  const auto t = static_cast<int>(threadIdx.x);
  out[t] = __shfl_xor_sync(kAll, 0.1 * t, 1);
  halves[t] = __shfl_xor_sync(kAll, Half(static_cast<float>(t)), 1);
}

TEST(SimtWarp, ShufflesEightAndTwoBytesToo) {
  const Array<double> out(32);
  const Array<Half> halves(32);
  Stream stream;
  launch<shuffle_types>(stream, {1, 32}, out.data(), halves.data());
  for (size_t t = 0; t < 32; ++t) {
    EXPECT_EQ(out[t], 0.1 * static_cast<double>(t ^ 1));
    EXPECT_EQ(static_cast<float>(halves[t]), static_cast<float>(t ^ 1));
  }
}

__global__ void votes(unsigned* out) {
  const auto t = static_cast<int>(threadIdx.x);
  const unsigned even = __ballot_sync(kAll, t % 2 == 0);
  const int any = __any_sync(kAll, t == 7), none = __any_sync(kAll, t > 99), all = __all_sync(kAll, t >= 0),
            not_all = __all_sync(kAll, t > 0);
  out[t] = even;
  if (any != 1 || none != 0 || all != 1 || not_all != 0) out[t] = 0;
}

TEST(SimtWarp, Votes) {
  in_every_order([] {
    const Array<unsigned> out(32, 0u);
    Stream stream;
    launch<votes>(stream, {1, 32}, out.data());
    for (size_t t = 0; t < 32; ++t) ASSERT_EQ(out[t], 0x55555555u);
  });
}

// Two halves of a warp in different branches: two masks in use at the same time.
__global__ void halves_of_a_warp(int* out) {
  const auto t = static_cast<int>(threadIdx.x);
  int sum = t;
  if (t % 2 == 0) {
    for (int d = 2; d < 32; d *= 2) sum += __shfl_xor_sync(0x55555555u, sum, d);
  } else {
    for (int d = 2; d < 32; d *= 2) sum += __shfl_xor_sync(0xaaaaaaaau, sum, d);
  }
  __syncwarp();
  out[t] = sum;
}

TEST(SimtWarp, WorksInBranchesWithMasksOfTheirOwn) {
  in_every_order([] {
    const Array<int> out(32, 0);
    Stream stream;
    launch<halves_of_a_warp>(stream, {1, 32}, out.data());
    for (size_t t = 0; t < 32; ++t) ASSERT_EQ(out[t], t % 2 == 0 ? 240 : 256);
  });
}

__global__ void through_memory(int* room, int* out) {
  const auto t = static_cast<int>(threadIdx.x);
  room[t] = t;
  __syncwarp();
  out[t] = room[t ^ 31];
}

TEST(SimtWarp, SyncwarpOrdersMemory) {
  in_every_order([] {
    const Array<int> room(32, -1), out(32);
    Stream stream;
    launch<through_memory>(stream, {1, 32}, room.data(), out.data());
    for (size_t t = 0; t < 32; ++t) ASSERT_EQ(out[t], static_cast<int>(t ^ 31));
  });
}

__global__ void integers(unsigned* out) {
  out[0] = static_cast<unsigned>(__popc(0xF0F0u));
  out[1] = static_cast<unsigned>(__clz(1));
  out[2] = static_cast<unsigned>(__clz(0));
  out[3] = static_cast<unsigned>(__ffs(8));
  out[4] = static_cast<unsigned>(__ffs(0));
  out[5] = __umulhi(0x80000000u, 6u);
  out[6] = __float_as_uint(1.0f);
  out[7] = static_cast<unsigned>(__int_as_float(0x40000000));
}

TEST(SimtLanguage, HasTheIntegerIntrinsics) {
  const Array<unsigned> out(8);
  Stream stream;
  launch<integers>(stream, {1, 1}, out.data());
  EXPECT_EQ(out.values(), (std::vector<unsigned>{8, 31, 32, 4, 0, 3, 0x3f800000u, 2}));
}

}  // namespace
}  // namespace mirilla::simt
