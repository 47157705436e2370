// SPDX-License-Identifier: MIT
#include "kernels/cuda/platform/driver_answer.h"

#include <gmock/gmock.h>

#include "kernels/core/error.h"

namespace mirilla {
namespace {

using testing::HasSubstr;

const std::vector<BuiltArchitecture> kHopper = built_architectures("90");

// An H200 under a driver for CUDA 13.0, and a build with 13.0.
DriverAnswer answer() { return {.driver_version = 13000, .runtime_version = 13000, .gpus = {{"NVIDIA H200", 9, 0}}}; }

TEST(DriverAnswer, IsNoComplaintWhereAllIsWell) {
  EXPECT_EQ(why_unavailable(answer(), kHopper, 0), "");
  DriverAnswer two = answer();
  two.gpus.push_back(two.gpus[0]);
  EXPECT_EQ(why_unavailable(two, kHopper, 1), "");
}

TEST(DriverAnswer, TellsOfADriverThatIsMissingOrOld) {
  EXPECT_EQ(why_unavailable({.runtime_version = 13000}, kHopper, 0), "this machine has no NVIDIA driver");
  DriverAnswer old = answer();
  old.driver_version = 12080;
  EXPECT_EQ(why_unavailable(old, kHopper, 0), "the NVIDIA driver here supports CUDA 12.8 and this build needs 13.0");
  old.driver_version = 13000, old.runtime_version = 13010;  // a minor version makes no difference to machine code
  EXPECT_EQ(why_unavailable(old, kHopper, 0), "");
}

TEST(DriverAnswer, TellsWhereThereIsNoGpuOrNoneIsShown) {
  DriverAnswer none = answer();
  none.gpus.clear();
  EXPECT_EQ(why_unavailable(none, kHopper, 0), "the NVIDIA driver finds no GPU");
  none.visible = "7";
  EXPECT_EQ(why_unavailable(none, kHopper, 0), "the NVIDIA driver finds no GPU among those that CUDA_VISIBLE_DEVICES ('7') names");
  none.count_error = "system not yet initialized";
  EXPECT_EQ(why_unavailable(none, kHopper, 0), "the NVIDIA driver for CUDA 13.0 says: system not yet initialized");
}

TEST(DriverAnswer, SaysHowManyThereAreForAnIndexBeyond) {
  DriverAnswer few = answer();
  EXPECT_EQ(why_unavailable(few, kHopper, 1), "there is one GPU, cuda:0");
  EXPECT_NE(why_unavailable(few, kHopper, -1), "");
  few.gpus.push_back(few.gpus[0]);
  few.visible = "2,5";
  EXPECT_EQ(why_unavailable(few, kHopper, 2), "there are 2 GPUs, cuda:0 to cuda:1 (CUDA_VISIBLE_DEVICES is '2,5')");
}

TEST(DriverAnswer, NamesTheArchitectureAndThoseTheBuildHas) {
  DriverAnswer older = answer();
  older.gpus = {{"NVIDIA A100", 8, 0}};
  const std::string why = why_unavailable(older, built_architectures("90;100"), 0);
  EXPECT_THAT(why, HasSubstr("NVIDIA A100, is sm_80"));
  EXPECT_THAT(why, HasSubstr("code for sm_90, sm_100"));
  EXPECT_THAT(why, HasSubstr("-DMIRILLA_CUDA_ARCHITECTURES=80"));
  older.gpus[0].error = "an unknown error";
  EXPECT_THAT(why_unavailable(older, kHopper, 0), HasSubstr("does not say what that GPU is: an unknown error"));
}

TEST(DriverAnswer, AsksForADriverAsNewAsWhatItHasToTranslate) {
  DriverAnswer newer = answer();
  newer.gpus = {{"NVIDIA B200", 10, 0}};
  EXPECT_EQ(why_unavailable(newer, kHopper, 0), "");
  newer.runtime_version = 13010;
  EXPECT_THAT(why_unavailable(newer, kHopper, 0), HasSubstr("would have to translate; it supports CUDA 13.0 and the code is of 13.1"));
  EXPECT_THAT(why_unavailable(newer, built_architectures("90-real"), 0), HasSubstr("does not run there"));
}

TEST(BuiltArchitectures, RunWhereCudaSaysTheyDo) {
  struct Row {
    const char* built;
    int major, minor;
    Runs runs;
  };
  const Row rows[] = {{"80", 8, 0, Runs::machine_code},
                      {"80", 8, 9, Runs::machine_code},  // a later minor version of the same major one
                      {"86", 8, 0, Runs::no},
                      {"80", 7, 5, Runs::no},
                      {"80", 9, 0, Runs::translated},
                      {"80-real", 9, 0, Runs::no},
                      {"80-real", 8, 6, Runs::machine_code},
                      {"90-virtual", 9, 0, Runs::translated},
                      {"90-virtual", 8, 9, Runs::no},
                      {"90a", 9, 0, Runs::machine_code},
                      {"90a", 10, 0, Runs::no},
                      {"100f", 10, 3, Runs::machine_code},
                      {"100f", 12, 0, Runs::no},
                      {"103f", 10, 0, Runs::no},
                      {"100", 12, 0, Runs::translated},
                      {"120a-real", 12, 0, Runs::machine_code}};
  for (const Row& row : rows) {
    const auto built = built_architectures(row.built);
    ASSERT_EQ(built.size(), 1u) << row.built;
    EXPECT_EQ(runs_on(built[0], row.major, row.minor), row.runs) << row.built << " on " << row.major << '.' << row.minor;
  }
}

TEST(BuiltArchitectures, AreReadAsCMakeWritesThem) {
  EXPECT_EQ(names_of(built_architectures("90;100-real")), "sm_90, sm_100");
  EXPECT_EQ(names_of(built_architectures("80-virtual,90a")), "sm_80, sm_90a");
  for (const char* const other : {"native", "all-major", "90;all", "90-fast", "9"})
    EXPECT_TRUE(built_architectures(other).empty()) << other;
}

TEST(OutOfMemory, SaysWhatWasWantedHeldAndFree) {
  const OutOfMemory error("cuda", {.wanted = 500, .held = 300, .free = 100, .total = 1000});
  EXPECT_EQ(error.message(), "the device 'cuda' has no 500 bytes left: 300 are held and 100 of 1000 are free");
  EXPECT_EQ(error.with_hint("try a batch of 32").hint(), "try a batch of 32");
  EXPECT_EQ(error.with_hint("try a batch of 32").message(), error.message());
  EXPECT_EQ(OutOfMemory("cpu", {.wanted = 7}).message(), "the device 'cpu' has no 7 bytes left");
}

}  // namespace
}  // namespace mirilla
