// SPDX-License-Identifier: MIT
// What finalizing a descriptor checks, and what it makes.
#include "kernels/emulate/cudnn/engines.h"

#include <algorithm>

namespace mirilla::emulate::cudnn {

namespace {

[[noreturn]] void bad(std::string sentence, cudnnStatus_t status = CUDNN_STATUS_BAD_PARAM) { throw Refusal{status, std::move(sentence)}; }
[[noreturn]] void unsupported(std::string sentence) { throw Refusal{CUDNN_STATUS_NOT_SUPPORTED, std::move(sentence), false}; }

std::string text_of(const std::vector<int64_t>& numbers) { return fmt::format("({})", fmt::join(numbers, ",")); }

int64_t bytes_of(cudnnDataType_t type) {
  switch (type) {
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16: return 2;
    case CUDNN_DATA_DOUBLE:
    case CUDNN_DATA_INT64: return 8;
    case CUDNN_DATA_FLOAT:
    case CUDNN_DATA_INT32: return 4;
    default: return 1;
  }
}

// Whether two elements have the same address, where the extents are taken from the smallest stride to the largest.
bool overlaps(const Tensor& tensor) {
  std::vector<std::pair<int64_t, int64_t>> by_stride;
  for (size_t i = 0; i < tensor.extents.size(); ++i)
    if (tensor.extents[i] > 1) by_stride.emplace_back(tensor.strides[i], tensor.extents[i]);
  std::sort(by_stride.begin(), by_stride.end());
  int64_t reach = 1;
  for (const auto& [stride, extent] : by_stride) {
    if (stride < reach) return true;
    reach = stride * extent;
  }
  return false;
}

void finish_tensor(const Contents& contents) {
  const auto extents = contents.integers(CUDNN_ATTR_TENSOR_DIMENSIONS), strides = contents.integers(CUDNN_ATTR_TENSOR_STRIDES);
  if (extents.size() != strides.size())
    bad(fmt::format("a tensor of extents {} has strides {}: one for each was expected", text_of(extents), text_of(strides)));
  const Tensor tensor = tensor_of(contents);
  if (std::any_of(extents.begin(), extents.end(), [](int64_t one) { return one < 1; }))
    bad(fmt::format("tensor {} has extents {}: positive ones were expected", tensor.uid, text_of(extents)));
  if (std::any_of(strides.begin(), strides.end(), [](int64_t one) { return one < 0; }))
    bad(fmt::format("tensor {} has strides {}: none below 0 were expected", tensor.uid, text_of(strides)));
  if (overlaps(tensor))
    bad(fmt::format("tensor {} of extents {} has strides {}, by which elements share an address", tensor.uid, text_of(extents),
                    text_of(strides)));
  const int64_t element = bytes_of(contents.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE));
  if (tensor.alignment < element || (tensor.alignment & (tensor.alignment - 1)) != 0)
    bad(fmt::format("tensor {} says that it is aligned to {} bytes: a power of two from its element's {} on was expected", tensor.uid,
                    tensor.alignment, element));
}

void finish_convolution(const Contents& contents) {
  const int64_t dimensions = contents.get<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS);
  const auto check = [&](Name name, std::string_view what, int64_t least) {
    const auto numbers = contents.integers(name);
    if (static_cast<int64_t>(numbers.size()) != dimensions ||
        std::any_of(numbers.begin(), numbers.end(), [&](int64_t one) { return one < least; }))
      bad(fmt::format("{} {} of a convolution of {} spatial dimensions: {} numbers from {} on were expected", what, text_of(numbers),
                      dimensions, dimensions, least));
  };
  check(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, "paddings", 0);
  check(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, "paddings", 0);
  check(CUDNN_ATTR_CONVOLUTION_DILATIONS, "dilations", 1);
  check(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, "strides", 1);
}

