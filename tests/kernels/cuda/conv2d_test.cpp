// SPDX-License-Identifier: MIT
#include <limits>

#include "kernels/devices.h"
#include "kernels/plans/chosen_plans.h"
#include "kernels/simt/executor.h"
#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaConv2d : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaConv2d, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

// Square pictures and filters; `wider` is how much wider than high the pictures are.
struct Layer {
  int64_t n, h, c, k, r;
  Conv2dSpec spec;
  int64_t wider = 0;

  int64_t out(int64_t in) const { return (in + 2 * spec.padding - spec.dilation * (r - 1) - 1) / spec.stride + 1; }
  Shape x() const { return {n, h, h + wider, c}; }
  Shape w() const { return {k, r, r, c}; }
  Shape y() const { return {n, out(h), out(h + wider), k}; }
  std::string name() const {
    return std::to_string(n) + "x" + std::to_string(h) + "x" + std::to_string(h + wider) + "x" + std::to_string(c) + " to " +
           std::to_string(k) + ", filter " + std::to_string(r) + ", stride " + std::to_string(spec.stride) + ", padding " +
           std::to_string(spec.padding) + ", dilation " + std::to_string(spec.dilation);
  }
};

// Each size at least once with most others: batches, channels and filters around the chunks of 4 and 8 and the tiles of 16, 64 and 128,
// filters larger than the picture, strides that leave pixels unread.
const Layer kLayers[] = {
    {1, 1, 1, 1, 1, {1, 0, 1}},   {2, 5, 3, 2, 3, {1, 1, 1}},     {3, 6, 5, 8, 3, {2, 1, 1}, 1},  {1, 9, 8, 16, 3, {1, 1, 2}},
    {2, 7, 16, 33, 1, {2, 0, 1}}, {1, 8, 31, 1, 3, {2, 0, 1}, 3}, {2, 4, 33, 64, 3, {1, 1, 1}},   {3, 3, 64, 8, 1, {1, 0, 1}},
    {1, 11, 3, 16, 7, {2, 3, 1}}, {2, 10, 8, 8, 3, {2, 3, 2}, 1}, {1, 8, 16, 64, 7, {1, 3, 1}},   {2, 9, 64, 16, 3, {2, 1, 1}, 2},
    {1, 13, 1, 64, 7, {2, 0, 1}}, {2, 2, 8, 24, 3, {1, 1, 1}},    {1, 12, 16, 8, 3, {2, 0, 2}},   {3, 7, 24, 16, 1, {2, 1, 1}, 1},
    {1, 7, 8, 16, 3, {3, 1, 1}},  {1, 9, 16, 8, 3, {3, 2, 2}},    {1, 17, 8, 8, 3, {4, 1, 2}, 2}, {1, 9, 5, 1, 7, {1, 3, 1}},
};

// The distinct convolutions of ResNet18, a quarter of their channels, on pictures of 32 pixels.
const Layer kResNet18[] = {
    {2, 32, 3, 16, 7, {2, 3, 1}},  {2, 8, 16, 16, 3, {1, 1, 1}},  {2, 8, 16, 32, 3, {2, 1, 1}},   {2, 8, 16, 32, 1, {2, 0, 1}},
    {2, 4, 32, 32, 3, {1, 1, 1}},  {2, 4, 32, 64, 3, {2, 1, 1}},  {2, 4, 32, 64, 1, {2, 0, 1}},   {2, 2, 64, 64, 3, {1, 1, 1}},
    {2, 2, 64, 128, 3, {2, 1, 1}}, {2, 2, 64, 128, 1, {2, 0, 1}}, {2, 1, 128, 128, 3, {1, 1, 1}},
};

// Large enough for the largest tiles, in each pass, and for a backward pass in several parts, with the last of them seven.
const Layer kLarge[] = {
    {2, 16, 32, 136, 3, {1, 1, 1}}, {1, 24, 136, 32, 3, {2, 1, 1}}, {2, 24, 16, 128, 3, {1, 1, 1}}, {7, 16, 8, 16, 1, {1, 0, 1}}};

enum class Pass { forward, data, weight };
constexpr Pass kPasses[] = {Pass::forward, Pass::data, Pass::weight};

