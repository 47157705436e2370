// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/kernels/special/call.h"

namespace mirilla::test {

namespace {

struct FloatType {
  double largest, smallest_normal, least;
};

FloatType float_type(DType type) {
  switch (type) {
    case DType::f16: return {65504, 0x1p-14, 0x1p-24};
    case DType::bf16: return {0x1.FEp127, 0x1p-126, 0x1p-133};
    default: return {std::numeric_limits<float>::max(), 0x1p-126, 0x1p-149};
  }
}

Conv2dSpec convolution(const OperationCall& c) { return {.stride = c.integer("stride"), .padding = c.integer("padding")}; }

Pool2dSpec pool(const OperationCall& c) {
  return {.window = c.integer("window"), .stride = c.integer("stride"), .padding = c.integer("padding")};
}

void conv2d_bias_add_relu(OperationCall& c) {
  const bool relu = c.flag("relu");
  if (c.backend().has<op::Conv2dBiasAddRelu>())
    return c.backend().run(op::Conv2dBiasAddRelu{.x = c.in("x"),
                                                 .w = c.in("w"),
                                                 .bias = c.in("bias"),
                                                 .residual = c.in("residual"),
                                                 .relu = relu,
                                                 .spec = convolution(c),
                                                 .y = c.out("y")});
  const View sum = c.scratch(c.out("y").shape);
  c.backend().run(op::Conv2d{c.in("x"), c.in("w"), c.in("bias"), convolution(c), sum});
  if (c.has("residual")) c.backend().run(op::Add{sum, c.in("residual"), sum});
  if (relu)
    c.backend().run(op::Relu{sum, c.out("y")});
  else
    c.backend().run(op::Cast{sum, c.out("y")});
}

// Bit i % 8 of byte i / 8 is set unless y[i] <= 0.
Values mask_of(const std::vector<double>& y) {
  Values mask{{static_cast<int64_t>(y.size() + 7) / 8}, std::vector<double>((y.size() + 7) / 8), DType::u8};
  for (size_t i = 0; i < y.size(); ++i)
    if (!(y[i] <= 0)) mask.values[i / 8] += 1 << (i % 8);
  return mask;
}

void batch_norm_apply(OperationCall& c) {
  const bool relu = c.flag("relu"), has_residual = c.has("residual");
  op::BatchNormApply call{.x = c.in("x"),
                          .mean = c.in("mean"),
                          .inv_std = c.in("inv_std"),
                          .weight = c.in("weight"),
                          .bias = c.in("bias"),
                          .residual = c.in("residual"),
                          .relu = relu,
                          .y = c.out("y"),
                          .normalized = c.out("normalized")};
  if (c.backend().has<op::BatchNormAddRelu>() || !(relu || has_residual)) {
    c.backend().run(call);
    if (!c.backend().has<op::ReluMask>()) return;
    const std::vector<double> y = c.read("y");
    const Values want = mask_of(y);
    call.mask = c.keep({want.shape, std::vector<double>(want.values.size(), 255), DType::u8});
    c.backend().run(call);
    EXPECT_EQ(c.read(call.mask), want.values) << "the mask";
    return;
  }
  View normalized = call.normalized ? call.normalized : c.scratch(call.y.shape);
  call.residual = {};
  call.relu = false;
  call.y = normalized;
  call.normalized = {};
  c.backend().run(call);
  View sum = normalized;
  if (has_residual) c.backend().run(op::Add{normalized, c.in("residual"), sum = c.scratch(call.y.shape)});
  c.backend().run(op::Relu{sum, c.out("y")});
}

void batch_norm_backward(OperationCall& c) {
  op::BatchNormBackward call{.dy = c.in("dy"),
                             .x = c.in("x"),
                             .mean = c.in("mean"),
                             .inv_std = c.in("inv_std"),
                             .weight = c.in("weight"),
                             .y = c.in("y"),
                             .relu = c.flag("relu"),
                             .training = c.flag("training"),
                             .dx = c.out("dx"),
                             .dresidual = c.out("dresidual"),
                             .dweight = c.out("dweight"),
                             .dbias = c.out("dbias")};
  if (call.relu && !c.backend().has<op::BatchNormAddRelu>()) {
    c.backend().run(op::ReluBackward{call.dy, call.y, call.dresidual});
    call.dy = call.dresidual;
    call.dresidual = {};
    call.y = {};
    call.relu = false;
  }
  c.backend().run(call);
  if (!call.relu || !c.backend().has<op::ReluMask>()) return;
  const std::vector<std::string> names{"dx", "dresidual", "dweight", "dbias"};
  std::vector<std::vector<double>> by_y;
  for (const std::string& name : names) by_y.push_back(c.read(name));
  call.mask = c.keep(mask_of(c.read("y")));
  call.y = {};
  const auto expect_the_same = [&](std::string_view how) {
    c.backend().run(call);
    const auto equal = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
    for (size_t i = 0; i < names.size(); ++i)
      EXPECT_TRUE(std::ranges::equal(by_y[i], c.read(names[i]), equal)) << names[i] << ' ' << how << " differs from that from y";
  };
  expect_the_same("from the mask");
  if (!c.backend().has<op::BatchNormGradientSum>()) return;
  call.dy2 = c.keep({call.dy.shape, std::vector<double>(static_cast<size_t>(call.dy.numel()), 0.0)});
  expect_the_same("of dy and a second part of 0");
  std::swap(call.dy, call.dy2);
  expect_the_same("of 0 and dy as the second part");
}

void adaptive_concat_pool2d(OperationCall& c) {
  if (c.backend().has<op::AdaptiveConcatPool2d>()) return c.backend().run(op::AdaptiveConcatPool2d{c.in("x"), c.out("y"), c.out("index")});
  const View largest = c.scratch(c.out("index").shape), average = c.scratch(c.out("index").shape);
  c.backend().run(op::AdaptiveMaxPool2d{c.in("x"), largest, c.out("index")});
  c.backend().run(op::AdaptiveAvgPool2d{c.in("x"), average});
  c.backend().run(op::Concat{largest, average, c.out("y")});
}

void adaptive_concat_pool2d_backward(OperationCall& c) {
  if (c.backend().has<op::AdaptiveConcatPool2d>())
    return c.backend().run(op::AdaptiveConcatPool2dBackward{c.in("dy"), c.in("index"), c.out("dx")});
  const Shape half = c.in("index").shape, whole = c.out("dx").shape;
  const View of_largest = c.scratch(half), of_average = c.scratch(half), one = c.scratch(whole), other = c.scratch(whole);
  c.backend().run(op::Split{c.in("dy"), of_largest, of_average});
  c.backend().run(op::AdaptiveMaxPool2dBackward{of_largest, c.in("index"), one});
  c.backend().run(op::AdaptiveAvgPool2dBackward{of_average, other});
  c.backend().run(op::Add{one, other, c.out("dx")});
}

void adam(OperationCall& c) {
  const AdamTensor tensor{.parameter = c.out("p"),
                          .gradient = c.in("gradient"),
                          .m = c.out("m"),
                          .v = c.out("v"),
                          .learning_rate = 0.01,
                          .weight_decay = 0.1,
                          .step = c.keep({{1}, {0}, DType::i64})};
  c.backend().run(op::Adam{{&tensor, 1}, {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-5}, c.in("state")});
}

}  // namespace

double special_value(std::string_view name, DType type) {
  const FloatType t = float_type(type);
  if (name == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (name == "inf") return std::numeric_limits<double>::infinity();
  if (name == "-inf") return -std::numeric_limits<double>::infinity();
  if (name == "-0") return -0.0;
  if (name == "least") return t.least;
  if (name == "subnormal") return -0.375 * t.smallest_normal;
  if (name == "largest" || name == "overflow") return t.largest;
  throw ShapeError("a test knows no special '" + std::string(name) + "'");
}

double OperationCall::number(const char* name) const {
  const nlohmann::json& value = attributes_.at(name);
  return value.is_string() ? special_value(value.get<std::string>(), DType::f32) : value.get<double>();
}

void OperationCall::add(const std::string& name, const Values& values) {
  tensors_[name] = std::make_unique<DeviceTensor>(device_, values, type_);
}

View OperationCall::keep(const Values& values) {
  scratch_.push_back(std::make_unique<DeviceTensor>(device_, values, type_));
  return scratch_.back()->view();
}

std::vector<double> OperationCall::read(const View& kept) const {
  const auto found = std::ranges::find_if(scratch_, [&](const auto& tensor) { return tensor->view().address == kept.address; });
  return (*found)->read();
}

const std::map<std::string, std::function<void(OperationCall&)>, std::less<>>& rows() {
  static const std::map<std::string, std::function<void(OperationCall&)>, std::less<>> all{
      {"fill",
       [](OperationCall& c) {
         c.backend().run(op::Fill{c.out("y"), c.number("value")});
       }},
      {"cast",
       [](OperationCall& c) {
         c.backend().run(op::Cast{c.in("x"), c.out("y")});
       }},
      {"add",
       [](OperationCall& c) {
         c.backend().run(op::Add{c.in("a"), c.in("b"), c.out("y")});
       }},
      {"multiply",
       [](OperationCall& c) {
         c.backend().run(op::Multiply{c.in("a"), c.in("b"), c.out("y")});
       }},
      {"scale",
       [](OperationCall& c) {
         c.backend().run(op::Scale{c.in("x"), c.number("factor"), c.out("y")});
       }},
      {"relu",
       [](OperationCall& c) {
         c.backend().run(op::Relu{c.in("x"), c.out("y")});
       }},
      {"relu_backward",
       [](OperationCall& c) {
         c.backend().run(op::ReluBackward{c.in("dy"), c.in("y"), c.out("dx")});
       }},
      {"dropout",
       [](OperationCall& c) {
         const RandomKey key{.seed = static_cast<uint64_t>(c.integer("seed")), .purpose = Purpose::kTest};
         c.backend().run(op::Dropout{c.in("x"), {.p = c.number("p"), .key = key}, c.out("y")});
       }},
      {"sum",
       [](OperationCall& c) {
         c.backend().run(op::Sum{c.in("x"), c.out("y")});
       }},
      {"sum_rows",
       [](OperationCall& c) {
         c.backend().run(op::SumRows{c.in("x"), c.out("y")});
       }},
      {"argmax",
       [](OperationCall& c) {
         c.backend().run(op::Argmax{c.in("x"), c.out("y")});
       }},
      {"matmul",
       [](OperationCall& c) {
         c.backend().run(
             op::Matmul{c.in("a"), c.in("b"), {.transpose_a = c.flag("transpose_a"), .transpose_b = c.flag("transpose_b")}, c.out("y")});
       }},
      {"add_bias",
       [](OperationCall& c) {
         c.backend().run(op::AddBias{c.in("x"), c.in("bias"), c.out("y")});
       }},
      {"conv2d",
       [](OperationCall& c) {
         c.backend().run(op::Conv2d{c.in("x"), c.in("w"), c.in("bias"), convolution(c), c.out("y")});
       }},
      {"conv2d_backward_data",
       [](OperationCall& c) {
         c.backend().run(op::Conv2dBackwardData{c.in("dy"), c.in("w"), convolution(c), c.out("dx")});
       }},
      {"conv2d_backward_weight",
       [](OperationCall& c) {
         c.backend().run(op::Conv2dBackwardWeight{c.in("x"), c.in("dy"), convolution(c), c.out("dw")});
       }},
      {"conv2d_bias_add_relu", conv2d_bias_add_relu},
      {"batch_norm_statistics",
       [](OperationCall& c) {
         c.backend().run(op::BatchNormStatistics{.x = c.in("x"),
                                                 .mean = c.out("mean"),
                                                 .inv_std = c.out("inv_std"),
                                                 .running_mean = c.out("running_mean"),
                                                 .running_var = c.out("running_var")});
       }},
      {"batch_norm_apply", batch_norm_apply},
      {"batch_norm_backward", batch_norm_backward},
      {"max_pool2d",
       [](OperationCall& c) {
         c.backend().run(op::MaxPool2d{c.in("x"), pool(c), c.out("y"), c.out("index")});
       }},
      {"max_pool2d_backward",
       [](OperationCall& c) {
         c.backend().run(op::MaxPool2dBackward{c.in("dy"), c.in("index"), pool(c), c.out("dx")});
       }},
      {"adaptive_avg_pool2d",
       [](OperationCall& c) {
         c.backend().run(op::AdaptiveAvgPool2d{c.in("x"), c.out("y")});
       }},
      {"adaptive_avg_pool2d_backward",
       [](OperationCall& c) {
         c.backend().run(op::AdaptiveAvgPool2dBackward{c.in("dy"), c.out("dx")});
       }},
      {"adaptive_max_pool2d",
       [](OperationCall& c) {
         c.backend().run(op::AdaptiveMaxPool2d{c.in("x"), c.out("y"), c.out("index")});
       }},
      {"adaptive_max_pool2d_backward",
       [](OperationCall& c) {
         c.backend().run(op::AdaptiveMaxPool2dBackward{c.in("dy"), c.in("index"), c.out("dx")});
       }},
      {"adaptive_concat_pool2d", adaptive_concat_pool2d},
      {"adaptive_concat_pool2d_backward", adaptive_concat_pool2d_backward},
      {"concat",
       [](OperationCall& c) {
         c.backend().run(op::Concat{c.in("a"), c.in("b"), c.out("y")});
       }},
      {"split",
       [](OperationCall& c) {
         c.backend().run(op::Split{c.in("y"), c.out("a"), c.out("b")});
       }},
      {"transpose",
       [](OperationCall& c) {
         c.backend().run(op::Transpose{c.in("x"), c.out("y")});
       }},
      {"softmax",
       [](OperationCall& c) {
         c.backend().run(op::Softmax{c.in("x"), c.out("y")});
       }},
      {"cross_entropy",
       [](OperationCall& c) {
         c.backend().run(op::CrossEntropy{c.in("x"), c.in("targets"), c.out("losses"), c.out("dlogits")});
       }},
      {"check_finite",
       [](OperationCall& c) {
         const ConstView gradient = c.in("gradient");
         c.backend().run(op::CheckFinite{{&gradient, 1}, c.out("state")});
       }},
      {"adam", adam},
      {"update_scale",
       [](OperationCall& c) {
         c.backend().run(op::UpdateScale{c.out("state"), {.interval = 2}});
       }},
      {"augment",
       [](OperationCall& c) {
         c.backend().run(op::Augment{.pictures = c.in("pictures"),
                                     .parameters = c.in("parameters"),
                                     .lighting = c.flag("lighting"),
                                     .mean = {0.4f, 0.5f, 0.6f},
                                     .std = {0.2f, 0.3f, 0.25f},
                                     .y = c.out("y")});
       }},
      {"grad_cam",
       [](OperationCall& c) {
         c.backend().run(op::GradCam{c.in("activation"), c.in("gradient"), c.out("weights"), c.out("map")});
       }},
  };
  return all;
}

}  // namespace mirilla::test
