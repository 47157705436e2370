// SPDX-License-Identifier: MIT
#include "nn/inspect/diff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "kernels/devices.h"
#include "kernels/host/threads.h"
#include "nn/run/evaluate.h"
#include "nn/run/predict.h"
#include "tests/nn/synthetic.h"
#include "weights/layout.h"
#include "weights/safetensors.h"

namespace mirilla::nn {
namespace {

constexpr int kClasses = 3, kSide = 32;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

Tensor numbers(const std::vector<double>& values, const Shape& shape) { return from_host(values, shape, open_device("reference")); }

// Noise as a network's input, the same on every device.
Tensor pictures(const ResNet& model, int64_t n = 1, amp::Precision precision = amp::Precision::fp32) {
  const RandomKey key{.seed = 4, .purpose = Purpose::kTest, .item = 7};
  std::vector<float> values;
  for (uint32_t i = 0; i < static_cast<uint32_t>(n * kSide * kSide * 3); ++i) values.push_back(2 * to_unit(key.bits(i)) - 1);
  const Placement placement = input_placement(model, precision);
  return from_host(values, {n, kSide, kSide, 3}, placement.device).to(placement.dtype);
}

std::unique_ptr<ResNet> model_on(const char* device, ResNetSpec spec = {.classes = kClasses, .seed = 2}) {
  set_host_threads(1);  // tests run in parallel
  auto model = std::make_unique<ResNet>(spec, Placement{.device = open_device(device)});
  model->evaluate();
  return model;
}

const DiffRow& row_of(const std::vector<DiffRow>& rows, std::string_view name, size_t call = 0) {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const DiffRow& row) { return row.name == name && row.call == call; });
  if (found == rows.end()) throw Error(fmt::format("no row {} {}", name, call));
  return *found;
}

std::string name_of(const DiffRow* row) { return row ? row->name : "none"; }

void expect_all_equal(const std::vector<DiffRow>& rows) {
  for (const DiffRow& row : rows) {
    ASSERT_TRUE(row.value) << row.name;
    EXPECT_TRUE(row.value->equal()) << row.name;
    EXPECT_TRUE(!row.gradient || row.gradient->equal()) << row.name;
  }
}

