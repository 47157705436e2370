// SPDX-License-Identifier: MIT
#include "engine/tape.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/amp/grad_scaler.h"
#include "engine/ops/add.h"
#include "engine/ops/reductions.h"
#include "engine/ops/relu.h"
#include "kernels/devices.h"
#include "tests/engine/scale.h"

namespace mirilla {
namespace {

using Doubles = std::vector<double>;
using Names = std::vector<std::string>;

class Tape : public ::testing::Test {
 protected:
  Tensor tensor(const Doubles& values) { return from_host(values, {static_cast<int64_t>(values.size())}, device_); }
  Tensor leaf(const Doubles& values) {
    Tensor x = tensor(values);
    x.set_requires_grad();
    return x;
  }
  Tensor ones_like(const Tensor& x) { return full(x.shape(), 1, x.dtype(), x.device()); }

  /// y = sum of the inputs, noting when its backward runs.
  Tensor traced(const std::string& name, std::initializer_list<Tensor> inputs) {
    Tensor y = inputs.begin()->clone();
    for (auto input = inputs.begin() + 1; input != inputs.end(); ++input) y.backend().run(op::Add{y, *input, y});
    return tape::record(name, inputs, y, [this, name, count = inputs.size()](const Tensor& dy) {
      ran_.push_back(name);
      return tape::Gradients(count, dy);
    });
  }

