// SPDX-License-Identifier: MIT
// The other operations of a training step: loss and optimizer.
#include "tests/kernels/cpu/support.h"

namespace mirilla::test {
namespace {

class CpuStep : public CpuTest {};
INSTANTIATE_TEST_SUITE_P(EveryWay, CpuStep, every_way(), case_name);

TEST_P(CpuStep, SoftmaxAndCrossEntropyAgreeWithTheReference) {
  for (const Shape& shape : {Shape{0, 6}, Shape{1, 1}, Shape{1, 2}, Shape{32, 6}, Shape{33, 1000}}) {
    const Floats logits = random(shape, 1, -30.f, 30.f);
    const Doubles wide = widened(logits);
    Array<int64_t> targets({shape[0]});
    for (int64_t n = 0; n < shape[0]; ++n) targets.values[static_cast<size_t>(n)] = (n * 7) % shape[1];
    Floats y = poisoned(shape), losses = poisoned({shape[0]}), dlogits = poisoned(shape), alone = poisoned({shape[0]});
    Doubles want_y(shape), want_losses({shape[0]}), want_dlogits(shape);
    cpu_.run(op::Softmax{logits.view(), y.view()});
    reference_.run(op::Softmax{wide.view(), want_y.view()});
    expect_close(y, want_y, 1e-7, 1.0);
    cpu_.run(op::CrossEntropy{logits.view(), std::as_const(targets).view(), losses.view(), dlogits.view()});
    reference_.run(op::CrossEntropy{wide.view(), std::as_const(targets).view(), want_losses.view(), want_dlogits.view()});
    expect_close(losses, want_losses, 1e-7, 60.0);
    expect_close(dlogits, want_dlogits, 1e-6, 1.0);
    cpu_.run(op::CrossEntropy{logits.view(), std::as_const(targets).view(), alone.view(), {}});
    expect_same_bits(alone, losses);
  }
}

TEST_P(CpuStep, LogitsThatWouldOverflowGiveFiniteLosses) {
  Floats logits({2, 3});
  logits.values = {1000.f, -1000.f, 0.f, 3e38f, 0.f, -3e38f};
  Array<int64_t> targets({2});
  targets.values = {0, 0};
  Floats losses = poisoned({2}), dlogits = poisoned({2, 3});
  cpu_.run(op::CrossEntropy{logits.view(), std::as_const(targets).view(), losses.view(), dlogits.view()});
  EXPECT_EQ(losses.values, (std::vector<float>{0.f, 0.f}));
  EXPECT_EQ(dlogits.values, std::vector<float>(6, 0.f));
}

/// Parameters of several sizes, some larger than a thread's piece, and their moments.
template <class T>
struct Parameters {
  std::vector<Array<T>> parameter, gradient, m, v;
  std::vector<Array<int64_t>> steps;

  explicit Parameters(const std::vector<Floats>& initial) {
    for (const Floats& p : initial) {
      parameter.emplace_back(p.shape);
      std::copy(p.values.begin(), p.values.end(), parameter.back().values.begin());
      gradient.emplace_back(p.shape);
      m.emplace_back(p.shape);
      v.emplace_back(p.shape);
      steps.emplace_back(Shape{1}, static_cast<int64_t>(steps.size()));  // each at a different step
    }
  }
  void step(Backend& backend, int64_t t) {
    std::vector<AdamTensor> tensors;
    for (size_t i = 0; i < parameter.size(); ++i) {
      const Floats g = random(parameter[i].shape, 100 * static_cast<uint64_t>(t) + i);
      std::copy(g.values.begin(), g.values.end(), gradient[i].values.begin());
      tensors.push_back({.parameter = parameter[i].view(),
                         .gradient = std::as_const(gradient[i]).view(),
                         .m = m[i].view(),
                         .v = v[i].view(),
                         .learning_rate = 1e-3 * static_cast<double>(i + 1),
                         .weight_decay = i % 2 == 0 ? 0.01 : 0.0,
                         .step = steps[i].view()});
    }
    backend.run(op::Adam{tensors, {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-5}, {}});
  }
};

TEST_P(CpuStep, TenStepsOfAdamOnManyTensorsAgreeWithTheReference) {
  std::vector<Floats> initial;
  for (const Shape& shape : {Shape{1}, Shape{0}, Shape{33}, Shape{64, 3, 3, 17}, Shape{20000}, Shape{256, 1, 1, 150}}) {
    initial.push_back(random(shape, initial.size()));
  }
  Parameters<float> got(initial);
  Parameters<double> want(initial);
  for (int64_t t = 1; t <= 10; ++t) {
    got.step(cpu_, t);
    want.step(reference_, t);
  }
  for (size_t i = 0; i < initial.size(); ++i) {
    expect_close(got.parameter[i], want.parameter[i], 1e-6, 1.0);
    expect_close(got.m[i], want.m[i], 1e-6, 1.0);
    expect_close(got.v[i], want.v[i], 1e-6, 1.0);
    EXPECT_EQ(got.steps[i].values[0], 10 + static_cast<int64_t>(i));
  }
}

TEST_P(CpuStep, AnEmptyListOfTensorsIsNoStep) { EXPECT_NO_THROW(cpu_.run(op::Adam{{}, {}, {}})); }

}  // namespace
}  // namespace mirilla::test
