// SPDX-License-Identifier: MIT
#include "kernels/emulate/cudnn/graph.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace mirilla::emulate::cudnn {

namespace {

bool is_convolution(Type type) {
  return type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR ||
         type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ||
         type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR;
}

std::optional<DType> dtype_of(cudnnDataType_t type) {
  switch (type) {
    case CUDNN_DATA_HALF: return DType::f16;
    case CUDNN_DATA_BFLOAT16: return DType::bf16;
    case CUDNN_DATA_FLOAT: return DType::f32;
    default: return std::nullopt;
  }
}

// The attributes of a convolution's kind that name its tensors.
struct ConvNames {
  Name x, w, y, conv, alpha, beta;
};
ConvNames names_of(Type type) {
  switch (type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    default:
      return {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
}

// Builds a graph from its operations.
class Builder {
 public:
  void add(const Contents& operation) {
    if (is_convolution(operation.type)) return add_convolution(operation);
    if (operation.type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) return add_pointwise(operation);
    add_sums(operation);
  }

  std::shared_ptr<const Graph> finish(int device) {
    graph_->device = device;
    for (const Operation& operation : unordered_)
      for (const int64_t uid : operation.writes)
        if (!written_.insert(uid).second)
          throw Refusal{CUDNN_STATUS_BAD_PARAM, fmt::format("tensor {} is the result of two operations", uid)};
    order();
    for (const Operation& operation : graph_->operations)
      for (const int64_t uid : operation.reads)
        if (!written_.contains(uid)) graph_->given.insert(uid);
    for (const auto& [uid, tensor] : graph_->tensors) check_use(tensor);
    check_what_is_beyond();
    return graph_;
  }

 private:
  int64_t note(const Contents& contents) {
    const Tensor tensor = tensor_of(contents);
    const auto [at, is_new] = graph_->tensors.try_emplace(tensor.uid, tensor);
    if (!is_new && !(at->second == tensor))
      throw Refusal{CUDNN_STATUS_BAD_PARAM, fmt::format("two different tensors have the number {}", tensor.uid)};
    return tensor.uid;
  }

  void beyond(std::string why) {
    if (graph_->beyond.empty()) graph_->beyond = std::move(why);
  }

  void add_convolution(const Contents& contents) {
    const ConvNames names = names_of(contents.type);
    const Contents& conv = contents.part(names.conv);
    const int64_t x = note(contents.part(names.x)), w = note(contents.part(names.w)), y = note(contents.part(names.y));
    Operation operation{.type = contents.type, .reads = {x, w}, .writes = {y}};
    if (contents.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR) operation.reads = {y, w}, operation.writes = {x};
    if (contents.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR) operation.reads = {x, y}, operation.writes = {w};
    const auto &xs = graph_->tensors[x].extents, &ws = graph_->tensors[w].extents, &ys = graph_->tensors[y].extents;
    if (xs.size() != 4) return beyond("only convolutions of two spatial dimensions are emulated");
    operation.conv = {.n = xs[0], .h = xs[2], .w = xs[3], .c = xs[1], .k = ws[0], .r = ws[2], .s = ws[3], .p = ys[2], .q = ys[3]};
    const auto before = conv.integers(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS), step = conv.integers(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
               dilation = conv.integers(CUDNN_ATTR_CONVOLUTION_DILATIONS);
    for (size_t i = 0; i < 2; ++i) {
      operation.conv.padding[i] = before[i];
      operation.conv.stride[i] = step[i];
      operation.conv.dilation[i] = dilation[i];
    }
    if (conv.get<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) != CUDNN_CROSS_CORRELATION)
      beyond("flipped windows are not emulated");
    if (conv.get<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) != CUDNN_DATA_FLOAT) beyond("sums are emulated in f32 only");
    if (xs[1] != ws[1]) beyond("groups of channels are not emulated");
    if (contents.get<float>(names.alpha) != 1 || contents.get<float>(names.beta) != 0)
      beyond("alpha other than 1 and beta other than 0 are not emulated");
    unordered_.push_back(operation);
  }

  void add_pointwise(const Contents& contents) {
    const Contents& function = contents.part(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    Operation operation{.type = contents.type,
                        .reads = {note(contents.part(CUDNN_ATTR_OPERATION_POINTWISE_XDESC))},
                        .writes = {note(contents.part(CUDNN_ATTR_OPERATION_POINTWISE_YDESC))}};
    if (contents.find(CUDNN_ATTR_OPERATION_POINTWISE_BDESC))
      operation.reads.push_back(note(contents.part(CUDNN_ATTR_OPERATION_POINTWISE_BDESC)));
    operation.mode = function.get<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
    operation.lower = function.get_or(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, 0.0);
    operation.upper = function.get_or(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, std::numeric_limits<double>::max());
    operation.slope = function.get_or(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, 0.0);
    const bool known =
        operation.mode == CUDNN_POINTWISE_ADD || operation.mode == CUDNN_POINTWISE_MUL || operation.mode == CUDNN_POINTWISE_RELU_FWD;
    if (!known) beyond(fmt::format("pointwise mode {} is not emulated", static_cast<int>(operation.mode)));
    for (const auto name : {CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2})
      if (contents.get_or(name, 1.0f) != 1) beyond("factors other than 1 of a pointwise operation are not emulated");
    if (function.get<cudnnDataType_t>(CUDNN_ATTR_POINTWISE_MATH_PREC) != CUDNN_DATA_FLOAT)
      beyond("pointwise operations are emulated in f32 only");
    unordered_.push_back(operation);
  }

  void add_sums(const Contents& contents) {
    unordered_.push_back({.type = contents.type,
                          .reads = {note(contents.part(CUDNN_ATTR_OPERATION_GENSTATS_XDESC))},
                          .writes = {note(contents.part(CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC)),
                                     note(contents.part(CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC))}});
  }

  // Operations may be given in any order.
  void order() {
    std::set<int64_t> there;
    for (const Operation& operation : unordered_)
      for (const int64_t uid : operation.reads)
        if (!written_.contains(uid)) there.insert(uid);
    std::vector<Operation> left = unordered_;
    while (!left.empty()) {
      const auto next = std::find_if(left.begin(), left.end(), [&](const Operation& operation) {
        return std::all_of(operation.reads.begin(), operation.reads.end(), [&](int64_t uid) { return there.contains(uid); });
      });
      if (next == left.end()) throw Refusal{CUDNN_STATUS_BAD_PARAM, "the operations of the graph wait for each other in a circle"};
      there.insert(next->writes.begin(), next->writes.end());
      graph_->operations.push_back(*next);
      left.erase(next);
    }
  }

  void check_use(const Tensor& tensor) {
    const bool is_written = written_.contains(tensor.uid);
    if (tensor.is_virtual && !is_written)
      throw Refusal{CUDNN_STATUS_BAD_PARAM, fmt::format("tensor {} is virtual, and no operation of the graph computes it", tensor.uid)};
    if (is_written && !tensor.is_virtual) graph_->results.insert(tensor.uid);
    if (!tensor.dtype) return beyond(fmt::format("the type of tensor {} is not emulated", tensor.uid));
    if (!tensor.is_nhwc())
      beyond(fmt::format("tensor {} is not dense with its channels innermost, the only layout that is emulated", tensor.uid));
  }

  void check_what_is_beyond() {
    const auto convolutions =
        std::count_if(graph_->operations.begin(), graph_->operations.end(), [](const Operation& one) { return is_convolution(one.type); });
    if (convolutions != 1) beyond(fmt::format("a graph with {} convolutions is not emulated, only with one", convolutions));
  }

  std::shared_ptr<Graph> graph_ = std::make_shared<Graph>();
  std::vector<Operation> unordered_;
  std::set<int64_t> written_;
};

}  // namespace

int64_t Tensor::count() const { return std::accumulate(extents.begin(), extents.end(), int64_t{1}, std::multiplies<>()); }

bool Tensor::is_nhwc() const {
  if (extents.size() != 4) return false;
  const int64_t dense[] = {extents[1] * extents[2] * extents[3], 1, extents[1] * extents[3], extents[1]};
  for (size_t i = 0; i < 4; ++i)
    if (extents[i] != 1 && strides[i] != dense[i]) return false;
  return true;
}

Tensor tensor_of(const Contents& contents) {
  return {.uid = contents.get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID),
          .dtype = dtype_of(contents.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE)),
          .extents = contents.integers(CUDNN_ATTR_TENSOR_DIMENSIONS),
          .strides = contents.integers(CUDNN_ATTR_TENSOR_STRIDES),
          .alignment = contents.get<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT),
          .is_virtual = contents.get_or(CUDNN_ATTR_TENSOR_IS_VIRTUAL, false)};
}

const Operation& Graph::convolution() const {
  return *std::find_if(operations.begin(), operations.end(), [](const Operation& one) { return is_convolution(one.type); });
}

std::shared_ptr<const Graph> graph_of(const Contents& contents) {
  Builder builder;
  for (const Finished& operation : contents.find(CUDNN_ATTR_OPERATIONGRAPH_OPS)->descriptors) builder.add(*operation);
  const auto handle = contents.get_or<cudnnHandle_t>(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, nullptr);
  if (handle && !is_handle(handle)) throw Refusal{CUDNN_STATUS_BAD_PARAM, "an operation graph was given a handle that does not exist"};
  return builder.finish(handle ? handle->device : -1);
}

}  // namespace mirilla::emulate::cudnn