Case conv(const Layer& z, Pass pass, DType type, DType dw_kind = DType::f64) {
  const Values x = uniform(z.x(), 1), w = uniform(z.w(), 2), dy = uniform(z.y(), 3);
  const Conv2dSpec spec = z.spec;
  Case c;
  if (pass == Pass::forward)
    c = {.name = "conv2d " + z.name(), .in = {x, w}, .out = {room(z.y())}, .run = [spec](Backend& b, auto in, auto out) {
           b.run(op::Conv2d{in[0], in[1], {}, spec, out[0]});
         }};
  else if (pass == Pass::data)
    c = {.name = "conv2d_backward_data " + z.name(), .in = {dy, w}, .out = {room(z.x())}, .run = [spec](Backend& b, auto in, auto out) {
           b.run(op::Conv2dBackwardData{in[0], in[1], spec, out[0]});
         }};
  else
    c = {.name = "conv2d_backward_weight " + z.name(),
         .in = {x, dy},
         .out = {room(z.w(), dw_kind)},
         .run = [spec](Backend& b, auto in, auto out) {
           b.run(op::Conv2dBackwardWeight{in[0], in[1], spec, out[0]});
         }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, type);
  return c;
}

TEST_P(CudaConv2d, EqualsTheReferenceInAllShapes) {
  for (const Layer& z : kLayers) expect_equal_to_reference(conv(z, Pass::forward, GetParam()), GetParam());
}
TEST_P(CudaConv2d, GoesBackToTheDataInAllShapes) {
  for (const Layer& z : kLayers) expect_equal_to_reference(conv(z, Pass::data, GetParam()), GetParam());
}
TEST_P(CudaConv2d, GoesBackToTheWeightsInAllShapes) {
  for (const Layer& z : kLayers) expect_equal_to_reference(conv(z, Pass::weight, GetParam()), GetParam());
}
TEST_P(CudaConv2d, RunsTheLayersOfResNet18) {
  for (const Layer& z : kResNet18)
    for (Pass pass : kPasses) expect_equal_to_reference(conv(z, pass, GetParam()), GetParam());
}
TEST_P(CudaConv2d, UsesLargeTilesToo) {
  for (const Layer& z : kLarge)
    for (Pass pass : kPasses) expect_equal_to_reference(conv(z, pass, GetParam()), GetParam());
}
// The plan by which cuDNN ran it; empty where our own kernel did. `call` is "backward_weight f16 to f32", `more` is what follows the sizes
// in the plan's key, before its rules.
std::string plan_of_cudnn(const Layer& z, const std::string& call, std::string_view more = "") {
  const bool pictures =
      z.c < 4 && call.find("f16") != std::string::npos && !call.starts_with("backward_data");  // given to it with 4 channels
  const int64_t c = pictures ? 4 : z.c;
  const std::string key = fmt::format("\"{} ({},{},{},{}) * ({},{},{},{}) stride {} padding {} dilation {}{}", call, z.n, z.h,
                                      z.h + z.wider, c, z.k, z.r, z.r, c, z.spec.stride, z.spec.padding, z.spec.dilation, more);
  constexpr std::string_view kPlan = "\"plan\": \"";
  const std::string plans = chosen_plans();
  for (const std::string_view rules : {"\"", ", deterministic\""}) {
    const size_t here = plans.find(key + std::string(rules));
    if (here == std::string::npos) continue;
    const size_t plan = plans.find(kPlan, here) + kPlan.size();
    const std::string found = plans.substr(plan, plans.find('"', plan) - plan);
    return found == "own" ? std::string() : found;
  }
  return {};
}

// Whether cuDNN ran it by a plan that works in halves: of a bias in f32 that was rounded before, or of a gradient that was widened after
// (docs/convolutions.md).
bool by_a_rounded_plan(const Layer& z, const std::string& call, std::string_view more = "") {
  return plan_of_cudnn(z, call, more).starts_with("rounded");
}

TEST_P(CudaConv2d, WritesWeightGradientsInF32) {
  for (const Layer& z : {kLayers[1], kLayers[3], kResNet18[1], kLarge[2], kLarge[3], Layer{2, 5, 8, 40, 3, {1, 1, 1}},
                         Layer{2, 5, 8, 41, 3, {1, 1, 1}}, Layer{1, 8, 136, 136, 1, {1, 0, 1}}}) {
    Case c = conv(z, Pass::weight, GetParam(), DType::f32);
    c.rounded_first = [&z] {
      const bool rounded = by_a_rounded_plan(z, fmt::format("backward_weight {} to f32", name_of(GetParam())));
      return rounded ? std::optional(Case::Rounded{GetParam()}) : std::nullopt;
    };
    expect_equal_to_reference(c, GetParam());
  }
}