void check_shapes(const Tensor& x, const Tensor& w, const Tensor& y, const Contents& conv) {
  const auto dimensions = static_cast<size_t>(conv.get<int64_t>(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS));
  for (const Tensor* const tensor : {&x, &w, &y})
    if (tensor->extents.size() != dimensions + 2)
      bad(fmt::format("tensor {} has extents {}: {} were expected, for images, channels and {} spatial dimensions", tensor->uid,
                      text_of(tensor->extents), dimensions + 2, dimensions));
  if (y.extents[0] != x.extents[0]) bad(fmt::format("x has {} images and y has {}", x.extents[0], y.extents[0]));
  if (y.extents[1] != w.extents[0]) bad(fmt::format("there are {} filters, and y has {} channels", w.extents[0], y.extents[1]));
  if (x.extents[1] % w.extents[1] != 0) bad(fmt::format("x has {} channels and the filters have {}", x.extents[1], w.extents[1]));
  const auto before = conv.integers(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS), after = conv.integers(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS),
             step = conv.integers(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES), dilation = conv.integers(CUDNN_ATTR_CONVOLUTION_DILATIONS);
  for (size_t i = 0; i < dimensions; ++i) {
    const int64_t room = x.extents[i + 2] + before[i] + after[i] - dilation[i] * (w.extents[i + 2] - 1) - 1;
    const int64_t expected = room < 0 ? 0 : room / step[i] + 1;
    if (y.extents[i + 2] != expected)
      bad(fmt::format("y has extents {}: in spatial dimension {} a convolution of x {} and filters {} gives {}", text_of(y.extents), i,
                      text_of(x.extents), text_of(w.extents), expected));
  }
}

void finish_convolving(const Contents& contents, Name x, Name w, Name y, Name conv) {
  check_shapes(tensor_of(contents.part(x)), tensor_of(contents.part(w)), tensor_of(contents.part(y)), contents.part(conv));
}

void finish_pointwise(const Contents& contents) {
  const Tensor x = tensor_of(contents.part(CUDNN_ATTR_OPERATION_POINTWISE_XDESC)),
               y = tensor_of(contents.part(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
  if (x.extents != y.extents)
    bad(fmt::format("a pointwise operation reads extents {} and writes {}", text_of(x.extents), text_of(y.extents)));
  const auto mode = contents.part(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR).get<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
  const bool wants_two = mode == CUDNN_POINTWISE_ADD || mode == CUDNN_POINTWISE_MUL;
  if (!contents.find(CUDNN_ATTR_OPERATION_POINTWISE_BDESC)) {
    if (wants_two) bad("an addition or a product of two tensors lacks the second, CUDNN_ATTR_OPERATION_POINTWISE_BDESC");
    return;
  }
  const Tensor b = tensor_of(contents.part(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
  bool is_vector = b.extents.size() == x.extents.size();
  for (size_t i = 0; is_vector && i < b.extents.size(); ++i) is_vector = b.extents[i] == (i == 1 ? x.extents[i] : 1);
  if (b.extents != x.extents && !is_vector)
    bad(fmt::format(
        "a pointwise operation on extents {} has a second tensor of extents {}: the same, or one value per channel, were expected",
        text_of(x.extents), text_of(b.extents)));
}

void finish_sums(const Contents& contents) {
  const Tensor x = tensor_of(contents.part(CUDNN_ATTR_OPERATION_GENSTATS_XDESC));
  for (const Name name : {CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC}) {
    const Tensor sum = tensor_of(contents.part(name));
    std::vector<int64_t> wanted(x.extents.size(), 1);
    wanted[1] = x.extents[1];
    if (sum.extents != wanted)
      bad(fmt::format("the sums of extents {} have extents {}: {} were expected", text_of(x.extents), text_of(sum.extents),
                      text_of(wanted)));
  }
}

Finished made(Contents contents) {
  contents.finalized = true;
  return std::make_shared<const Contents>(std::move(contents));
}

template <class T>
void put_one(Contents& contents, Name name, cudnnBackendAttributeType_t type, T value) {
  contents.put(name, type, std::span<const T>(&value, 1));
}

void finish_graph(Contents& contents) {
  contents.graph = graph_of(contents);
  put_one(contents, CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, CUDNN_TYPE_INT64, static_cast<int64_t>(engines().size()));
}

void finish_engine(Contents& contents) {
  contents.graph = contents.part(CUDNN_ATTR_ENGINE_OPERATION_GRAPH).graph;
  const auto index = contents.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  if (index < 0 || index >= static_cast<int64_t>(engines().size()))
    bad(fmt::format("there is no engine {}: 0 to {} were expected", index, engines().size() - 1));
  if (std::string why = why_not(*contents.graph, index); !why.empty()) unsupported(std::move(why));
  const Engine& engine = engines()[static_cast<size_t>(index)];
  contents.put<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, engine.notes);
  contents.put<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, engine.behaviors);
  std::vector<Finished> knobs;
  for (const Engine::Knob& knob : engine.knobs) {
    Contents info{CUDNN_BACKEND_KNOB_INFO_DESCRIPTOR};
    put_one(info, CUDNN_ATTR_KNOB_INFO_TYPE, CUDNN_TYPE_KNOB_TYPE, knob.type);
    put_one(info, CUDNN_ATTR_KNOB_INFO_MAXIMUM_VALUE, CUDNN_TYPE_INT64, knob.most);
    put_one(info, CUDNN_ATTR_KNOB_INFO_MINIMUM_VALUE, CUDNN_TYPE_INT64, int64_t{0});
    put_one(info, CUDNN_ATTR_KNOB_INFO_STRIDE, CUDNN_TYPE_INT64, int64_t{1});
    knobs.push_back(made(std::move(info)));
  }
  contents.put(CUDNN_ATTR_ENGINE_KNOB_INFO, std::move(knobs));
}

void finish_configuration(Contents& contents) {
  const Contents& chosen = contents.part(CUDNN_ATTR_ENGINECFG_ENGINE);
  contents.graph = chosen.graph;
  const auto index = chosen.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  const auto& knobs = engines()[static_cast<size_t>(index)].knobs;
  if (!contents.find(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES)) contents.put(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, std::vector<Finished>());
  for (const Finished& choice : contents.find(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES)->descriptors) {
    const auto type = choice->get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE);
    const auto value = choice->get<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE);
    const bool fits = std::any_of(knobs.begin(), knobs.end(),
                                  [&](const Engine::Knob& knob) { return knob.type == type && value >= 0 && value <= knob.most; });
    if (!fits) unsupported(fmt::format("engine {} has no knob {} with a value {}", index, static_cast<int>(type), value));
  }
  put_one(contents, CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE, CUDNN_TYPE_INT64, workspace_of(*contents.graph, index));
}

