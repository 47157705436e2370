// SPDX-License-Identifier: MIT
#include "weights/names.h"

#include <cmath>

#include "tests/weights/support.h"
#include "weights/facts.h"

namespace mirilla::weights {
namespace {

StateDict one(const std::string& name, const std::vector<float>& values) {
  StateDict state;
  state.add(name, Array::from<float>({static_cast<int64_t>(values.size())}, values));
  return state;
}

TEST(Spelled, IsTheInverseOfWhatIsRead) {
  StateDict state;
  const std::vector<std::string> ours = {"conv1.weight",  "bn1.running_var", "layer1.0.conv1.weight", "layer2.0.downsample.1.bias",
                                         "head.2.weight", "head.8.weight"};
  for (const std::string& name : ours) state.add(spelled(name, Naming::fastai), Array::from<float>({1}, std::vector<float>{1}));
  EXPECT_EQ(model_names(state), ours);
  EXPECT_EQ(spelled("layer4.1.bn2.bias", Naming::fastai), "0.7.1.bn2.bias");
  EXPECT_EQ(spelled("fc.bias", Naming::torchvision), "fc.bias");
  EXPECT_EQ(spelled("head.8.bias", Naming::ours), "head.8.bias");
  EXPECT_NE(sentence_of([] { spelled("head.8.bias", Naming::torchvision); }).find("no place in torchvision's ResNet"), std::string::npos);
  EXPECT_NE(sentence_of([] { spelled("fc.bias", Naming::fastai); }).find("no place in fastai's"), std::string::npos);
}

TEST(Facts, NormsAreOfTheFiniteValuesAndTheOthersAreCounted) {
  const std::vector<Facts> facts = facts_of(one("bn1.bias", {3, -4, NAN, INFINITY, -INFINITY}));
  ASSERT_EQ(facts.size(), 1u);
  EXPECT_EQ(facts[0].norm, 5);
  EXPECT_EQ(facts[0].largest, 4);
  EXPECT_EQ(facts[0].nan, 1);
  EXPECT_EQ(facts[0].infinite, 2);
}

TEST(Compare, GoesByOurNamesAndCountsNaNsAsEqual) {
  StateDict a = one("module.layer1.0.conv1.weight", {1, NAN});
  a.add("module.bn1.bias", Array::from<float>({2}, std::vector<float>{3, 4}));
  a.add("module.fc.bias", Array::from<float>({1}, std::vector<float>{1}));
  StateDict b = one("layer1.0.conv1.weight", {1, NAN});
  b.add("bn1.bias", Array::from<float>({2}, std::vector<float>{3, 4.5}));
  b.add("bn1.weight", Array::from<float>({1}, std::vector<float>{1}));
  const Comparison comparison = compare(a, b);
  ASSERT_EQ(comparison.both.size(), 2u);
  EXPECT_EQ(comparison.both[0].largest, 0);
  EXPECT_EQ(comparison.both[1].largest, 0.5);
  EXPECT_EQ(comparison.both[1].relative, 0.1);
  EXPECT_EQ(comparison.only_a, std::vector<std::string>{"module.fc.bias"});
  EXPECT_EQ(comparison.only_b, std::vector<std::string>{"bn1.weight"});
  EXPECT_FALSE(comparison.equal());
  EXPECT_TRUE(compare(a, a).equal());
  EXPECT_TRUE(std::isinf(compare(one("w", {1}), one("w", {NAN})).both[0].largest));
  EXPECT_FALSE(compare(one("w", {1}), one("w", {1, 2})).both[0].same_shape);
}

}  // namespace
}  // namespace mirilla::weights