// The inputs are read by 16 bytes and the result is written element by element, from each size of tile.
TEST_P(CudaConv2d, WritesToASliceThatStartsAnywhere) {
  for (const Layer& z : {Layer{1, 4, 8, 16, 3, {1, 1, 1}}, Layer{2, 5, 8, 40, 3, {1, 1, 1}}, Layer{2, 5, 8, 41, 3, {1, 1, 1}},
                         Layer{2, 16, 8, 136, 1, {1, 0, 1}}, Layer{2, 16, 136, 8, 1, {1, 0, 1}}, Layer{1, 8, 136, 136, 1, {1, 0, 1}}})
    for (const auto& [pass, kind] : {std::pair{Pass::forward, DType::f64}, std::pair{Pass::data, DType::f64},
                                     std::pair{Pass::weight, DType::f64}, std::pair{Pass::weight, DType::f32}}) {
      Case c = conv(z, pass, GetParam(), kind);
      const Shape shape = c.out[0].shape;
      c.out = {room({shape.numel() + 1}, kind)};
      if (kind == DType::f32)
        c.rounded_first = [&z] {
          const bool rounded = by_a_rounded_plan(z, fmt::format("backward_weight {} to f32", name_of(GetParam())));
          return rounded ? std::optional(Case::Rounded{GetParam()}) : std::nullopt;
        };
      c.run = [shape, run = c.run](Backend& b, auto in, auto out) {
        const std::vector<View> outputs{shifted(out[0], shape)};
        run(b, in, outputs);
      };
      c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, GetParam());
      expect_equal_to_reference(c, GetParam());
    }
}

TEST_P(CudaConv2d, OfAnEmptyBatchIsEmptyAndMovesNoWeight) {
  for (const Layer& z : {Layer{0, 8, 8, 16, 3, {2, 1, 1}}, Layer{0, 5, 3, 5, 3, {1, 1, 1}}})
    for (Pass pass : kPasses) expect_equal_to_reference(conv(z, pass, GetParam()), GetParam());
}

// No channels, no filters, no pixels: what is left is the sum of nothing, from each size of tile, whether or not chunks fit.
TEST_P(CudaConv2d, OverNothingIsZero) {
  const std::pair<Pass, std::vector<Layer>> sums[] = {
      {Pass::forward, {{1, 4, 0, 16, 3, {1, 1, 1}}, {2, 5, 0, 16, 3, {1, 1, 1}}, {2, 16, 0, 136, 1, {1, 0, 1}}}},
      {Pass::data, {{1, 4, 16, 0, 3, {1, 1, 1}}, {2, 5, 16, 0, 3, {1, 1, 1}}, {2, 16, 136, 0, 1, {1, 0, 1}}}},
      {Pass::weight, {{0, 4, 16, 16, 3, {1, 1, 1}}, {0, 4, 16, 40, 3, {1, 1, 1}}, {0, 4, 136, 136, 3, {1, 1, 1}}}}};
  for (const auto& [pass, layers] : sums)
    for (const Layer& z : layers)
      for (const bool sliced : {false, true}) {
        Case c = conv(z, pass, GetParam());
        if (sliced)
          c.run = [run = c.run](Backend& b, auto in, auto out) {
            const std::vector<ConstView> inputs{shifted(in[0], in[0].shape), shifted(in[1], in[1].shape)};
            run(b, inputs, out);
          };
        expect_equal_to_reference(c, GetParam());
      }
}

// A pixel that no output reads has gradient 0, and not the old contents of its memory: here every odd row and column, and the last.
TEST_P(CudaConv2d, LeavesUnreadPixelsWithoutGradient) {
  const Layer z{1, 6, 8, 8, 1, {2, 0, 1}};
  const auto dx = run_on(device_under_test(), conv(z, Pass::data, GetParam()), GetParam())[0];
  for (int64_t h = 0; h < 6; ++h)
    for (int64_t w = 0; w < 6; ++w)
      for (int64_t c = 0; c < 8; ++c)
        if (h % 2 == 1 || w % 2 == 1) {
          EXPECT_EQ(dx[static_cast<size_t>((h * 6 + w) * 8 + c)], 0) << h << ", " << w;
        }
}