  Device& device_ = open_device("reference");
  Names ran_;
};

TEST_F(Tape, RunsEachNodeOnceAndAfterAllThatUseIt) {
  const Tensor x = leaf({1});
  const Tensor a = traced("a", {x});
  const Tensor b = traced("b", {a});
  const Tensor c = traced("c", {b});
  const Tensor short_arm = traced("short", {a});
  const Tensor joined = traced("joined", {short_arm, c, a});
  tape::backward(joined);
  EXPECT_EQ(ran_, (Names{"joined", "short", "c", "b", "a"}));
  EXPECT_EQ(x.grad().item(), 3);
}

TEST_F(Tape, AddsUpOverEveryPathOfALadderOfDiamonds) {
  const Tensor x = leaf({1});
  Tensor y = x;
  for (int i = 0; i < 20; ++i) y = add(y, y);
  tape::backward(y);
  EXPECT_EQ(x.grad().item(), 1 << 20) << "2^20 paths, 20 nodes";
}

TEST_F(Tape, FreesWhatItHasUsed) {
  const Tensor x = leaf({1, -2, 3});
  std::weak_ptr<Storage> saved;
  Tensor loss;
  {
    const Tensor y = relu(x);
    saved = y.storage();
    loss = sum(y);
  }
  EXPECT_FALSE(saved.expired()) << "relu keeps its output for the backward pass";
  tape::backward(loss);
  EXPECT_TRUE(saved.expired());
  EXPECT_EQ(x.grad().to_doubles(), (Doubles{1, 0, 1}));
}

TEST_F(Tape, FreesASubgraphThatNobodyHoldsWithoutBackward) {
  const Tensor x = leaf({1});
  std::weak_ptr<Storage> saved;
  {
    const Tensor y = relu(x);
    saved = y.storage();
  }
  EXPECT_TRUE(saved.expired());
}

TEST_F(Tape, RefusesASecondBackwardUnlessTheFirstRetained) {
  const Tensor x = leaf({2});
  const Tensor once = scale(x, 3);
  tape::backward(once);
  try {
    tape::backward(once);
    FAIL() << "a freed graph went through backward";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("scale"), std::string::npos) << error.what();
    EXPECT_FALSE(error.hint().empty());
  }
  EXPECT_EQ(x.grad().item(), 3) << "the refused backward left something";
  const Tensor twice = scale(x, 5);
  tape::backward(twice, {.retain = true});
  tape::backward(twice);
  EXPECT_EQ(x.grad().item(), 3 + 5 + 5);
}

TEST_F(Tape, RefusesToGoThroughAFreedPartOfAnotherGraph) {
  const Tensor x = leaf({2});
  const Tensor shared = relu(x);
  const Tensor first = scale(shared, 2), second = scale(shared, 3);
  tape::backward(first);
  EXPECT_THROW(tape::backward(second), Error);
}

TEST_F(Tape, RecordsNothingUnderNoGradAndAfterwardsAgain) {
  const Tensor x = leaf({1});
  {
    const tape::NoGrad outer;
    {
      const tape::NoGrad inner;
      EXPECT_FALSE(scale(x, 2).requires_grad());
    }
    EXPECT_FALSE(tape::grad_enabled());
    EXPECT_FALSE(scale(x, 2).requires_grad()) << "the inner scope ended the outer one";
  }
  EXPECT_TRUE(tape::grad_enabled());
  EXPECT_TRUE(scale(x, 2).requires_grad());
}

TEST_F(Tape, KeepsNoGradToItsThread) {
  const tape::NoGrad here;
  bool there = false;
  std::thread([&] { there = tape::grad_enabled(); }).join();
  EXPECT_TRUE(there);
}

TEST_F(Tape, KeepsTheGradientThatPassesAWatchedTensor) {
  const Tensor x = leaf({1, -1});
  Tensor middle = scale(x, 2);
  tape::keep_gradient(middle);
  tape::backward(relu(middle), {.seed = tensor({5, 7}), .retain = true});
  EXPECT_EQ(middle.grad().to_doubles(), (Doubles{5, 0}));
  EXPECT_EQ(x.grad().to_doubles(), (Doubles{10, 0}));
  tape::backward(relu(middle), {.seed = tensor({3, 4})});
  EXPECT_EQ(middle.grad().to_doubles(), (Doubles{3, 0})) << "the last one, not their sum";
  EXPECT_EQ(x.grad().to_doubles(), (Doubles{16, 0})) << "a leaf's gradients add up";
}

TEST_F(Tape, KeepsAWatchedGradientEvenUnderNoGradAndWithoutLeaves) {
  const tape::NoGrad no_grad;
  const Tensor input = tensor({1, -1});
  Tensor watched = scale(input, 2);
  tape::keep_gradient(watched);
  const Tensor y = sum(relu(watched));
  tape::backward(y);
  EXPECT_EQ(watched.grad().to_doubles(), (Doubles{1, 0}));
  EXPECT_FALSE(input.grad());
}

TEST_F(Tape, KeepsTheGradientOfTheRootItself) {
  const Tensor x = leaf({1});
  Tensor y = scale(x, 2);
  tape::keep_gradient(y);
  tape::backward(y);
  EXPECT_EQ(y.grad().item(), 1);
  EXPECT_EQ(x.grad().item(), 2);
}

TEST_F(Tape, ComputesOnlyWhatLeadsToItsTargets) {
  const Tensor x = leaf({1}), w = leaf({1});
  const Tensor body = traced("body", {x});
  Tensor features = traced("features", {body});
  tape::keep_gradient(features);
  const Tensor scaled = traced("head", {features, w});
  tape::backward(scaled, {.targets = {features}});
  EXPECT_EQ(ran_, Names{"head"}) << "the body's gradients were not asked for";
  EXPECT_EQ(features.grad().item(), 1);
  EXPECT_FALSE(x.grad());
  EXPECT_FALSE(w.grad());
}

TEST_F(Tape, TellsAnOperatorWhichGradientsAreWanted) {
  const Tensor frozen = tensor({1}), trained = leaf({1});
  std::vector<bool> wanted;
  const Tensor y = tape::record("both", {frozen, trained}, tensor({2}), [&](const Tensor& dy, const tape::Needs& needs) {
    wanted = {needs[0], needs[1]};
    return tape::Gradients{Tensor(), dy};
  });
  tape::backward(y);
  EXPECT_EQ(wanted, (std::vector<bool>{false, true}));
}

TEST_F(Tape, GivesANodeThatAddsItselfTheLastTwoParts) {
  std::vector<std::pair<Doubles, Doubles>> arrived;
  const auto values = [](const Tensor& t) { return t ? t.to_doubles() : Doubles{}; };
  const auto last_two = [&](int arms, bool watched) {
    Tensor x = leaf({5});
    Tensor y = tape::record("in_parts", {x}, x.clone(), [&](tape::Arriving dy, const tape::Needs&) {
      arrived.emplace_back(values(dy.first), values(dy.second));
      return tape::Gradients{std::move(dy).sum()};
    });
    if (watched) tape::keep_gradient(y);
    Tensor sum = scale(y, 1);
    for (int arm = 1; arm < arms; ++arm) sum = add(sum, scale(y, arm + 1));
    tape::backward(sum);
    EXPECT_EQ(x.grad().item(), arms * (arms + 1) / 2.0);
    if (watched) {
      EXPECT_EQ(y.grad().item(), x.grad().item());
    }
  };
  last_two(1, false);
  last_two(2, false);
  last_two(4, false);
  last_two(2, true);
  EXPECT_EQ(arrived, (std::vector<std::pair<Doubles, Doubles>>{{{1}, {}}, {{2}, {1}}, {{9}, {1}}, {{3}, {}}}));
}

TEST_F(Tape, LeavesOutArmsThatLeadToNothingTrainable) {
  const Tensor x = leaf({1}), constant = tensor({1});
  const Tensor arm = traced("constant arm", {constant});
  EXPECT_FALSE(arm.requires_grad());
  tape::backward(traced("joined", {x, arm}));
  EXPECT_EQ(ran_, Names{"joined"});
}

TEST_F(Tape, DoesNotLetOneLeafsGradientChangeAnothers) {
  const Tensor a = leaf({1}), b = leaf({1});
  const Tensor seed = tensor({1});
  tape::backward(add(a, b), {.seed = seed});  // both receive dy itself
  tape::backward(scale(a, 10));
  EXPECT_EQ(a.grad().item(), 11);
  EXPECT_EQ(b.grad().item(), 1);
  EXPECT_EQ(seed.item(), 1);
}

TEST_F(Tape, StartsOnlyAtOneNumberOrWithASeedThatFits) {
  const Tensor x = leaf({1, 2});
  EXPECT_THROW(tape::backward(scale(x, 2)), ShapeError);
  EXPECT_THROW(tape::backward(scale(x, 2), {.seed = tensor({1, 2, 3})}), ShapeError);
  EXPECT_THROW(tape::backward(scale(x, 2), {.seed = ones_like(x).to(DType::f32)}), ShapeError);
  EXPECT_FALSE(x.grad());
  tape::backward(scale(x, 2), {.seed = tensor({1, 10})});
  EXPECT_EQ(x.grad().to_doubles(), (Doubles{2, 20}));
}

TEST_F(Tape, RefusesARootThatWasNotRecorded) {
  EXPECT_THROW(tape::backward(tensor({1})), Error);
  const Tensor x = leaf({1});
  const tape::NoGrad no_grad;
  EXPECT_THROW(tape::backward(scale(x, 2)), Error);
}

TEST_F(Tape, RefusesATargetItDoesNotKnow) {
  const Tensor x = leaf({1});
  EXPECT_THROW(tape::backward(scale(x, 2), {.targets = {tensor({1})}}), Error);
}

TEST_F(Tape, NamesTheOperatorWhoseGradientsAreTooFew) {
  const Tensor x = leaf({1});
  const Tensor y = tape::record("careless", {x, x}, tensor({1}), [](const Tensor& dy) { return tape::Gradients{dy}; });
  try {
    tape::backward(y);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("careless"), std::string::npos) << error.what();
  }
}

