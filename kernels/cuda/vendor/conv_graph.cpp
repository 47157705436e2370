// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/conv_graph.h"

#include <cudnn_frontend.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "kernels/core/error.h"
#include "kernels/cuda/vendor/cudnn.h"

// The only file that reads cudnn-frontend, which takes the compiler half a minute.
namespace mirilla::cuda::vendor {

namespace fe = cudnn_frontend;

namespace {

using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;

// The numbers by which cuDNN identifies the tensors. Pointers are passed in this order.
enum Uid : int64_t { kX = 1, kW, kY, kBias, kResidual, kScale, kShift, kSum, kSquares };

void* address_of(const ConvBuffers& buffers, int64_t uid) {
  switch (uid) {
    case kX: return buffers.x;
    case kW: return buffers.w;
    case kY: return buffers.y;
    case kBias: return buffers.bias;
    case kResidual: return buffers.residual;
    case kScale: return buffers.scale;
    case kShift: return buffers.shift;
    case kSum: return buffers.sum;
    default: return buffers.squares;
  }
}

fe::DataType_t type_of(DType dtype) {
  return dtype == DType::f16 ? fe::DataType_t::HALF : dtype == DType::bf16 ? fe::DataType_t::BFLOAT16 : fe::DataType_t::FLOAT;
}

// Extents in the order (n,c,h,w), which is cuDNN's for every layout; the strides say that c is innermost.
fe::graph::Tensor_attributes tensor(const char* name, Uid uid, DType dtype, int64_t n, int64_t c, int64_t h, int64_t w) {
  return fe::graph::Tensor_attributes()
      .set_name(name)
      .set_uid(uid)
      .set_data_type(type_of(dtype))
      .set_dim({n, c, h, w})
      .set_stride({h * w * c, 1, w * c, c});
}

fe::graph::Tensor_attributes vector(const char* name, Uid uid, DType dtype, int64_t c) { return tensor(name, uid, dtype, 1, c, 1, 1); }

template <class Attributes>
Attributes spec_of(const Conv2dSpec& spec) {
  const std::vector<int64_t> padding(2, spec.padding), stride(2, spec.stride), dilation(2, spec.dilation);
  return Attributes().set_padding(padding).set_stride(stride).set_dilation(dilation);
}

// The list of plans and the notes on each plan are protected members of the graph class, hence this derived class.
class Graph : public fe::graph::Graph {
 public:
  const fe::graph::Execution_plan_list& list() const { return plans; }
};

Tensor pointwise(Graph& graph, fe::PointwiseMode_t mode, const Tensor& a, const Tensor& b = nullptr) {
  const auto attributes = fe::graph::Pointwise_attributes().set_mode(mode);
  return b ? graph.pointwise(a, b, attributes) : graph.pointwise(a, attributes);
}

void add_forward(Graph& graph, const ConvProblem& p) {
  Tensor x = graph.tensor(tensor("x", kX, p.dtype, p.n, p.c, p.h, p.w));
  const Tensor w = graph.tensor(tensor("w", kW, p.dtype, p.k, p.c, p.r, p.s));
  if (p.scale_shift_relu) {
    x = pointwise(graph, fe::PointwiseMode_t::MUL, x, graph.tensor(vector("scale", kScale, p.dtype, p.c)));
    x = pointwise(graph, fe::PointwiseMode_t::ADD, x, graph.tensor(vector("shift", kShift, p.dtype, p.c)));
    x = pointwise(graph, fe::PointwiseMode_t::RELU_FWD, x);
    x->set_data_type(type_of(p.dtype));
  }
  Tensor y = graph.conv_fprop(x, w, spec_of<fe::graph::Conv_fprop_attributes>(p.spec));
  // The residual first: for this order cuDNN has a prebuilt kernel (ConvBiasAct), for the other it compiles one.
  if (p.residual)
    y = pointwise(graph, fe::PointwiseMode_t::ADD, y, graph.tensor(tensor("residual", kResidual, p.dtype, p.n, p.k, p.p, p.q)));
  if (p.bias) y = pointwise(graph, fe::PointwiseMode_t::ADD, y, graph.tensor(vector("bias", kBias, p.bias_dtype, p.k)));
  if (p.relu) y = pointwise(graph, fe::PointwiseMode_t::RELU_FWD, y);
  y->set_output(true).set_name("y").set_uid(kY).set_data_type(type_of(p.result));
  if (!p.sums) return;
  const auto [sum, squares] = graph.genstats(y, fe::graph::Genstats_attributes());
  sum->set_output(true).set_name("sum").set_uid(kSum).set_data_type(fe::DataType_t::FLOAT);
  squares->set_output(true).set_name("squares").set_uid(kSquares).set_data_type(fe::DataType_t::FLOAT);
}

void add_backward_data(Graph& graph, const ConvProblem& p) {
  const Tensor dy = graph.tensor(tensor("dy", kY, p.dtype, p.n, p.k, p.p, p.q));
  const Tensor w = graph.tensor(tensor("w", kW, p.dtype, p.k, p.c, p.r, p.s));
  const Tensor dx = graph.conv_dgrad(dy, w, spec_of<fe::graph::Conv_dgrad_attributes>(p.spec));
  *dx = tensor("dx", kX, p.result, p.n, p.c, p.h, p.w).set_output(true);
}

void add_backward_weight(Graph& graph, const ConvProblem& p) {
  const Tensor dy = graph.tensor(tensor("dy", kY, p.dtype, p.n, p.k, p.p, p.q));
  const Tensor x = graph.tensor(tensor("x", kX, p.dtype, p.n, p.c, p.h, p.w));
  const Tensor dw = graph.conv_wgrad(dy, x, spec_of<fe::graph::Conv_wgrad_attributes>(p.spec));
  *dw = tensor("dw", kW, p.result, p.k, p.c, p.r, p.s).set_output(true);
}

void fill(Graph& graph, const ConvProblem& problem) {
  graph.set_io_data_type(type_of(problem.dtype))
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  switch (problem.kind) {
    case ConvKind::forward: return add_forward(graph, problem);
    case ConvKind::backward_data: return add_backward_data(graph, problem);
    default: return add_backward_weight(graph, problem);
  }
}

template <class Note>
bool has_note(const std::vector<Note>& notes, Note note) {
  return std::find(notes.begin(), notes.end(), note) != notes.end();
}

// PyTorch's rule: f32 on tensor cores is TF32. [aten/src/ATen/native/cudnn/Conv_v8.cpp]
bool full_precision(const std::vector<fe::NumericalNote_t>& notes, DType dtype) {
  if (has_note(notes, fe::NumericalNote_t::DOWN_CONVERT_INPUTS) || has_note(notes, fe::NumericalNote_t::REDUCED_PRECISION_REDUCTION))
    return false;
  return is_half(dtype) || !has_note(notes, fe::NumericalNote_t::TENSOR_CORE);
}

ConvCandidate candidate_of(const std::string& plan, const fe::graph::Execution_plan_list& plans, int64_t index, DType dtype) {
  const std::vector<fe::NumericalNote_t>& notes = plans.numeric_notes[static_cast<size_t>(index)];
  const std::vector<fe::BehaviorNote_t>& behaviors = plans.behavior_notes[static_cast<size_t>(index)];
  return {.plan = plan,
          .deterministic = !has_note(notes, fe::NumericalNote_t::NONDETERMINISTIC),
          .full_precision = full_precision(notes, dtype),
          .compiled = has_note(behaviors, fe::BehaviorNote_t::RUNTIME_COMPILATION)};
}

using Knobs = std::unordered_map<fe::KnobType_t, int64_t>;

std::string text_of(int64_t engine, const Knobs& knobs) {
  std::vector<std::pair<int64_t, int64_t>> sorted;
  for (const auto& [knob, value] : knobs) sorted.emplace_back(static_cast<int64_t>(knob), value);
  std::sort(sorted.begin(), sorted.end());
  std::string text = std::to_string(engine);
  for (const auto& [knob, value] : sorted) text += fmt::format(" {}={}", knob, value);
  return text;
}

// The inverse. False where the text does not have this format.
bool read_plan(std::string_view text, int64_t& engine, Knobs& knobs) {
  const auto number = [&text](int64_t& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return error == std::errc();
  };
  const auto sign = [&text](char wanted) {
    const bool here = !text.empty() && text.front() == wanted;
    if (here) text.remove_prefix(1);
    return here;
  };
  if (!number(engine)) return false;
  while (!text.empty()) {
    int64_t knob = 0, value = 0;
    if (!sign(' ') || !number(knob) || !sign('=') || !number(value)) return false;
    knobs[static_cast<fe::KnobType_t>(knob)] = value;
  }
  return true;
}

}  // namespace

struct ConvChip::Inside {
  cudnnHandle_t handle = nullptr;                           // of here()
  std::shared_ptr<const fe::DeviceProperties> description;  // of described()
};

ConvChip ConvChip::here() {
  cudnn();  // throws where cuDNN is missing
  auto inside = std::make_shared<Inside>();
  const cudnnStatus_t status = fe::detail::create_handle(&inside->handle);
  if (status != CUDNN_STATUS_SUCCESS)
    throw DeviceError(fmt::format("cudnnCreate, which was to open cuDNN on the GPU, failed: {}", fe::detail::get_error_string(status)),
                      "MIRILLA_VENDOR=off does without cuDNN");
  ConvChip chip;
  chip.inside_ = std::move(inside);
  return chip;
}

ConvChip ConvChip::described(const std::string& json) {
  cudnn();
  const auto properties = std::make_shared<fe::DeviceProperties>();
  auto status = properties->deserialize(std::vector<uint8_t>(json.begin(), json.end()));
  if (status.is_bad()) throw DeviceError("cuDNN does not take these device properties: " + status.get_message());
  ConvChip chip;
  chip.inside_ = std::make_shared<Inside>(Inside{nullptr, properties});
  return chip;
}

void ConvChip::use_stream(void* stream) const {
  const cudnnStatus_t status = fe::detail::set_stream(inside_->handle, static_cast<cudaStream_t>(stream));
  if (status != CUDNN_STATUS_SUCCESS)
    throw DeviceError(fmt::format("cudnnSetStream, which was to give cuDNN our stream, failed: {}", fe::detail::get_error_string(status)));
}

struct ConvGraph::Inside {
  ConvProblem problem;
  ConvChip chip;
  Graph graph;
  std::vector<int64_t> uids;  // in the order in which the graph expects pointers
  int64_t built = -1;
};

std::string ConvGraph::check(const ConvProblem& problem) {
  Graph graph;
  fill(graph, problem);
  auto status = graph.validate();
  return status.is_bad() ? status.get_message() : std::string();
}

ConvGraph::ConvGraph(const ConvProblem& problem, const ConvChip& chip) : inside_(std::make_unique<Inside>()) {
  inside_->problem = problem;
  inside_->chip = chip;
  Graph& graph = inside_->graph;
  fill(graph, problem);
  // Plans live as long as the program, and so longer than any replay that holds their kernels.
  graph.set_cuda_graph_retention(fe::CudaGraphRetention_t::NONE);
  if (chip.inside_->description) graph.set_device_properties(chip.inside_->description);
  auto status = graph.validate();
  if (status.is_good())
    status = chip.inside_->description ? graph.build_operation_graph() : graph.build_operation_graph(chip.inside_->handle);
  if (status.is_bad()) throw DeviceError(fmt::format("cuDNN does not take the graph of {}: {}", to_string(problem), status.get_message()));
}

ConvGraph::~ConvGraph() = default;
ConvGraph::ConvGraph(ConvGraph&&) noexcept = default;
ConvGraph& ConvGraph::operator=(ConvGraph&&) noexcept = default;

std::vector<ConvCandidate> ConvGraph::candidates() {
  Graph& graph = inside_->graph;
  const int64_t first = graph.get_execution_plan_count();
  for (const auto mode : {fe::HeurMode_t::A, fe::HeurMode_t::B, fe::HeurMode_t::FALLBACK})  // each alone: a mode may have no answer
    if (auto status = graph.create_execution_plans({mode}); status.is_bad()) why_ = status.get_message();
  std::vector<ConvCandidate> found;
  std::set<std::string> seen;
  for (int64_t i = first; i < graph.get_execution_plan_count(); ++i) {
    int64_t engine = 0;
    Knobs knobs;
    if (graph.get_engine_and_knobs_at_index(i, engine, knobs).is_bad()) continue;
    const std::string plan = text_of(engine, knobs);
    if (!seen.insert(plan).second) continue;
    found.push_back(candidate_of(plan, graph.list(), i, inside_->problem.dtype));
  }
  return found;
}

bool ConvGraph::build(const std::string& plan) {
  int64_t engine = 0;
  Knobs knobs;
  if (!read_plan(plan, engine, knobs)) {
    why_ = fmt::format("'{}' is no plan", plan);
    return false;
  }
  Graph& graph = inside_->graph;
  auto status = graph.create_execution_plan(engine, knobs);
  const int64_t index = graph.get_execution_plan_count() - 1;
  if (status.is_good()) status = graph.build_plan_at_index(index);
  if (status.is_good()) status = graph.prepare_variant_pack_template();
  if (status.is_bad()) {
    why_ = status.get_message();
    return false;
  }
  inside_->built = index;
  built_ = candidate_of(plan, graph.list(), index, inside_->problem.dtype);
  inside_->uids = graph.get_variant_pack_uids_sorted();
  return true;
}

void ConvGraph::use(const ConvChip& chip) { inside_->chip = chip; }

size_t ConvGraph::workspace_bytes() const {
  int64_t bytes = 0;
  auto status = inside_->graph.get_workspace_size_plan_at_index(inside_->built, bytes);
  if (status.is_bad()) throw DeviceError("cuDNN does not say what a plan takes: " + status.get_message());
  return static_cast<size_t>(std::max<int64_t>(bytes, 0));
}

void ConvGraph::run(const ConvBuffers& buffers, void* workspace) const {
  void* addresses[16];
  const size_t count = inside_->uids.size();
  for (size_t i = 0; i < count; ++i) addresses[i] = address_of(buffers, inside_->uids[i]);
  auto status =
      inside_->graph.execute_plan_at_index(inside_->chip.inside_->handle, addresses, static_cast<int>(count), workspace, inside_->built);
  if (status.is_bad())
    throw DeviceError(fmt::format("cuDNN, which was to compute {}, failed: {}", to_string(inside_->problem), status.get_message()),
                      "MIRILLA_VENDOR=off does without cuDNN");
}

}  // namespace mirilla::cuda::vendor