// Bias in f32, in the values' type or absent, residual and ReLU in each combination, wide and not.
TEST_P(CudaConv2d, AddsBiasAndResidualAndEndsInRelu) {
  for (const Layer& z : {Layer{2, 5, 8, 16, 3, {1, 1, 1}}, Layer{2, 5, 8, 20, 3, {1, 1, 1}}, Layer{1, 6, 3, 7, 3, {2, 1, 1}},
                         Layer{2, 5, 3, 16, 3, {1, 1, 1}}, Layer{2, 5, 3, 15, 3, {1, 1, 1}}, Layer{1, 4, 8, 20, 3, {1, 1, 1}},
                         Layer{1, 4, 8, 16, 3, {1, 1, 1}}, Layer{2, 16, 8, 140, 1, {1, 0, 1}}, Layer{2, 16, 8, 136, 1, {1, 0, 1}}})
    for (int variant = 0; variant < 12; ++variant) {
      const bool relu = variant % 2 == 1, with_residual = variant / 2 % 2 == 1;
      const int bias_kind = variant / 4;
      Case c{.name = "conv2d_bias_add_relu " + z.name() + ", variant " + std::to_string(variant),
             .in = {uniform(z.x(), 1), uniform(z.w(), 2), bias_kind == 1 ? uniform({z.k}, 4) : uniform_f32({z.k}, 4), uniform(z.y(), 5)},
             .out = {room(z.y())},
             .run = [=](Backend& b, auto in, auto out) {
               const ConstView bias = bias_kind == 0 ? ConstView{} : in[2], residual = with_residual ? in[3] : ConstView{};
               if (b.has<op::Conv2dBiasAddRelu>())
                 return b.run(op::Conv2dBiasAddRelu{
                     .x = in[0], .w = in[1], .bias = bias, .residual = residual, .relu = relu, .spec = z.spec, .y = out[0]});
               b.run(op::Conv2d{in[0], in[1], bias, z.spec, out[0]});  // the reference has only the parts, with the same formula
               if (residual) b.run(op::Add{out[0], residual, out[0]});
               if (relu) b.run(op::Relu{out[0], out[0]});
             }};
      c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, GetParam());
      c.rounded_first = [&] {
        const std::string more =
            fmt::format("{}{}{}", bias_kind == 2 ? " + bias f32" : "", with_residual ? " + residual" : "", relu ? ", relu" : "");
        const bool rounded = bias_kind == 2 && by_a_rounded_plan(z, fmt::format("forward {}", name_of(GetParam())), more);
        return rounded ? std::optional(Case::Rounded{GetParam(), true}) : std::nullopt;
      };
      expect_equal_to_reference(c, GetParam());
    }
}

// cuDNN does not promise that its ReLU lets a NaN pass, only that it is no reason for another.
TEST_P(CudaConv2d, PassesNanThroughTheRelu) {
  const Layer z{1, 2, 8, 8, 1, {1, 0, 1}};
  Case c{.name = "conv2d_bias_add_relu of a NaN",
         .in = {uniform(z.x(), 1), uniform(z.w(), 2), uniform(z.y(), 3)},
         .out = {room(z.y())},
         .run = [](Backend& b, auto in, auto out) {
           b.run(op::Conv2dBiasAddRelu{.x = in[0], .w = in[1], .residual = in[2], .relu = true, .y = out[0]});
         }};
  c.in[2].values[11] = std::nan("");
  const auto y = run_on(device_under_test(), c, GetParam())[0];
  const bool promised = plan_of_cudnn(z, fmt::format("forward {}", name_of(GetParam())), " + residual, relu").empty();
  for (size_t i = 0; i < y.size(); ++i) {
    if (promised || i != 11) {
      EXPECT_EQ(std::isnan(y[i]), i == 11) << i;
    }
  }
}

// Padding in the last step of a sum must be 0, and not a value times 0. cuDNN has plans that compute several outputs from common sums, and
// a NaN then reaches all of them.
TEST_P(CudaConv2d, LetsANanReachOnlyWhatSeesIt) {
  for (const Layer& z : {Layer{1, 9, 3, 4, 3, {1, 1, 1}}, Layer{1, 9, 1, 8, 3, {1, 0, 1}}, Layer{1, 9, 8, 8, 3, {1, 1, 1}}}) {
    for (Pass pass : kPasses) {
      Case c = conv(z, pass, GetParam());
      c.in[0].values[c.in[0].values.size() / 2] = std::numeric_limits<double>::quiet_NaN();
      c.magnitudes = [](const auto& want) {  // of sums of at most a hundred products below 1
        auto magnitudes = want;
        for (double& x : magnitudes[0]) x = 100;
        return magnitudes;
      };
      const auto got = run_on(device_under_test(), c, GetParam())[0];
      constexpr std::string_view kNames[] = {"forward", "backward_data", "backward_weight"};
      if (plan_of_cudnn(z, fmt::format("{} {}", kNames[static_cast<size_t>(pass)], name_of(GetParam()))).empty()) {
        expect_equal_to_reference(c, GetParam());
        continue;
      }
      const auto want = run_on(open_device("reference"), c, DType::f64)[0];
      for (size_t i = 0; i < want.size(); ++i) {
        if (std::isnan(want[i])) {
          EXPECT_TRUE(std::isnan(got[i])) << c.name << ", element " << i;
        }
      }
    }
  }
}