Finished configuration_of(const Contents& request, const Suggestion& suggestion) {
  Contents engine{CUDNN_BACKEND_ENGINE_DESCRIPTOR};
  engine.values[CUDNN_ATTR_ENGINE_OPERATION_GRAPH] = *request.find(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  put_one(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, suggestion.engine);
  finish_engine(engine);
  std::vector<Finished> choices;
  for (const auto& [type, value] : suggestion.choices) {
    Contents choice{CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR};
    put_one(choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, type);
    put_one(choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, value);
    choices.push_back(made(std::move(choice)));
  }
  Contents configuration{CUDNN_BACKEND_ENGINECFG_DESCRIPTOR};
  configuration.put(CUDNN_ATTR_ENGINECFG_ENGINE, std::vector{made(std::move(engine))});
  configuration.put(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, std::move(choices));
  finish_configuration(configuration);
  return made(std::move(configuration));
}

void finish_request(Contents& contents) {
  contents.graph = contents.part(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).graph;
  std::vector<Finished> results;
  for (const Suggestion& one : suggestions(*contents.graph, contents.get<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE)))
    results.push_back(configuration_of(contents, one));
  contents.put(CUDNN_ATTR_ENGINEHEUR_RESULTS, std::move(results));
}

void finish_plan(Contents& contents) {
  const Contents& configuration = contents.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  const auto handle = contents.get_or<cudnnHandle_t>(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, nullptr);
  if (handle && !is_handle(handle)) bad("an execution plan was given a handle that does not exist");
  if (!handle && configuration.graph->device < 0) bad("an execution plan needs a handle, its own or that of its operation graph");
  if (refuse_unsafe(runtime()) != cudaSuccess)
    bad("an execution plan was made while a stream captures: its code is loaded then, which waits", CUDNN_STATUS_EXECUTION_FAILED_CUDART);
  contents.graph = configuration.graph;
  contents.values[CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE] = *configuration.find(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE);
}

void finish_pack(const Contents& contents) {
  std::vector<int64_t> uids = contents.integers(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const int64_t pointers = contents.find(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS)->count;
  if (static_cast<int64_t>(uids.size()) != pointers)
    bad(fmt::format("a variant pack has {} tensors and {} pointers", uids.size(), pointers));
  std::sort(uids.begin(), uids.end());
  if (const auto twice = std::adjacent_find(uids.begin(), uids.end()); twice != uids.end())
    bad(fmt::format("a variant pack has tensor {} twice", *twice), CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES);
}

}  // namespace

void finish(Contents& contents) {
  switch (contents.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR: return finish_tensor(contents);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR: return finish_convolution(contents);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return finish_convolving(contents, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return finish_convolving(contents, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return finish_convolving(contents, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC);
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: return finish_pointwise(contents);
    case CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR: return finish_sums(contents);
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR: return finish_graph(contents);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR: return finish_request(contents);
    case CUDNN_BACKEND_ENGINE_DESCRIPTOR: return finish_engine(contents);
    case CUDNN_BACKEND_ENGINECFG_DESCRIPTOR: return finish_configuration(contents);
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR: return finish_plan(contents);
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR: return finish_pack(contents);
    default: return;
  }
}

}  // namespace mirilla::emulate::cudnn
