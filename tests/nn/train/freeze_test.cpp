// SPDX-License-Identifier: MIT
#include "nn/train/freeze.h"

#include <gtest/gtest.h>

#include "kernels/core/error.h"
#include "kernels/devices.h"
#include "nn/modules/resnet.h"
#include "nn/train/adam.h"

namespace mirilla::nn {
namespace {

class FreezeTest : public testing::Test {
 protected:
  ResNet model_{{.classes = 3}, {.device = open_device("cpu")}};
  Adam adam_ = [&] {
    const auto groups = model_.parameter_groups();
    return Adam({groups.begin(), groups.end()});
  }();

  std::vector<std::string> trained() {
    std::vector<std::string> names;
    for (const NamedTensor& named : model_.parameters())
      if (named.tensor.requires_grad()) names.push_back(named.name);
    return names;
  }
};

TEST_F(FreezeTest, LeavesTheHeadAndTheBodysNormsTrainable) {
  freeze(model_, adam_);
  const std::vector<std::string> names = trained();
  EXPECT_EQ(names.size(), 46u);  // 20 norms of the body with two each, and the head's 6
  for (const NamedTensor& named : model_.parameters()) {
    const bool is_convolution = named.tensor.shape().rank() == 4;
    EXPECT_EQ(named.tensor.requires_grad(), !is_convolution) << named.name;
  }
}

TEST_F(FreezeTest, TrainsTheGroupsFromTheGivenOneOn) {
  freeze_to(model_, adam_, 1);
  for (const NamedTensor& named : model_.parameters()) {
    const bool early = named.name.starts_with("conv1") || named.name.starts_with("layer1") || named.name.starts_with("layer2");
    EXPECT_EQ(named.tensor.requires_grad(), !(early && named.tensor.shape().rank() == 4)) << named.name;
  }
}

TEST_F(FreezeTest, IsUndoneByUnfreeze) {
  freeze(model_, adam_);
  unfreeze(model_, adam_);
  EXPECT_EQ(trained().size(), 66u);
}

TEST_F(FreezeTest, ForgetsGradientsAndTheOptimizersState) {
  for (NamedTensor named : model_.parameters()) named.tensor.set_grad(full(named.tensor.shape(), 1, DType::f32, named.tensor.device()));
  adam_.step({.lr = {1e-3, 1e-3, 1e-3}, .momentum = 0.9});
  EXPECT_EQ(adam_.state()[0].steps(), 1);
  freeze(model_, adam_);
  for (const AdamSlot& slot : adam_.state()) {
    EXPECT_FALSE(slot.step) << slot.name;
    EXPECT_FALSE(slot.m) << slot.name;
  }
  for (const NamedTensor& named : model_.parameters()) EXPECT_FALSE(named.tensor.grad()) << named.name;
}

TEST_F(FreezeTest, RefusesAMissingGroup) {
  EXPECT_THROW(freeze_to(model_, adam_, 3), Error);
  EXPECT_THROW(freeze_to(model_, adam_, -4), Error);
}

}  // namespace
}  // namespace mirilla::nn
