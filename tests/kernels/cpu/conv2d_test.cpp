// SPDX-License-Identifier: MIT
#include "kernels/cpu/products.h"
#include "tests/kernels/cpu/support.h"

namespace mirilla::test {
namespace {

class CpuProducts : public CpuTest {};
// The loops of other instruction sets matter only without oneDNN; the sweep is the same.
INSTANTIATE_TEST_SUITE_P(EveryWay, CpuProducts, every_way(), case_name);

/// One convolution: (N,H,W,C) with (K,R,R,C).
struct Case {
  int64_t n, extent, channels, outputs, kernel;
  Conv2dSpec spec;

  int64_t out() const { return (extent + 2 * spec.padding - spec.dilation * (kernel - 1) - 1) / spec.stride + 1; }
  Shape x() const { return {n, extent, extent, channels}; }
  Shape w() const { return {outputs, kernel, kernel, channels}; }
  Shape y() const { return {n, out(), out(), outputs}; }
};

std::vector<Case> cases() {
  const Conv2dSpec same{.stride = 1, .padding = 1, .dilation = 1}, half{.stride = 2, .padding = 1, .dilation = 1};
  return {
      {2, 32, 3, 64, 7, {.stride = 2, .padding = 3, .dilation = 1}},  // the stem
      {2, 8, 64, 64, 3, same},
      {2, 8, 64, 128, 3, half},
      {2, 8, 64, 128, 1, {.stride = 2, .padding = 0, .dilation = 1}},
      {1, 4, 128, 256, 3, half},
      {1, 4, 256, 256, 3, same},
      {3, 9, 5, 7, 3, same},
      {3, 9, 33, 31, 3, half},
      {1, 11, 2, 3, 3, {.stride = 1, .padding = 2, .dilation = 2}},
      {2, 10, 16, 1, 1, {.stride = 1, .padding = 0, .dilation = 1}},
      {1, 5, 1, 1, 5, {.stride = 1, .padding = 0, .dilation = 1}},
      {2, 12, 8, 16, 3, {.stride = 3, .padding = 0, .dilation = 1}},
      {8, 3, 256, 272, 3, same},  // few pixels, many channels: oneDNN uses its blocked layouts
      {0, 8, 4, 6, 3, same},
  };
}

TEST_P(CpuProducts, ConvolutionAgreesWithTheReference) {
  for (const Case& c : cases()) {
    const Floats x = random(c.x(), 1), w = random(c.w(), 2), bias = random({c.outputs}, 3);
    const Doubles dx = widened(x), dw = widened(w), dbias = widened(bias);
    const Doubles ax = magnitudes(dx), aw = magnitudes(dw), abias = magnitudes(dbias);
    for (const bool with_bias : {false, true}) {
      Floats y = poisoned(c.y());
      Doubles want(c.y()), scale(c.y());
      cpu_.run(op::Conv2d{x.view(), w.view(), with_bias ? bias.view() : ConstView{}, c.spec, y.view()});
      reference_.run(op::Conv2d{dx.view(), dw.view(), with_bias ? dbias.view() : ConstView{}, c.spec, want.view()});
      reference_.run(op::Conv2d{ax.view(), aw.view(), with_bias ? abias.view() : ConstView{}, c.spec, scale.view()});
      expect_close(y, want, 1e-6, &scale);
    }
  }
}

TEST_P(CpuProducts, ConvolutionGradientsAgreeWithTheReference) {
  for (const Case& c : cases()) {
    const Floats x = random(c.x(), 1), w = random(c.w(), 2), dy = random(c.y(), 3);
    const Doubles wx = widened(x), ww = widened(w), wdy = widened(dy);
    const Doubles ax = magnitudes(wx), aw = magnitudes(ww), ady = magnitudes(wdy);
    Floats dx = poisoned(c.x()), dw = poisoned(c.w());
    Doubles want_dx(c.x()), want_dw(c.w()), scale_dx(c.x()), scale_dw(c.w());
    cpu_.run(op::Conv2dBackwardData{dy.view(), w.view(), c.spec, dx.view()});
    reference_.run(op::Conv2dBackwardData{wdy.view(), ww.view(), c.spec, want_dx.view()});
    reference_.run(op::Conv2dBackwardData{ady.view(), aw.view(), c.spec, scale_dx.view()});
    expect_close(dx, want_dx, 1e-6, &scale_dx);
    cpu_.run(op::Conv2dBackwardWeight{x.view(), dy.view(), c.spec, dw.view()});
    reference_.run(op::Conv2dBackwardWeight{wx.view(), wdy.view(), c.spec, want_dw.view()});
    reference_.run(op::Conv2dBackwardWeight{ax.view(), ady.view(), c.spec, scale_dw.view()});
    expect_close(dw, want_dw, 1e-6, &scale_dw);
  }
}

TEST_P(CpuProducts, FusedConvolutionIsTheThreeStepsInOne) {
  for (const Case& c : cases()) {
    const Floats x = random(c.x(), 1), w = random(c.w(), 2), bias = random({c.outputs}, 3), residual = random(c.y(), 4);
    for (const bool with_residual : {false, true}) {
      for (const bool relu : {false, true}) {
        Floats y = poisoned(c.y()), want = poisoned(c.y());
        cpu_.run(op::Conv2d{x.view(), w.view(), bias.view(), c.spec, want.view()});
        if (with_residual) cpu_.run(op::Add{want.view(), residual.view(), want.view()});
        if (relu) cpu_.run(op::Relu{want.view(), want.view()});
        cpu_.run(op::Conv2dBiasAddRelu{.x = x.view(),
                                       .w = w.view(),
                                       .bias = bias.view(),
                                       .residual = with_residual ? residual.view() : ConstView{},
                                       .relu = relu,
                                       .spec = c.spec,
                                       .y = y.view()});
        expect_close(y, widened(want), 1e-6, 30.0);
      }
    }
  }
}

TEST_P(CpuProducts, MatmulAgreesWithTheReferenceInAllFourWays) {
  for (const auto& [m, n, k] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {2, 31, 33}, {32, 6, 512}, {32, 512, 1024}, {0, 3, 4}, {5, 4, 0}}) {
    for (const bool ta : {false, true}) {
      for (const bool tb : {false, true}) {
        const MatmulSpec spec{.transpose_a = ta, .transpose_b = tb};
        const Floats a = random(ta ? Shape{k, m} : Shape{m, k}, 1), b = random(tb ? Shape{n, k} : Shape{k, n}, 2);
        const Doubles wa = widened(a), wb = widened(b), aa = magnitudes(wa), ab = magnitudes(wb);
        Floats y = poisoned({m, n});
        Doubles want({m, n}), scale({m, n});
        cpu_.run(op::Matmul{a.view(), b.view(), spec, y.view()});
        reference_.run(op::Matmul{wa.view(), wb.view(), spec, want.view()});
        reference_.run(op::Matmul{aa.view(), ab.view(), spec, scale.view()});
        expect_close(y, want, 1e-6, &scale);
      }
    }
  }
}

TEST_P(CpuProducts, TheSameCallGivesTheSameBits) {
  const Case c{4, 16, 64, 64, 3, {.stride = 1, .padding = 1, .dilation = 1}};
  const Floats x = random(c.x(), 1), w = random(c.w(), 2), dy = random(c.y(), 3);
  Floats first = poisoned(c.w()), again = poisoned(c.w()), y1 = poisoned(c.y()), y2 = poisoned(c.y());
  for (Floats* dw : {&first, &again}) cpu_.run(op::Conv2dBackwardWeight{x.view(), dy.view(), c.spec, dw->view()});
  expect_same_bits(first, again);
  for (Floats* y : {&y1, &y2}) cpu_.run(op::Conv2d{x.view(), w.view(), {}, c.spec, y->view()});
  expect_same_bits(y1, y2);
}

ConstView stamped(const Floats& w, uint64_t storage_id, uint64_t version) {
  ConstView view = w.view();
  view.storage_id = storage_id;
  view.version = version;
  return view;
}

TEST_P(CpuProducts, ANewVersionOfTheWeightsIsNoticed) {
  const Case c{2, 8, 64, 64, 3, {.stride = 1, .padding = 1, .dilation = 1}};
  const Floats x = random(c.x(), 1);
  Floats w = random(c.w(), 2), y = poisoned(c.y()), dx = poisoned(c.x());
  for (uint64_t version = 5; version < 8; ++version) {
    w = random(c.w(), 100 + version);
    const Doubles wx = widened(x), ww = widened(w);
    Doubles want(c.y()), want_dx(c.x());
    cpu_.run(op::Conv2d{x.view(), stamped(w, 11, version), {}, c.spec, y.view()});
    reference_.run(op::Conv2d{wx.view(), ww.view(), {}, c.spec, want.view()});
    expect_close(y, want, 1e-6, 300.0);
    cpu_.run(op::Conv2dBackwardData{x.view(), stamped(w, 11, version), c.spec, dx.view()});
    reference_.run(op::Conv2dBackwardData{wx.view(), ww.view(), c.spec, want_dx.view()});
    expect_close(dx, want_dx, 1e-6, 300.0);
  }
}

/// Runs one convolution forward with these weights on a Products of its own.
void run(cpu::Products& products, const Case& c, const ConstView& w) {
  const Floats x = random(c.x(), 1);
  Floats y = poisoned(c.y());
  products.conv2d({.x = x.view(), .w = w, .bias = {}, .residual = {}, .relu = false, .spec = c.spec, .y = y.view()});
}

TEST(CpuWeights, AreReorderedOnceAVersionAndDroppedWithTheirStorage) {
  cpu::Products products;
  const Case c{2, 8, 64, 64, 3, {.stride = 1, .padding = 1, .dilation = 1}};
  const Floats w = random(c.w(), 2);
  run(products, c, stamped(w, 21, 1));
  const auto first = products.statistics();
  run(products, c, stamped(w, 21, 1));
  EXPECT_EQ(products.statistics().reorders, first.reorders);
  run(products, c, stamped(w, 21, 2));
  EXPECT_EQ(products.statistics().reorders, 2 * first.reorders);
  EXPECT_EQ(products.statistics().kept_weights, first.kept_weights) << "a new version takes the old one's place";
  run(products, c, stamped(w, 0, 0));
  EXPECT_EQ(products.statistics().kept_weights, first.kept_weights) << "a storage id of 0 is not kept";
  products.forget(22);
  EXPECT_EQ(products.statistics().kept_weights, first.kept_weights) << "another storage's end is no concern";
  products.forget(21);
  EXPECT_EQ(products.statistics().kept_weights, 0);
  EXPECT_EQ(products.statistics().kept_bytes, 0);
}

TEST(CpuWeights, KeptOnesAreBounded) {
  cpu::Products products;
  const Case c{1, 4, 64, 64, 3, {.stride = 1, .padding = 1, .dilation = 1}};
  const Floats w = random(c.w(), 2);
  for (uint64_t storage = 1; storage <= 600; ++storage) run(products, c, stamped(w, storage, 1));
  EXPECT_LE(products.statistics().kept_weights, 512);
}

TEST(CpuWeights, ViewsOfOneStorageAreToldApart) {
  CpuBackend cpu;
  const Case c{1, 8, 64, 64, 3, {.stride = 1, .padding = 1, .dilation = 1}};
  const Floats x = random(c.x(), 1), a = random(c.w(), 2), b = random(c.w(), 3);
  Floats ya = poisoned(c.y()), yb = poisoned(c.y()), want = poisoned(c.y());
  cpu.run(op::Conv2d{x.view(), stamped(a, 31, 1), {}, c.spec, ya.view()});
  cpu.run(op::Conv2d{x.view(), stamped(b, 31, 1), {}, c.spec, yb.view()});
  cpu.run(op::Conv2d{x.view(), b.view(), {}, c.spec, want.view()});
  expect_same_bits(yb, want);
}

}  // namespace
}  // namespace mirilla::test
