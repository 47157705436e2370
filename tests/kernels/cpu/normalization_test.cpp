// SPDX-License-Identifier: MIT
#include "kernels/host/threads.h"
#include "tests/kernels/cpu/support.h"

namespace mirilla::test {
namespace {

class CpuBatchNorm : public CpuTest {
 protected:
  /// (N,H,W,C) and (N,C), odd and round, one row, more channels than a tile.
  static std::vector<Shape> shapes() {
    return {{2, 1},        {2, 3},        {31, 33},        {32, 1024},      {33, 1030},
            {1, 3, 3, 17}, {4, 8, 8, 64}, {32, 4, 4, 128}, {8, 32, 32, 64}, {3, 31, 29, 5}};
  }
};
INSTANTIATE_TEST_SUITE_P(EveryWay, CpuBatchNorm, every_way(), case_name);

/// Mean, inverse deviation and running statistics of one batch.
template <class T>
struct Statistics {
  Array<T> mean, inv_std, running_mean, running_var;

  explicit Statistics(int64_t c) : mean({c}), inv_std({c}), running_mean({c}, T(0.25)), running_var({c}, T(2)) {}
  void compute(Backend& backend, const Array<T>& x) {
    backend.run(op::BatchNormStatistics{.x = x.view(),
                                        .mean = mean.view(),
                                        .inv_std = inv_std.view(),
                                        .running_mean = running_mean.view(),
                                        .running_var = running_var.view()});
  }
};

TEST_P(CpuBatchNorm, StatisticsAgreeWithTheReference) {
  for (const Shape& shape : shapes()) {
    const Floats x = random(shape, 1, -1.f, 3.f);
    Statistics<float> got(shape[-1]);
    Statistics<double> want(shape[-1]);
    got.compute(cpu_, x);
    want.compute(reference_, widened(x));
    expect_close(got.mean, want.mean, 1e-6, 3.0);
    expect_close(got.inv_std, want.inv_std, 2e-6);
    expect_close(got.running_mean, want.running_mean, 1e-6, 1.0);
    expect_close(got.running_var, want.running_var, 1e-6);
  }
}

TEST_P(CpuBatchNorm, AMeanFarFromZeroCostsNoDigitsOfTheDeviation) {
  const Floats x = random({16, 9, 9, 33}, 2, 9999.f, 10001.f);
  Statistics<float> got(33);
  Statistics<double> want(33);
  got.compute(cpu_, x);
  want.compute(reference_, widened(x));
  expect_close(got.mean, want.mean, 1e-7);
  expect_close(got.inv_std, want.inv_std, 1e-5);
}

TEST_P(CpuBatchNorm, AnOutlierInTheFirstRowCostsNoDigitsOfTheDeviation) {
  Floats x = random({64, 8, 8, 16}, 2);
  for (size_t c = 0; c < 16; ++c) x.values[c] = 300.f;
  Statistics<float> got(16);
  Statistics<double> want(16);
  got.compute(cpu_, x);
  want.compute(reference_, widened(x));
  expect_close(got.inv_std, want.inv_std, 1e-5);
}

TEST_P(CpuBatchNorm, RunningStatisticsMayBeAbsent) {
  const Floats x = random({4, 3, 3, 8}, 3);
  Statistics<float> with(8), without(8);
  with.compute(cpu_, x);
  cpu_.run(op::BatchNormStatistics{
      .x = x.view(), .mean = without.mean.view(), .inv_std = without.inv_std.view(), .running_mean = {}, .running_var = {}});
  expect_same_bits(with.mean, without.mean);
  expect_same_bits(with.inv_std, without.inv_std);
}

/// The operands of one batch norm.
struct Operands {
  Floats x, dy, residual, mean, inv_std, weight, bias;

  explicit Operands(const Shape& shape)
      : x(random(shape, 1)),
        dy(random(shape, 2)),
        residual(random(shape, 3)),
        mean(random({shape[-1]}, 4, -0.2f, 0.2f)),
        inv_std(random({shape[-1]}, 5, 1.f, 3.f)),
        weight(random({shape[-1]}, 6)),
        bias(random({shape[-1]}, 7)) {}