TEST_F(Tape, SaysThatASavedTensorWasOverwrittenThroughAnyViewOfIt) {
  const Tensor x = leaf({1, 2, 3});
  const Tensor y = relu(x);
  y.slice(2, 3).fill(0);
  try {
    tape::backward(y, {.seed = ones_like(y)});
    FAIL() << "an overwritten tensor was used";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("overwritten"), std::string::npos) << error.what();
    EXPECT_NE(error.message().find("(3)"), std::string::npos) << error.what();
  }
}

TEST_F(Tape, WalksAndFreesAChainTooLongForTheStack) {
  constexpr int kLength = 200'000;
  const Tensor x = leaf({1});
  {
    Tensor forgotten = x;
    for (int i = 0; i < kLength; ++i) forgotten = scale(forgotten, 1);
  }
  Tensor y = x;
  for (int i = 0; i < kLength; ++i) y = scale(y, 1);
  tape::backward(y);
  EXPECT_EQ(x.grad().item(), 1);
}

TEST_F(Tape, LetsOnlyFloatLeavesRequireAGradient) {
  EXPECT_THROW(zeros({2}, DType::i64, device_).set_requires_grad(), ShapeError);
  Tensor y = scale(leaf({1}), 2);
  EXPECT_THROW(y.set_requires_grad(), Error);
  Tensor x = leaf({1});
  x.set_requires_grad(false);
  EXPECT_FALSE(scale(x, 2).requires_grad());
}