// The order of the sums is fixed, whichever thread, block or part of the pixels comes first. cuDNN promises that with
// MIRILLA_DETERMINISTIC=1.
TEST_P(CudaConv2d, DoesNotDependOnTheScheduleNorOnChance) {
  for (const Layer& z : {kLayers[2], kLayers[11], kResNet18[0], kLarge[2]})
    for (Pass pass : kPasses) {
      const Case c = conv(z, pass, GetParam());
      const auto want = run_on(device_under_test(), c, GetParam());
      for (uint64_t seed = 0; seed <= 3; ++seed) {
        simt::set_schedule_seed(seed);
        EXPECT_EQ(run_on(device_under_test(), c, GetParam()), want) << c.name << ", seed " << seed;
      }
      simt::set_schedule_seed(0);
    }
}

// Offsets of pixels and taps are 32 bits wide; no memory is touched before this is known to be enough.
TEST(CudaConv2dLimits, SaysWhatIsTooMany) {
  Device& device = device_under_test();
  const DeviceTensor dot(device, room({1}), DType::f32);
  const auto shaped = [&](const Shape& shape) {
    View view = dot.view();
    view.shape = shape;
    return view;
  };
  const Shape huge{1, 40000, 40000, 1};
  try {
    device.backend().run(op::Conv2d{shaped(huge), shaped({1, 1, 1, 1}), {}, {}, shaped(huge)});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const DeviceError& error) {
    EXPECT_NE(error.message().find("conv2d: 1600000000 pixels or taps are too many"), std::string::npos) << error.what();
  }
}

// --- Pictures with a fourth channel of zeros
// -----------------------------------------------------------------------------------------------

Values with_a_zero(const Values& three) {
  Values four{{three.shape[0], three.shape[1], three.shape[2], 4}, {}, three.kind};
  for (size_t i = 0; i < three.values.size(); ++i) {
    four.values.push_back(three.values[i]);
    if (i % 3 == 2) four.values.push_back(0);
  }
  return four;
}

// By our own kernels and by cuDNN, with weights that were padded before or that the call has to pad.
TEST_P(CudaConv2d, OfPaddedPicturesHasTheBitsOfThreeChannels) {
  for (const Layer& z : {Layer{2, 32, 3, 16, 7, {2, 3, 1}}, Layer{1, 11, 3, 33, 3, {1, 1, 1}, 2}, Layer{3, 40, 3, 64, 7, {2, 3, 1}}}) {
    const Values x = uniform(z.x(), 1), w = uniform(z.w(), 2), dy = uniform(z.y(), 3), bias = uniform_f32({z.k}, 4);
    const Conv2dSpec spec = z.spec;
    const auto results = [&](bool padded, bool weights_too) {
      return run_on(device_under_test(),
                    {.name = z.name(),
                     .in = {padded ? with_a_zero(x) : x, w, dy, bias, with_a_zero(w)},
                     .out = {room(z.y()), room(z.y()), room(z.w()), room(z.w(), DType::f32)},
                     .run =
                         [&](Backend& b, auto in, auto out) {
                           const ConstView padded_w = weights_too ? in[4] : ConstView();
                           b.run(op::Conv2d{in[0], in[1], in[3], spec, out[0], padded_w});
                           b.run(op::Conv2dBiasAddRelu{.x = in[0],
                                                       .w = in[1],
                                                       .bias = in[3],
                                                       .residual = out[0],
                                                       .relu = true,
                                                       .spec = spec,
                                                       .y = out[1],
                                                       .padded_w = padded_w});
                           b.run(op::Conv2dBackwardWeight{in[0], in[2], spec, out[2]});
                           b.run(op::Conv2dBackwardWeight{in[0], in[2], spec, out[3]});
                         }},
                    GetParam());
    };
    const auto want = results(false, false);
    EXPECT_EQ(results(true, false), want) << z.name();
    EXPECT_EQ(results(true, true), want) << z.name();
  }
}

}  // namespace
}  // namespace mirilla::test