  op::BatchNormApply apply(bool with_residual, bool relu, Floats& y, Floats* normalized) const {
    return {.x = x.view(),
            .mean = mean.view(),
            .inv_std = inv_std.view(),
            .weight = weight.view(),
            .bias = bias.view(),
            .residual = with_residual ? residual.view() : ConstView{},
            .relu = relu,
            .y = y.view(),
            .normalized = normalized ? normalized->view() : View{}};
  }
};

/// The reference's result, step by step.
Doubles reference_apply(ReferenceBackend& reference, const Operands& o, bool residual, bool relu) {
  const Doubles x = widened(o.x), mean = widened(o.mean), inv_std = widened(o.inv_std), weight = widened(o.weight), bias = widened(o.bias);
  Doubles y(o.x.shape);
  reference.run(op::BatchNormApply{.x = x.view(),
                                   .mean = mean.view(),
                                   .inv_std = inv_std.view(),
                                   .weight = weight.view(),
                                   .bias = bias.view(),
                                   .residual = {},
                                   .relu = false,
                                   .y = y.view(),
                                   .normalized = {}});
  const Doubles r = widened(o.residual);
  if (residual) reference.run(op::Add{std::as_const(y).view(), r.view(), y.view()});
  if (relu) reference.run(op::Relu{std::as_const(y).view(), y.view()});
  return y;
}

TEST_P(CpuBatchNorm, ApplyWithResidualAndReluIsTheThreeStepsInOne) {
  for (const Shape& shape : shapes()) {
    const Operands o(shape);
    for (const bool residual : {false, true}) {
      for (const bool relu : {false, true}) {
        Floats y = poisoned(shape);
        cpu_.run(o.apply(residual, relu, y, nullptr));
        expect_close(y, reference_apply(reference_, o, residual, relu), 1e-6, 3.0);
      }
    }
  }
}

TEST_P(CpuBatchNorm, WatchingChangesNoBit) {
  for (const Shape& shape : shapes()) {
    const Operands o(shape);
    Floats plain = poisoned(shape);
    cpu_.run(o.apply(false, false, plain, nullptr));
    for (const bool residual : {false, true}) {
      Floats alone = poisoned(shape), watched = poisoned(shape), normalized = poisoned(shape);
      cpu_.run(o.apply(residual, true, alone, nullptr));
      cpu_.run(o.apply(residual, true, watched, &normalized));
      expect_same_bits(alone, watched);
      expect_same_bits(normalized, plain);
    }
  }
}

/// Gradients of one batch norm.
struct Gradients {
  Floats dx, dresidual, dweight, dbias;
  explicit Gradients(const Shape& s) : dx(poisoned(s)), dresidual(poisoned(s)), dweight(poisoned({s[-1]})), dbias(poisoned({s[-1]})) {}
};

op::BatchNormBackward backward_call(const Operands& o, const Floats& y, bool relu, bool training) {
  return {.dy = o.dy.view(),
          .x = o.x.view(),
          .mean = o.mean.view(),
          .inv_std = o.inv_std.view(),
          .weight = o.weight.view(),
          .y = relu ? y.view() : ConstView{},
          .relu = relu,
          .training = training,
          .dx = {},
          .dresidual = {},
          .dweight = {},
          .dbias = {}};
}

void expect_reference_gradients(ReferenceBackend& reference, const Operands& o, const Floats& y, bool relu, bool training,
                                const Gradients& got) {
  Doubles g = widened(o.dy), dx(o.x.shape), dweight(o.mean.shape), dbias(o.mean.shape), scale(o.mean.shape);
  const Doubles wide_y = widened(y);
  if (relu) reference.run(op::ReluBackward{std::as_const(g).view(), wide_y.view(), g.view()});
  const Doubles x = widened(o.x), mean = widened(o.mean), inv_std = widened(o.inv_std), weight = widened(o.weight);
  reference.run(op::BatchNormBackward{.dy = std::as_const(g).view(),
                                      .x = x.view(),
                                      .mean = mean.view(),
                                      .inv_std = inv_std.view(),
                                      .weight = weight.view(),
                                      .y = {},
                                      .relu = false,
                                      .training = training,
                                      .dx = dx.view(),
                                      .dresidual = {},
                                      .dweight = dweight.view(),
                                      .dbias = dbias.view()});
  const Doubles sizes_of = magnitudes(g);
  reference.run(op::SumRows{sizes_of.view(), scale.view()});  // sizes of dbias' terms; those of dweight are at most 4 times larger
  expect_close(got.dbias, dbias, 1e-6, &scale);
  for (double& s : scale.values) s *= 4;
  expect_close(got.dweight, dweight, 1e-6, &scale);
  expect_close(got.dx, dx, 1e-6, 12.0);
  expect_close(got.dresidual, g, 0);
}

TEST_P(CpuBatchNorm, BackwardAgreesWithTheReference) {
  for (const Shape& shape : shapes()) {
    const Operands o(shape);
    Floats y = poisoned(shape);
    cpu_.run(o.apply(true, true, y, nullptr));
    for (const bool relu : {false, true}) {
      for (const bool training : {false, true}) {
        Gradients got(shape);
        op::BatchNormBackward call = backward_call(o, y, relu, training);
        call.dx = got.dx.view();
        call.dresidual = got.dresidual.view();
        call.dweight = got.dweight.view();
        call.dbias = got.dbias.view();
        cpu_.run(call);
        expect_reference_gradients(reference_, o, y, relu, training, got);
      }
    }
  }
}

TEST_P(CpuBatchNorm, GradientsThatNobodyWantsChangeNoneOfTheOthers) {
  const Shape shape{8, 9, 9, 40};
  const Operands o(shape);
  Floats y = poisoned(shape);
  cpu_.run(o.apply(true, true, y, nullptr));
  Gradients all(shape), one(shape);
  op::BatchNormBackward call = backward_call(o, y, true, true);
  call.dx = all.dx.view();
  call.dresidual = all.dresidual.view();
  call.dweight = all.dweight.view();
  call.dbias = all.dbias.view();
  cpu_.run(call);
  for (View op::BatchNormBackward::*wanted :
       {&op::BatchNormBackward::dx, &op::BatchNormBackward::dresidual, &op::BatchNormBackward::dweight, &op::BatchNormBackward::dbias}) {
    op::BatchNormBackward only = backward_call(o, y, true, true);
    Floats Gradients::*field = wanted == &op::BatchNormBackward::dx          ? &Gradients::dx
                               : wanted == &op::BatchNormBackward::dresidual ? &Gradients::dresidual
                               : wanted == &op::BatchNormBackward::dweight   ? &Gradients::dweight
                                                                             : &Gradients::dbias;
    only.*wanted = (one.*field).view();
    cpu_.run(only);
    expect_same_bits(one.*field, all.*field);
  }
}

TEST_P(CpuBatchNorm, SumsHaveTheSameBitsForAnyNumberOfThreads) {
  const Floats x = random({16, 20, 20, 48}, 8);
  Statistics<float> here(48), other(48);
  here.compute(cpu_, x);
  set_host_threads(3);
  other.compute(cpu_, x);
  expect_same_bits(here.mean, other.mean);
  expect_same_bits(here.inv_std, other.inv_std);
}

TEST_P(CpuBatchNorm, AnEmptyBatchHasNoGradients) {
  const Shape shape{0, 4, 4, 8};
  const Operands o(shape);
  Floats y(shape);
  cpu_.run(o.apply(true, true, y, nullptr));
  Gradients got(shape);
  op::BatchNormBackward call = backward_call(o, y, true, true);
  call.dx = got.dx.view();
  call.dweight = got.dweight.view();
  call.dbias = got.dbias.view();
  cpu_.run(call);
  for (size_t c = 0; c < 8; ++c) {
    EXPECT_EQ(got.dweight.values[c], 0.f);
    EXPECT_EQ(got.dbias.values[c], 0.f);
  }
}

}  // namespace
}  // namespace mirilla::test
