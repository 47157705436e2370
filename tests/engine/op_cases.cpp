// SPDX-License-Identifier: MIT
#include "engine/ops/adaptive_pool2d.h"
#include "engine/ops/add.h"
#include "engine/ops/batch_norm.h"
#include "engine/ops/cast.h"
#include "engine/ops/concat.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/cross_entropy.h"
#include "engine/ops/dropout.h"
#include "engine/ops/linear.h"
#include "engine/ops/max_pool2d.h"
#include "engine/ops/reductions.h"
#include "engine/ops/relu.h"
#include "tests/engine/op_case.h"

namespace mirilla {

namespace {

using In = std::span<const Tensor>;

// Sizes at the edges of vectors and tiles, an empty one, and one from a network.
const std::vector<std::vector<Shape>> kAnyShape{{{1}}, {{31}}, {{2, 3, 5, 33}}, {{0, 4}}, {{1, 14, 14, 64}}};
const std::vector<std::vector<Shape>> kTwoAlike{{{1}, {1}}, {{31}, {31}}, {{2, 3, 5, 33}, {2, 3, 5, 33}}, {{0, 4}, {0, 4}}};

OpCase conv(std::string name, Conv2dSpec spec, std::vector<std::vector<Shape>> inputs) {
  return {.name = "Conv2d" + name,
          .inputs = std::move(inputs),
          .run = [spec](In in) { return conv2d(in[0], in[1], in.size() > 2 ? in[2] : Tensor(), spec); },
          .saves = {0, 1}};
}

BatchNormState norm_state(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Shape channels{x.size(-1)};
  return {weight, bias, constant_like(x, channels, -1, 1, 0), constant_like(x, channels, 0.5, 2, 1)};
}

OpCase norm(std::string name, bool training) {
  return {
      .name = "BatchNorm" + name,
      .inputs = {{{2, 3, 5, 33}, {33}, {33}}, {{4, 7, 7, 16}, {16}, {16}}, {{8, 5}, {5}, {5}}, {{3, 1}, {1}, {1}}, {{2, 64}, {64}, {64}}},
      .run =
          [training](In in) {
            BatchNormState state = norm_state(in[0], in[1], in[2]);
            return batch_norm(in[0], state, training);
          },
      .within = Within::largest,
      .tolerance = 4e-6,
      .saves = {0, 1}};
}

OpCase norm_add_relu(std::string name, bool training, bool observe) {
  return {.name = "BatchNormAddRelu" + name,
          .inputs = {{{2, 3, 5, 33}, {33}, {33}, {2, 3, 5, 33}}, {{4, 7, 7, 16}, {16}, {16}, {4, 7, 7, 16}}, {{6, 5}, {5}, {5}}},
          .run =
              [training, observe](In in) {
                BatchNormState state = norm_state(in[0], in[1], in[2]);
                return batch_norm_add_relu(in[0], state, in.size() > 3 ? in[3] : Tensor(), training, observe).y;
              },
          .within = Within::largest,
          .tolerance = 4e-6,
          .saves = {0, 1},
          .saves_output = true,
          .leaves_mask = true,
          .watches = observe};
}

using PoolOp = Tensor (*)(const Tensor&, int, int);

OpCase adaptive(std::string name, PoolOp pool, int h, int w) {
  const bool selects = pool == adaptive_max_pool2d;
  return {.name = "Adaptive" + name,
          .inputs = {{{2, 5, 7, 3}}, {{1, 4, 4, 33}}, {{3, 1, 1, 8}}, {{2, 2, 3, 1}}, {{0, 3, 3, 4}}},
          .run = [=](In in) { return pool(in[0], h, w); },
          .draw = Draw::without_ties,
          .selects = selects,
          .composed = pool == adaptive_concat_pool2d};
}

std::vector<OpCase> elementwise() {
  return {
      {.name = "Relu",
       .inputs = kAnyShape,
       .run = [](In in) { return relu(in[0]); },
       .draw = Draw::off_zero,
       .within = Within::rounding,
       .saves_output = true},
      {.name = "Add", .inputs = kTwoAlike, .run = [](In in) { return add(in[0], in[1]); }, .within = Within::rounding},
      {.name = "AddToItself", .inputs = kAnyShape, .run = [](In in) { return add(in[0], in[0]); }, .within = Within::rounding},
      {.name = "Dropout",
       .inputs = kAnyShape,
       .run = [](In in) { return dropout(in[0], {.p = 0.25, .key = {.seed = 11, .purpose = Purpose::kDropout, .step = 2}}); },
       .tolerance = 2e-7},
      {.name = "Flatten",
       .inputs = {{{2, 3, 5, 7}}, {{4, 1, 1, 8}}, {{0, 4}}, {{3, 0, 2}}},
       .run = [](In in) { return flatten(in[0]); },
       .within = Within::rounding},
      {.name = "CastToItself",
       .inputs = kAnyShape,
       .run = [](In in) { return add(cast(in[0], in[0].dtype()), in[0]); },
       .within = Within::rounding},
      {.name = "Concat",
       .inputs = {{{1}, {3}}, {{2, 3, 5, 33}, {2, 3, 5, 1}}, {{0, 4}, {0, 2}}, {{3, 0}, {3, 2}}},
       .run = [](In in) { return concat(in[0], in[1]); },
       .within = Within::rounding},
      {.name = "Sum", .inputs = kAnyShape, .run = [](In in) { return sum(in[0]); }},
      {.name = "Mean", .inputs = {{{1}}, {{31}}, {{2, 3, 5, 33}}, {{1, 14, 14, 64}}}, .run = [](In in) { return mean(in[0]); }},
      {.name = "Pick",
       .inputs = {{{1}}, {{31}}, {{2, 3, 5, 33}}},
       .run = [](In in) { return pick(in[0], in[0].numel() / 2); },
       .within = Within::rounding},
  };
}

std::vector<OpCase> convolutions() {
  return {
      conv("3x3", {.padding = 1}, {{{2, 5, 7, 3}, {4, 3, 3, 3}}, {{1, 14, 14, 16}, {33, 3, 3, 16}}, {{3, 4, 4, 32}, {32, 3, 3, 32}}}),
      conv("Stem", {.stride = 2, .padding = 3}, {{{2, 16, 16, 3}, {8, 7, 7, 3}}, {{1, 9, 11, 3}, {64, 7, 7, 3}}}),
      conv("Downsample", {.stride = 2, .padding = 1}, {{{2, 8, 8, 16}, {32, 3, 3, 16}}, {{1, 7, 7, 5}, {3, 3, 3, 5}}}),
      conv("1x1Stride2", {.stride = 2}, {{{2, 8, 8, 16}, {32, 1, 1, 16}}, {{1, 5, 3, 7}, {2, 1, 1, 7}}}),
      conv("1x1", {}, {{{1, 1, 1, 1}, {1, 1, 1, 1}}, {{2, 3, 3, 33}, {31, 1, 1, 33}}}),
      conv("Bias", {.padding = 1}, {{{2, 4, 5, 3}, {6, 3, 3, 3}, {6}}, {{1, 2, 2, 17}, {17, 1, 1, 17}, {17}}}),
      conv("Dilated", {.stride = 1, .padding = 2, .dilation = 2}, {{{1, 7, 6, 4}, {5, 3, 3, 4}}}),
      conv("NotSquare", {.stride = 3, .padding = 1}, {{{2, 8, 10, 3}, {5, 1, 4, 3}}, {{1, 6, 5, 2}, {3, 5, 2, 2}}}),
      // Whole rows and columns at the lower right that no window reaches: their gradient must be written as zero.
      conv("SkipsPixels", {.stride = 3}, {{{1, 6, 6, 4}, {4, 1, 1, 4}}}),
      conv("WholePicture", {}, {{{2, 4, 4, 8}, {6, 4, 4, 8}}}),
      {.name = "Linear",
       .inputs = {{{1, 1}, {1, 1}}, {{5, 31}, {33, 31}}, {{8, 64}, {6, 64}}},
       .run = [](In in) { return linear(in[0], in[1], {}); },
       .saves = {0, 1}},
      {.name = "LinearBias",
       .inputs = {{{1, 1}, {1, 1}, {1}}, {{5, 31}, {33, 31}, {33}}, {{2, 512}, {6, 512}, {6}}},
       .run = [](In in) { return linear(in[0], in[1], in[2]); },
       .saves = {0, 1}},
      {.name = "Conv2dBiasAddRelu",
       .inputs = {{{2, 5, 7, 3}, {8, 3, 3, 3}, {8}, {2, 5, 7, 8}}, {{1, 4, 4, 32}, {33, 3, 3, 32}, {33}}},
       .run = [](In in) { return conv2d_bias_add_relu(in[0], in[1], in[2], in.size() > 3 ? in[3] : Tensor(), true, {.padding = 1}); },
       .saves = {0, 1},
       .saves_output = true},
      {.name = "Conv2dBiasAdd",
       .inputs = {{{2, 6, 6, 16}, {8, 1, 1, 16}, {8}, {2, 3, 3, 8}}, {{1, 4, 4, 3}, {5, 1, 1, 3}, {5}}},
       .run = [](In in) { return conv2d_bias_add_relu(in[0], in[1], in[2], in.size() > 3 ? in[3] : Tensor(), false, {.stride = 2}); },
       .saves = {0, 1}},
  };
}

std::vector<OpCase> norms_and_pools() {
  const std::vector<std::vector<Shape>> pictures{{{2, 5, 7, 3}}, {{1, 8, 8, 33}}, {{1, 2, 2, 1}}, {{0, 4, 4, 2}}};
  return {
      norm("Training", true),
      norm("Evaluation", false),
      norm_add_relu("Training", true, false),
      norm_add_relu("Evaluation", false, false),
      norm_add_relu("Observed", true, true),
      {.name = "MaxPoolStem",
       .inputs = pictures,
       .run = [](In in) { return max_pool2d(in[0], {.window = 3, .stride = 2, .padding = 1}); },
       .draw = Draw::without_ties,
       .selects = true},
      {.name = "MaxPool2",
       .inputs = pictures,
       .run = [](In in) { return max_pool2d(in[0], {}); },
       .draw = Draw::without_ties,
       .selects = true},
      {.name = "MaxPoolOverlapping",
       .inputs = {{{1, 7, 6, 4}}},
       .run = [](In in) { return max_pool2d(in[0], {.window = 4, .stride = 1, .padding = 2}); },
       .draw = Draw::without_ties,
       .selects = true},
      adaptive("AvgToOne", adaptive_avg_pool2d, 1, 1),
      adaptive("AvgToCells", adaptive_avg_pool2d, 2, 3),
      adaptive("MaxToOne", adaptive_max_pool2d, 1, 1),
      adaptive("MaxToCells", adaptive_max_pool2d, 2, 3),
      adaptive("ConcatToOne", adaptive_concat_pool2d, 1, 1),
      adaptive("ConcatToCells", adaptive_concat_pool2d, 2, 3),
  };
}

Tensor targets_for(const Tensor& logits) {
  std::vector<int64_t> targets(static_cast<size_t>(logits.size(0)));
  for (size_t n = 0; n < targets.size(); ++n) targets[n] = static_cast<int64_t>(7 * n) % logits.size(1);
  return from_host(targets, {logits.size(0)}, logits.device());
}

std::vector<OpCase> losses() {
  return {
      {.name = "Softmax",
       .inputs = {{{1, 1}}, {{5, 6}}, {{3, 33}}},
       .run = [](In in) { return softmax(in[0]); },
       .within = Within::largest,
       .recorded = false},
      {.name = "CrossEntropy",
       .inputs = {{{1, 1}}, {{5, 6}}, {{16, 33}}},
       .run = [](In in) { return cross_entropy(in[0], targets_for(in[0])).loss; },
       .within = Within::largest},
      {.name = "CrossEntropySmoothed",
       .inputs = {{{1, 1}}, {{5, 6}}, {{16, 33}}},
       .run = [](In in) { return cross_entropy(in[0], targets_for(in[0]), {.label_smoothing = 0.1}).loss; },
       .within = Within::largest,
       .tolerance = 2e-6},
      {.name = "CrossEntropyWeighted",
       .inputs = {{{1, 2}}, {{5, 6}}, {{16, 33}}},
       .run =
           [](In in) {
             const Tensor weights = constant_like(in[0], {in[0].size(1)}, 0.1, 3, 4);
             return cross_entropy(in[0], targets_for(in[0]), {.label_smoothing = 0.2, .weights = weights}).loss;
           },
       .within = Within::largest,
       .tolerance = 2e-6},
  };
}

std::vector<OpCase>& more_cases() {
  static std::vector<OpCase> cases;
  return cases;
}

}  // namespace

MoreOpCases::MoreOpCases(std::initializer_list<OpCase> cases) { more_cases().insert(more_cases().end(), cases); }

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> all;
    for (auto&& part : {elementwise(), convolutions(), norms_and_pools(), losses(), more_cases()})
      all.insert(all.end(), part.begin(), part.end());
    return all;
  }();
  return cases;
}

}  // namespace mirilla