TEST_F(Tape, TakesAGradientByHandIfItFits) {
  Tensor x = leaf({1, 2});
  x.set_grad(tensor({3, 4}));
  EXPECT_EQ(x.grad().to_doubles(), (Doubles{3, 4}));
  EXPECT_THROW(x.set_grad(tensor({3})), ShapeError);
  x.clear_grad();
  EXPECT_FALSE(x.grad());
}

TEST_F(Tape, TakesNoPartInViewsAndCopies) {
  const Tensor x = leaf({1, 2});
  EXPECT_FALSE(x.detach().requires_grad());
  EXPECT_FALSE(x.view({2, 1}).requires_grad());
  EXPECT_FALSE(x.clone().requires_grad());
}

// --- Gradients that a device leaves in halves
// ------------------------------------------------------------------------------------------------

// y = x, and a gradient in halves, as a convolution's weights have it.
Tensor sending_halves(const Tensor& x) {
  return tape::record("sending_halves", {x}, x.detach(), [](const Tensor& dy) { return tape::Gradients{dy.to(DType::f16)}; });
}

constexpr double kThin = 1 + 0x1p-12;  // f32 holds it, f16 does not

class HalfGradient : public ::testing::Test {
 protected:
  Tensor leaf() { return full({2}, 1, DType::f32, open_device("reference")).set_requires_grad(); }
};

TEST_F(HalfGradient, StaysOneAtALeafAndIsReadAsF32) {
  Tensor w = leaf();
  tape::backward(sum(scale(sending_halves(w), kThin)));
  EXPECT_EQ(w.grad_state()->grad.dtype(), DType::f16);
  EXPECT_EQ(amp::gradient_under(w, {}).dtype(), DType::f16);
  EXPECT_EQ(w.grad().dtype(), DType::f32);
  EXPECT_EQ(w.grad().to_doubles(), Doubles(2, 1));
  EXPECT_TRUE(w.grad().is_same_view(w.grad())) << "widened once";
}

TEST_F(HalfGradient, BecomesF32WhereAnotherIsAddedInTheSamePass) {
  for (const bool half_first : {true, false}) {
    Tensor w = leaf();
    const Tensor one = half_first ? scale(w, 0x1p-12) : sending_halves(w), other = half_first ? sending_halves(w) : scale(w, 0x1p-12);
    tape::backward(sum(add(one, other)));
    EXPECT_EQ(w.grad_state()->grad.dtype(), DType::f32);
    EXPECT_EQ(w.grad().to_doubles(), Doubles(2, kThin));
  }
}

TEST_F(HalfGradient, BecomesF32WhereTwoOfThemAreAdded) {
  Tensor w = leaf();
  tape::backward(sum(add(sending_halves(w), scale(sending_halves(w), 0x1p-12))));
  EXPECT_EQ(w.grad().to_doubles(), Doubles(2, kThin));
}

TEST_F(HalfGradient, BecomesF32WhereALaterPassAddsToIt) {
  for (const double factor : {0.0, 1024.0}) {
    Tensor w = leaf();
    for (const double gradient : {1.0, 0x1p-12}) {
      const Tensor state = from_host(std::vector<float>{1024, 1 / 1024.0f, 0, 0}, {kScalerState}, w.device());
      tape::backward(sum(scale(sending_halves(w), gradient)), {.factor = factor == 0 ? nullptr : amp::factor_of(state)});
    }
    EXPECT_EQ(w.grad_state()->grad.dtype(), DType::f32);
    EXPECT_EQ(w.grad().to_doubles(), Doubles(2, kThin)) << factor;
  }
}

TEST_F(HalfGradient, IsWidenedForTheNodeThatMadeTheTensor) {
  Tensor w = leaf();
  Tensor scaled = scale(w, 0.5);
  tape::keep_gradient(scaled);
  DType came = DType::f16;
  const Tensor between = tape::record("between", {scaled}, scaled.detach(), [&](const Tensor& dy) {
    came = dy.dtype();
    return tape::Gradients{dy};
  });
  tape::backward(sum(sending_halves(between)));
  EXPECT_EQ(came, DType::f32);
  EXPECT_EQ(scaled.grad().dtype(), DType::f32);
  EXPECT_EQ(w.grad().to_doubles(), Doubles(2, 0.5));
}

}  // namespace
}  // namespace mirilla
