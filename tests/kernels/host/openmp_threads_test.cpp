// SPDX-License-Identifier: MIT
// Fewer threads than requested: OpenMP may give a region fewer, and oneDNN then computes only the parts of the existing threads.
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <omp.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "kernels/cpu/cpu.h"
#include "kernels/devices.h"
#include "kernels/host/environment.h"
#include "kernels/host/startable.h"
#include "kernels/host/threads.h"
#include "tests/kernels/buffer.h"

namespace mirilla {
namespace {

using Floats = std::vector<float>;
using Work = std::function<void()>;

Floats numbers(const Shape& shape, int seed) {
  Floats values(static_cast<size_t>(shape.numel()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>((static_cast<int>(i) * 7919 + seed * 104729) % 2003 - 1001) / 512;
  return values;
}

// The work of a training step: products that oneDNN divides in different ways, and our own loops.
Floats step(Backend& backend) {
  Device& device = open_device(backend.name());
  Floats all;
  const auto keep = [&](const Buffer<float>& result) {
    const Floats values = result.values();
    all.insert(all.end(), values.begin(), values.end());
  };
  const Shape pictures{4, 24, 24, 3}, wide{4, 12, 12, 32};
  const Conv2dSpec stem{.stride = 2, .padding = 3, .dilation = 1}, same{.stride = 1, .padding = 1, .dilation = 1};
  const Buffer<float> x(device, pictures, numbers(pictures, 1)), w7(device, {32, 7, 7, 3}, numbers({32, 7, 7, 3}, 2));
  const Buffer<float> h(device, wide, numbers(wide, 3)), w3(device, {32, 3, 3, 32}, numbers({32, 3, 3, 32}, 4));
  Buffer<float> y(device, wide), dx(device, wide), dw7(device, {32, 7, 7, 3}), dw3(device, {32, 3, 3, 32});
  backend.run(op::Conv2d{x, w7, {}, stem, y});
  keep(y);
  backend.run(op::Conv2d{h, w3, {}, same, y});
  keep(y);
  backend.run(op::Conv2dBackwardData{h, w3, same, dx});
  keep(dx);
  backend.run(op::Conv2dBackwardWeight{x, h, stem, dw7});
  keep(dw7);
  backend.run(op::Conv2dBackwardWeight{h, y, same, dw3});
  keep(dw3);
  const Shape square{48, 48};
  const Buffer<float> a(device, square, numbers(square, 5)), b(device, square, numbers(square, 6));
  Buffer<float> product(device, square), total(device, {1}), mean(device, {32}), inv_std(device, {32});
  backend.run(op::Matmul{a, b, {.transpose_a = true, .transpose_b = false}, product});
  keep(product);
  backend.run(op::Sum{h, total});
  keep(total);
  backend.run(op::BatchNormStatistics{.x = h, .eps = 1e-5, .momentum = 0.1, .mean = mean, .inv_std = inv_std});
  keep(mean);
  return all;
}

/// A place to compute in: calls the work there, possibly several times and concurrently.
struct Place {
  const char* name;
  std::function<void(const Work&)> in;
};

void in_region(int threads, const Work& work) {
#pragma omp parallel num_threads(threads)
  work();
}

std::vector<Place> places() {
  return {
      {"where teams are as large as OpenMP thinks best",
       [](const Work& work) {
         omp_set_dynamic(1);
         work();
         omp_set_dynamic(0);
       }},
      {"where no region has a team",
       [](const Work& work) {
         const int levels = omp_get_max_active_levels();
         omp_set_max_active_levels(0);
         work();
         omp_set_max_active_levels(levels);
       }},
      {"where the program's own regions have one thread",
       [](const Work& work) {
         const int threads = omp_get_max_threads();
         omp_set_num_threads(1);
         work();
         omp_set_num_threads(threads);
       }},
      {"under a limit of one thread",
       [](const Work& work) {
#pragma omp teams num_teams(1) thread_limit(1)
         work();
       }},
      {"inside a region", [](const Work& work) { in_region(3, work); }},
      {"inside a region of one thread", [](const Work& work) { in_region(1, work); }},
      {"inside nested regions",
       [](const Work& work) {
         const int levels = omp_get_max_active_levels();
         omp_set_max_active_levels(2);
         in_region(2, [&] { in_region(2, work); });
         omp_set_max_active_levels(levels);
       }},
      {"inside a task",
       [](const Work& work) {
         in_region(2, [&] {
#pragma omp single
           {
#pragma omp task
             work();
#pragma omp task
             work();
           }
         });
       }},
      {"on two threads at once",
       [](const Work& work) {
         std::thread first(work), second(work);
         first.join();
         second.join();
       }},
  };
}

// The results of all calls in a place.
std::vector<Floats> all_in(const Place& place, const std::function<Floats()>& compute) {
  std::mutex mutex;
  std::vector<Floats> all;
  place.in([&] {
    Floats one = compute();
    const std::lock_guard lock(mutex);
    all.push_back(std::move(one));
  });
  return all;
}

bool same_bytes(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

class HostTeams : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_host_threads(GetParam()); }
  void TearDown() override { set_host_threads(0); }
};
INSTANTIATE_TEST_SUITE_P(Threads, HostTeams, testing::Values(1, 2, 3, 5));

TEST_P(HostTeams, StepsGiveTheSameBytesWhereverTheyAreComputed) {
  for (const char* name : {"cpu", "reference"}) {
    Backend& backend = open_device(name).backend();
    const Floats want = step(backend);
    for (const Place& place : places())
      for (const Floats& got : all_in(place, [&] { return step(backend); }))
        EXPECT_TRUE(same_bytes(got, want)) << name << " " << place.name;
  }
}

TEST_P(HostTeams, StepsOfBackendsOfTheirOwnDoSoToo) {
  const Floats want = step(open_device("cpu").backend());
  const auto compute = [] {
    CpuBackend own;
    return step(own);
  };
  for (const Place& place : places())
    for (const Floats& got : all_in(place, compute)) EXPECT_TRUE(same_bytes(got, want)) << place.name;
}

// The CUDA kernels on the executor, with a small layer, since it is slow.
TEST(SimtThreads, SeveralAtOnceGetTheBytesOfOneAlone) {
  Device& simt = open_device("simt");
  const auto compute = [&] {
    const Shape square{24, 24};
    const Buffer<float> a(simt, square, numbers(square, 1)), b(simt, square, numbers(square, 2));
    Buffer<float> product(simt, square), total(simt, {1});
    simt.backend().run(op::Matmul{a, b, {}, product});
    simt.backend().run(op::Sum{product, total});
    Floats all = product.values();
    all.push_back(total.values()[0]);
    return all;
  };
  set_host_threads(2);
  const Floats want = compute();
  for (const Place& place : places())
    for (const Floats& got : all_in(place, compute)) EXPECT_TRUE(same_bytes(got, want)) << place.name;
  set_host_threads(0);
}

TEST(SimtThreads, WorkGivenWhileAnotherThreadRecordsIsRefused) {
  Device& simt = open_device("simt");
  Buffer<float> y(simt, {4}, {1, 1, 1, 1}), other(simt, {4}, {1, 1, 1, 1});
  std::string message;
  const auto replay = simt.record([&] {
    simt.backend().run(op::Fill{y, 2});
    std::thread([&] {
      try {
        simt.backend().run(op::Fill{other, 3});
      } catch (const DeviceError& error) {
        message = error.message();
      }
    }).join();
  });
  EXPECT_EQ(message, "the device 'simt' was given work while another thread records a replay on it");
  replay->run();
  EXPECT_EQ(y.values(), Floats(4, 2));
  EXPECT_EQ(other.values(), Floats(4, 1));
}

TEST_P(HostTeams, ARegionHasTheThreadsThatWerePromised) {
  for (const Place& place : places())
    place.in([&] {
      on_host_team([&](int threads) {
        EXPECT_EQ(threads, GetParam()) << place.name;
        EXPECT_EQ(omp_get_max_threads(), threads) << place.name;
        int came = 0;
#pragma omp parallel
        {
#pragma omp master
          came = omp_get_num_threads();
        }
        EXPECT_EQ(came, threads) << place.name;
      });
    });
}

TEST_P(HostTeams, AnErrorComesThrough) {
  for (const Place& place : places())
    place.in([&] {
      try {
        on_host_team([](int) { throw ShapeError("of the work"); });
        ADD_FAILURE() << place.name;
      } catch (const ShapeError& error) {
        EXPECT_EQ(error.message(), "of the work");
      }
    });
}

TEST_P(HostTeams, TheProgramsOwnSettingsStay) {
  const int threads = omp_get_max_threads(), levels = omp_get_max_active_levels();
  omp_set_num_threads(7);
  omp_set_dynamic(1);
  omp_set_max_active_levels(0);
  step(open_device("cpu").backend());
  EXPECT_EQ(omp_get_max_threads(), 7);
  EXPECT_NE(omp_get_dynamic(), 0);
  EXPECT_EQ(omp_get_max_active_levels(), 0);
  omp_set_max_active_levels(levels);
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
}

TEST(HostThreads, LoopsAreNotSharedOutAgainInsideARegion) {
  set_host_threads(3);
  EXPECT_EQ(loop_threads(100), 3);
  EXPECT_EQ(loop_threads(2), 2);
  EXPECT_EQ(loop_threads(0), 1);
  in_region(2, [] { EXPECT_EQ(loop_threads(100), 1); });
  set_host_threads(0);
}

TEST(HostThreads, MoreThanAnyMachineNeedsAreRefusedInASentence) {
  EXPECT_GE(most_host_threads(), 64);
  EXPECT_LE(most_host_threads(), 1 << 20);
  set_host_threads(most_host_threads());
  EXPECT_EQ(host_threads(), most_host_threads());
  set_host_threads(0);
  try {
    set_host_threads(most_host_threads() + 1);
    ADD_FAILURE();
  } catch (const DeviceError& error) {
    EXPECT_EQ(error.message(), fmt::format("host devices compute with 1 to {} threads on this machine, and {} were asked for",
                                           most_host_threads(), most_host_threads() + 1));
  }
  EXPECT_LE(host_threads(), most_host_threads());
}

// OpenMP's runtime would end the program with a line of its own.
TEST(HostThreads, ThreadsThatTheSystemDoesNotLetRunAreAnError) {
  EXPECT_EQ(startable_threads(2), 2);
  const char* const before = std::getenv("OMP_STACKSIZE");
  const std::string kept = before != nullptr ? before : "";
  setenv("OMP_STACKSIZE", "1000000G", 1);
  EXPECT_EQ(startable_threads(2), 0);
  std::string message;
  set_host_threads(2);
  std::thread([&] {
    try {
      step(open_device("cpu").backend());
    } catch (const DeviceError& error) {
      message = error.message();
    }
  }).join();
  EXPECT_EQ(message, "2 threads are to compute here and the system lets 1 of them run");
  setenv("OMP_STACKSIZE", "20k", 1);  // a stack too small for any computation
  EXPECT_EQ(startable_threads(2), 0);
  before != nullptr ? setenv("OMP_STACKSIZE", kept.c_str(), 1) : unsetenv("OMP_STACKSIZE");
  EXPECT_EQ(startable_threads(2), 2);
  set_host_threads(0);
}

#if !defined(__SANITIZE_ADDRESS__)  // the sanitizer needs memory itself
TEST(HostThreads, WorkThatIsSharedOutDoesWithTheThreadsThereAre) {
  std::atomic<int> ran = 0;
  for (std::thread& thread : start_threads(3, [&] { ++ran; })) thread.join();
  EXPECT_EQ(ran, 3);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  rlimit none = before;
  none.rlim_cur = 1;
  std::string message;
  message.reserve(200);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &none), 0);
  size_t started = 0;
  try {
    std::vector<std::thread> threads = start_threads(40, [] {});  // the first may reuse stacks of ended threads
    started = threads.size();
    for (std::thread& thread : threads) thread.join();
  } catch (const DeviceError& error) {
    message = error.message();
  }
  setrlimit(RLIMIT_AS, &before);
  EXPECT_LT(started, 40u);
  if (started == 0) {
    EXPECT_EQ(message, "the system lets this program start no further thread");
  }
}
#endif

TEST(HostThreads, ThereIsOneOpenmpInTheProgram) {
  std::ifstream maps("/proc/self/maps");
  std::set<std::string> libraries;
  for (std::string line; std::getline(maps, line);)
    for (const char* name : {"libgomp", "libomp", "libiomp"})
      if (line.find(std::string("/") + name) != std::string::npos) libraries.insert(line.substr(line.rfind('/')));
  EXPECT_EQ(libraries.size(), 1u) << fmt::format("{}", fmt::join(libraries, ", "));
}

}  // namespace
}  // namespace mirilla
