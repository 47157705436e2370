// SPDX-License-Identifier: MIT
#include "kernels/plans/chosen_plans.h"

#include <gtest/gtest.h>

#include "kernels/cuda/device.h"

namespace mirilla {
namespace {

const PlanOwner kHere{"NVIDIA H200", "13.0", "cuDNN", "9.19.0"};

TEST(ChosenPlans, AreNoneWhereNoGpuComputed) {
  if (cuda::unavailable().empty()) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(chosen_plans(), "");
  EXPECT_EQ(adopt_plans("not even looked at"), "");
}

TEST(ChosenPlans, ComeBackFromTheirText) {
  PlanStore from({}, kHere), to({}, kHere);
  from.put("forward f16", {"62 2=4", 0.25});
  EXPECT_EQ(adopt_plans(from.text(), &to), "");
  EXPECT_EQ(to.find("forward f16"), (StoredPlan{"62 2=4", 0.25}));
}

TEST(ChosenPlans, OfAnotherChipAreLeftAside) {
  PlanStore from({}, {"NVIDIA A100", "13.0", "cuDNN", "9.19.0"}), to({}, kHere);
  from.put("forward f16", {"62 2=4", 0.25});
  EXPECT_EQ(adopt_plans(from.text(), &to), "");
  EXPECT_EQ(to.size(), 0u);
}

TEST(ChosenPlans, ThatAreNoneGiveALineAndChangeNothing) {
  PlanStore store({}, kHere);
  store.put("forward f16", {"62 2=4", 0.25});
  for (const char* const text : {"{", "[]", "plans", "{\"plans\": 7}"}) {
    const std::string note = adopt_plans(text, &store);
    EXPECT_TRUE(note.starts_with("the GPU's plans are chosen anew: ")) << note;
    EXPECT_EQ(note.find('\n'), std::string::npos) << note;
  }
  EXPECT_EQ(adopt_plans("", &store), "");
  EXPECT_EQ(store.size(), 1u);
}

}  // namespace
}  // namespace mirilla