TEST(Compare, GivesTheLargestItsPlaceAndTheRelative) {
  const Difference d = compare(numbers({1, 2, 2, 4}, {2, 2}), numbers({1, 2, 5, 3}, {2, 2}));
  EXPECT_EQ(d.elements, 4);
  EXPECT_EQ(d.different, 2);
  EXPECT_EQ(d.largest, 3);
  EXPECT_EQ(d.where, (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(d.a, 2);
  EXPECT_EQ(d.b, 5);
  EXPECT_DOUBLE_EQ(d.relative, std::sqrt(10.0) / 5);
  EXPECT_DOUBLE_EQ(d.relative_largest, 0.75);
  EXPECT_TRUE(d.within(0.75));
  EXPECT_FALSE(d.within(0.74));
}

TEST(Compare, OneLargeElementIsAboveTheToleranceThoughTheNormHidesIt) {
  std::vector<double> a(10000, 1.0), b(a);
  b[77] = 1.5;
  const Difference d = compare(numbers(a, {100, 100}), numbers(b, {100, 100}));
  EXPECT_NEAR(d.relative, 5e-3, 1e-6);
  EXPECT_FALSE(d.within(1e-2));
}

TEST(Compare, WhatIsNotFiniteIsCountedAndNoSumIsSpoilt) {
  const Difference same = compare(numbers({kNaN, kInfinity, 3}, {3}), numbers({kNaN, kInfinity, 3}, {3}));
  EXPECT_TRUE(same.equal());
  EXPECT_TRUE(same.within(0));
  EXPECT_EQ(same.nonfinite_a, 2);
  const Difference apart = compare(numbers({1, kInfinity, 3, kNaN}, {4}), numbers({kNaN, -kInfinity, 3, 4}, {4}));
  EXPECT_EQ(apart.nonfinite_a, 2);
  EXPECT_EQ(apart.nonfinite_b, 2);
  EXPECT_EQ(apart.nonfinite_apart, 3);
  EXPECT_EQ(apart.relative, 0);
  EXPECT_FALSE(apart.within(1));
}

TEST(Compare, AgainstZerosIsInfinitelyFarAndEqualZerosAreNot) {
  EXPECT_EQ(compare(numbers({0, 0}, {2}), numbers({0, 1}, {2})).relative, kInfinity);
  EXPECT_EQ(compare(numbers({0, 0}, {2}), numbers({0, -0.0}, {2})).relative, 0);
  EXPECT_THROW(compare(numbers({0, 0}, {2}), numbers({0, 0}, {2, 1})), ShapeError);
}

TEST(DiffOfOneModel, IsZeroEverywhereAndLeavesItAsItWas) {
  const auto model = model_on("cpu");
  const auto before = values_of(*model);
  const Tensor input = pictures(*model, 2);
  for (const bool training : {false, true}) {
    const TraceOptions options{.training = training, .parameters = true, .objective = Objective::loss, .seed = 9};
    const Trace once = trace(*model, input, options);
    const Diff same = diff(once, trace(*model, input, options));
    for (const auto* rows : {&same.modules, &same.parameters, &same.buffers}) expect_all_equal(*rows);
    EXPECT_TRUE(within(same, 0));
    EXPECT_EQ(same.parameters.size(), model->parameters().size());
    EXPECT_EQ(same.buffers.size(), model->buffers().size());
    for (const DiffRow& row : same.parameters) EXPECT_TRUE(row.gradient) << row.name;
    for (const DiffRow& row : same.modules) EXPECT_TRUE(row.gradient) << row.name;
    EXPECT_EQ(same.inference.has_value(), !training);
    EXPECT_EQ(compare(once.buffers[0].value, model->buffers()[0].tensor).equal(), !training) << "what the pass made of them";
  }
  EXPECT_EQ(values_of(*model), before);
  EXPECT_FALSE(model->training());
  for (const NamedTensor& parameter : model->parameters()) EXPECT_FALSE(parameter.tensor.grad()) << parameter.name;
}

TEST(DiffOfOneModel, ShowsEveryCallInTheOrderOfExecution) {
  const auto model = model_on("cpu");
  const Trace once = trace(*model, pictures(*model));
  std::vector<std::string> names;
  for (const Traced& traced : once.modules) names.push_back(traced.name + (traced.call == 0 ? "" : "/" + std::to_string(traced.call)));
  EXPECT_EQ(std::vector<std::string>(names.begin(), names.begin() + 12),
            (std::vector<std::string>{"input", "conv1", "bn1", "relu", "maxpool", "layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu",
                                      "layer1.0.conv2", "layer1.0.bn2", "layer1.0.relu/1", "layer1.0"}));
  const auto at = [&](const char* name) { return std::find(names.begin(), names.end(), name) - names.begin(); };
  EXPECT_LT(at("layer2.0.downsample.1"), at("layer2.0.relu/1"));
  EXPECT_LT(at("layer2.0.relu/1"), at("layer2.0"));
  EXPECT_LT(at("layer4.1"), at("layer4"));
  EXPECT_EQ(names.back(), "head");
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

TEST(DiffOfTwoModels, MarksExactlyTheModuleWhoseWeightWasChanged) {
  const auto a = model_on("cpu"), b = model_on("cpu");
  Tensor weight = b->at("layer3.0.conv2").own_parameters()[0].tensor;
  std::vector<float> values = weight.to_vector<float>();
  values[1027] += 0.5f;  // the middle tap of channel 3
  weight.copy_from(from_host(values, weight.shape(), weight.device()));
  const Diff apart = diff(trace(*a, pictures(*a), {.classes = {1}}), trace(*b, pictures(*b), {.classes = {1}}));
  EXPECT_EQ(name_of(first_value_past(apart.modules, 1e-5)), "layer3.0.conv2");
  EXPECT_EQ(name_of(first_value_past(apart.modules, 0)), "layer3.0.conv2");
  for (const DiffRow& row : apart.modules) {
    if (row.name == "layer3.0.conv2") break;
    EXPECT_TRUE(row.value->equal()) << row.name;
  }
  EXPECT_FALSE(row_of(apart.modules, "layer3.0.relu", 1).value->equal()) << "the second call comes after conv2";
  EXPECT_TRUE(row_of(apart.modules, "layer3.0.relu", 0).value->equal()) << "and the first before it";
  EXPECT_FALSE(within(apart, 1e-5));
  // The gradient from the last linear layer is equal: it has the same weights on both sides.
  EXPECT_TRUE(row_of(apart.modules, "head.8").gradient->equal());
  EXPECT_TRUE(row_of(apart.modules, "head.7").gradient->equal());
}

TEST(DiffOfTwoModels, MarksTheFirstGradientInTheBackwardPass) {
  // Only the last weights differ, so activations before them are equal and gradients first differ at the linear layer's input.
  const auto a = model_on("cpu"), b = model_on("cpu");
  Tensor weight = b->at("head.8").own_parameters()[0].tensor;
  std::vector<float> values = weight.to_vector<float>();
  for (float& value : values) value *= 1.25f;
  weight.copy_from(from_host(values, weight.shape(), weight.device()));
  const Diff apart = diff(trace(*a, pictures(*a), {.classes = {1}}), trace(*b, pictures(*b), {.classes = {1}}));
  EXPECT_EQ(name_of(first_value_past(apart.modules, 1e-5)), "head.8");
  EXPECT_EQ(name_of(first_gradient_past(apart.modules, 1e-5)), "head.7");
  EXPECT_NEAR(row_of(apart.modules, "conv1").gradient->relative, 0.25, 1e-4);
}

TEST(DiffOfTwoModels, MarksTheModuleThatComputedItAndNotItsContainer) {
  const auto a = model_on("cpu"), b = model_on("cpu");
  Tensor weight = b->at("head.4").own_parameters()[0].tensor;
  weight.copy_from(from_host(std::vector<float>(static_cast<size_t>(weight.numel()), 0.01f), weight.shape(), weight.device()));
  const Diff apart = diff(trace(*a, pictures(*a), {.classes = {1}}), trace(*b, pictures(*b), {.classes = {1}}));
  EXPECT_EQ(name_of(first_value_past(apart.modules, 1e-5)), "head.4");
  EXPECT_TRUE(row_of(apart.modules, "layer4").container);
  EXPECT_TRUE(row_of(apart.modules, "layer4.1").container);
  EXPECT_FALSE(row_of(apart.modules, "layer4.1.relu", 1).container);
  std::vector<DiffRow> below;  // as if the head's own gradients were the same
  for (const DiffRow& row : apart.modules)
    if (!row.name.starts_with("head")) below.push_back(row);
  EXPECT_EQ(name_of(first_gradient_past(below, 1e-5)), "layer4.1.relu");
}

TEST(DiffOfTwoModels, ANaNIsAboveAnyTolerance) {
  const auto a = model_on("cpu"), b = model_on("cpu");
  b->at("layer2.1.bn1").own_parameters()[0].tensor.fill(kNaN);
  const Diff apart = diff(trace(*a, pictures(*a), {.classes = {0}}), trace(*b, pictures(*b), {.classes = {0}}));
  const DiffRow* first = first_value_past(apart.modules, 1e30);
  ASSERT_EQ(name_of(first), "layer2.1.bn1");
  EXPECT_EQ(first->value->nonfinite_b, first->value->elements);
  EXPECT_EQ(first->value->nonfinite_a, 0);
}

TEST(DiffOfTwoModels, OtherArchitecturesAndHeadsAreComparedWhereTheyMeet) {
  const auto a = model_on("cpu", {.classes = kClasses, .seed = 2});
  const auto b = model_on("cpu", {.arch = "resnet34", .classes = 5, .head = Head::torchvision, .seed = 2});
  const Diff apart = diff(trace(*a, pictures(*a), {.classes = {0}}), trace(*b, pictures(*b), {.classes = {0}}));
  EXPECT_TRUE(row_of(apart.modules, "layer1.1").value->equal());
  EXPECT_FALSE(row_of(apart.modules, "layer2.0.relu").value->equal()) << "behind a third block in layer1";
  EXPECT_NE(std::find(apart.only_b.begin(), apart.only_b.end(), "layer1.2.conv1"), apart.only_b.end());
  EXPECT_NE(std::find(apart.only_b.begin(), apart.only_b.end(), "layer1.2.relu (call 2)"), apart.only_b.end());
  EXPECT_NE(std::find(apart.only_a.begin(), apart.only_a.end(), "head.8"), apart.only_a.end());
  EXPECT_FALSE(apart.inference) << "3 logits and 5";

  const auto c = model_on("cpu", {.classes = 5, .seed = 2});
  const Diff shapes = diff(trace(*a, pictures(*a), {.classes = {0}}), trace(*c, pictures(*c), {.classes = {0}}));
  EXPECT_EQ(name_of(first_value_past(shapes.modules, 1e-5)), "head.8");
  EXPECT_FALSE(row_of(shapes.modules, "head.8").value);
  EXPECT_TRUE(row_of(shapes.modules, "head.7").value->equal());
}

TEST(DiffOfTwoModels, NothingInCommonIsAnErrorThatNamesBothSides) {
  Trace a, b;
  a.modules.push_back({.name = "stem", .value = numbers({1}, {1})});
  b.modules.push_back({.name = "conv1", .value = numbers({1}, {1})});
  try {
    diff(a, b);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("stem"), std::string::npos) << error.message();
    EXPECT_NE(error.message().find("conv1"), std::string::npos) << error.message();
  }
}

TEST(DiffOfTwoDevices, CpuAgreesWithReference) {
  const auto a = model_on("reference"), b = model_on("cpu");
  const Diff apart = diff(trace(*a, pictures(*a), {.parameters = true}), trace(*b, pictures(*b), {.parameters = true}));
  for (const auto* rows : {&apart.modules, &apart.parameters, &apart.buffers})
    for (const DiffRow& row : *rows) {
      EXPECT_LT(row.value->relative, 1e-5) << row.name;
      EXPECT_TRUE(gradient_within(row, 1e-5)) << row.name;
    }
  EXPECT_FALSE(row_of(apart.modules, "layer4").value->equal()) << "two ways of adding up";
  EXPECT_LT(apart.inference->relative, 1e-5);
}

TEST(DiffOfTwoPrecisions, HalfAgreesWithinItsTolerance) {
  const auto a = model_on("cpu"), b = model_on("cpu");
  const Trace exact = trace(*a, pictures(*a));
  for (const amp::Precision precision : {amp::Precision::fp16, amp::Precision::bf16}) {
    const Trace half = trace(*b, pictures(*b, 1, precision), {.precision = precision, .classes = exact.classes});
    const double tolerance = usual_tolerance(exact, half);
    EXPECT_EQ(tolerance, precision == amp::Precision::fp16 ? 5e-3 : 3e-2);
    const Diff apart = diff(exact, half);
    EXPECT_EQ(name_of(first_value_past(apart.modules, tolerance)), "none");
    EXPECT_EQ(name_of(first_gradient_past(apart.modules, tolerance)), "none");
    for (const DiffRow& row : apart.modules) {
      ASSERT_TRUE(row.gradient) << row.name;
      EXPECT_EQ(row.gradient->nonfinite_b, 0) << row.name;
    }
    EXPECT_GT(row_of(apart.modules, "input").gradient->relative, tolerance)
        << "which gates explain: there are some in every half's network";
    EXPECT_GT(row_of(apart.modules, "layer4").value->relative, 1e-5);
  }
}

// A trace of "norm" -> "relu" -> "last", whose gradients are these.
Trace gradients(const std::vector<double>& norm, const std::vector<double>& relu) {
  Trace trace;
  const auto n = static_cast<int64_t>(norm.size());
  const Tensor value = full({n}, 1, DType::f64, open_device("reference"));
  trace.modules.push_back({.name = "norm", .value = value, .gradient = numbers(norm, {n})});
  trace.modules.push_back({.name = "relu", .value = value, .gradient = numbers(relu, {n})});
  trace.parameters.push_back({.name = "norm.bias", .value = value, .gradient = numbers(norm, {n})});
  return trace;
}

TEST(Gates, ThatOpenOnOneSideOnlyExplainTheirOwnGradientsAndNoMore) {
  const std::vector<double> all(100, 1.0);
  std::vector<double> closed(all), wrong(all), shut(all);
  closed[7] = 0;  // 1 of 100, a tenth of the norm
  for (double& value : wrong) value = 1.3;
  wrong[7] = 0;
  for (size_t i = 0; i < 30; ++i) shut[i] = 0;  // far too many to be chance
  const Diff gates = diff(gradients(all, all), gradients(closed, all));
  EXPECT_NEAR(gates.modules[0].gates, 0.1, 1e-12);
  EXPECT_EQ(gates.modules[1].gates, 0);
  EXPECT_EQ(name_of(first_gradient_past(gates.modules, 1e-5)), "none");
  EXPECT_EQ(name_of(first_gradient_past(gates.parameters, 1e-5)), "none");
  EXPECT_TRUE(within(gates, 1e-5));
  EXPECT_EQ(name_of(first_gradient_past(diff(gradients(all, all), gradients(wrong, all)).modules, 1e-5)), "norm");
  EXPECT_EQ(name_of(first_gradient_past(diff(gradients(all, all), gradients(shut, all)).modules, 1e-5)), "norm");
  EXPECT_EQ(name_of(first_gradient_past(diff(gradients(all, all), gradients(all, wrong)).modules, 1e-5)), "relu");
}

TEST(Trace, RefusesWhatMakesNoSense) {
  const auto model = model_on("cpu");
  EXPECT_THROW(trace(*model, pictures(*model), {.training = true}), UsageError);
  EXPECT_THROW(trace(*model, pictures(*model), {.classes = {kClasses}}), UsageError);
  EXPECT_THROW(trace(*model, pictures(*model), {.classes = {-1}}), UsageError);
  EXPECT_THROW(trace(*model, pictures(*model), {.classes = {0, 1}}), UsageError);
}

TEST(TraceFile, GivesBackWhatWasWritten) {
  const TemporaryFolder folder;
  const auto model = model_on("cpu");
  const Trace once = trace(*model, pictures(*model, 2), {.parameters = true});
  write_trace(folder / "trace.safetensors", once);
  const weights::StateDict state = weights::read_safetensors(folder / "trace.safetensors");
  EXPECT_TRUE(is_trace(state));
  EXPECT_EQ(state.at("activation/conv1").shape(), (Shape{2, 64, kSide / 2, kSide / 2})) << "PyTorch's layout";
  EXPECT_EQ(state.at("gradient/layer1.0.relu/1").shape(), (Shape{2, 64, kSide / 4, kSide / 4}));
  const Trace again = to_trace(state, "it", open_device("reference"));
  EXPECT_EQ(again.classes, once.classes);
  EXPECT_TRUE(again.ordered);
  const Diff same = diff(once, again);
  for (const auto* rows : {&same.modules, &same.parameters, &same.buffers}) expect_all_equal(*rows);
  EXPECT_TRUE(same.inference->equal());
  EXPECT_EQ(same.modules.size(), once.modules.size());
  EXPECT_TRUE(same.only_a.empty() && same.only_b.empty());
  for (const DiffRow& row : same.modules) EXPECT_TRUE(row.gradient) << row.name;
  EXPECT_FALSE(is_trace(to_state_dict(*model, small_info(kClasses))));
}

TEST(TraceFile, OfAFastaiModelIsReadUnderTorchvisionsNamesAndOurOrder) {
  const auto model = model_on("cpu");
  const Trace once = trace(*model, pictures(*model));
  weights::StateDict state;  // sorted as Python's safetensors does
  const auto array = [&](const char* name, size_t call = 0) {
    const auto found =
        std::find_if(once.modules.begin(), once.modules.end(), [&](const Traced& t) { return t.name == name && t.call == call; });
    const std::vector<float> values = found->value.to_vector<float>();
    return weights::krsc_to_oihw(weights::Array::from(found->value.shape(), std::span<const float>(values)));
  };
  state.add("activation/0.4.0.conv1", array("layer1.0.conv1"));
  state.add("activation/0.4.0.relu/1", array("layer1.0.relu", 1));
  state.add("activation/0.0", array("conv1"));
  state.add("activation/1.8", array("head.8"));
  const Trace theirs = to_trace(state, "it", open_device("reference"));
  EXPECT_FALSE(theirs.ordered);
  const Diff same = diff(theirs, once);
  std::vector<std::string> names;
  for (const DiffRow& row : same.modules) names.push_back(row.name);
  EXPECT_EQ(names, (std::vector<std::string>{"conv1", "layer1.0.conv1", "layer1.0.relu", "head.8"}));
  expect_all_equal(same.modules);
}

TEST(TraceFile, ThatMakesNoSenseIsRefused) {
  weights::StateDict state;
  const std::vector<float> two{1, 2};
  state.add("activation/conv1", weights::Array::from({2}, std::span<const float>(two)));
  state.add("gradient/conv1", weights::Array::from({1, 2}, std::span<const float>(two)));
  EXPECT_THROW(to_trace(state, "it", open_device("cpu")), WeightsError);
  weights::StateDict other;
  other.add("activation/conv1", weights::Array::from({2}, std::span<const float>(two)));
  other.metadata["classes"] = "sea";
  EXPECT_THROW(to_trace(other, "it", open_device("cpu")), WeightsError);
}

}  // namespace
}  // namespace mirilla::nn
