// SPDX-License-Identifier: MIT
#include "kernels/emulate/cudnn/engines.h"

#include <algorithm>

namespace mirilla::emulate::cudnn {

namespace {

constexpr int64_t kWorkspaceUnit = 256;

// Indices as EngineIndex has them.
const std::vector<Engine>& table() {
  static const std::vector<Engine> engines{
      {.whole_vectors = false},
      {.notes = {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP}, .knobs = {{CUDNN_KNOB_TYPE_TILE_SIZE, 3}}, .fuses = true, .needs_workspace = true},
      {.behaviors = {CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION}, .fuses = true, .any_types = true},
      {.notes = {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}, .knobs = {{CUDNN_KNOB_TYPE_REDUCTION_MODE, 1}}},
      {.notes = {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION}},
      {.notes = {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}},
  };
  return engines;
}

DType dtype_read(const Graph& graph) { return *graph.tensors.at(graph.convolution().reads.front()).dtype; }

bool in_whole_vectors(const ConvShape& conv, DType dtype) {
  const int64_t wanted = dtype == DType::f32 ? 4 : 8;
  return (conv.c % wanted == 0 || conv.c == 4) && conv.k % wanted == 0;
}

// cuDNN has no engine that reads halves and writes f32, or adds tensors of another type to the sums; where it compiles a kernel it may add.
std::string types_beyond(const Graph& graph, const Engine& engine) {
  const DType dtype = dtype_read(graph);
  const Operation& conv = graph.convolution();
  for (const int64_t uid : conv.reads)
    if (*graph.tensors.at(uid).dtype != dtype) return "the two tensors of a convolution have different types";
  for (const auto& [uid, tensor] : graph.tensors) {
    if (tensor.is_virtual || *tensor.dtype == dtype) continue;
    const bool is_result = graph.results.contains(uid);
    const bool is_sum = is_result && tensor.extents[0] * tensor.extents[2] * tensor.extents[3] == 1 && graph.results.size() > 1;
    if (!engine.any_types || (is_result && !is_sum)) return fmt::format("tensor {} has another type than those that are multiplied", uid);
  }
  return {};
}

bool has_note(const Engine& engine, cudnnBackendNumericalNote_t note) {
  return std::find(engine.notes.begin(), engine.notes.end(), note) != engine.notes.end();
}

}  // namespace

std::span<const Engine> engines() { return table(); }

std::string why_not(const Graph& graph, int64_t index) {
  if (!graph.beyond.empty()) return graph.beyond;
  const Engine& engine = table()[static_cast<size_t>(index)];
  const DType dtype = dtype_read(graph);
  if (std::string why = types_beyond(graph, engine); !why.empty()) return why;
  if (!engine.fuses && graph.operations.size() > 1) return fmt::format("engine {} computes a convolution and nothing else", index);
  if (index == kFusion && graph.operations.size() == 1) return "there is nothing to fuse";
  if (engine.whole_vectors && !in_whole_vectors(graph.convolution().conv, dtype))
    return "channels or filters are no whole vectors of 16 bytes";
  if (index == kTf32 && dtype != DType::f32) return "only f32 is rounded to TF32";
  if (has_note(engine, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) && dtype == DType::f32) return "sums of f32 are f32";
  if (index == kAnyOrder && graph.convolution().type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
    return "only gradients are added in any order";
  return {};
}

int64_t workspace_of(const Graph& graph, int64_t index) {
  if (!table()[static_cast<size_t>(index)].needs_workspace) return 0;
  const int64_t bytes = graph.tensors.at(graph.convolution().writes.front()).count() * static_cast<int64_t>(sizeof(float));
  return (bytes + kWorkspaceUnit - 1) / kWorkspaceUnit * kWorkspaceUnit;
}

std::vector<Suggestion> suggestions(const Graph& graph, cudnnBackendHeurMode_t mode) {
  std::vector<Suggestion> wanted;
  if (mode == CUDNN_HEUR_MODE_FALLBACK)
    wanted = {{kPlain}, {kFusion}};
  else if (mode == CUDNN_HEUR_MODE_B)
    wanted = {{kTiles, {{CUDNN_KNOB_TYPE_TILE_SIZE, 1}}}, {kFusion}};
  else
    wanted = {{kTf32},
              {kShortSums},
              {kTiles, {{CUDNN_KNOB_TYPE_TILE_SIZE, 1}}},
              {kAnyOrder, {{CUDNN_KNOB_TYPE_REDUCTION_MODE, 1}}},
              {kTiles, {{CUDNN_KNOB_TYPE_TILE_SIZE, 3}}}};
  std::erase_if(wanted, [&](const Suggestion& one) { return !why_not(graph, one.engine).empty(); });
  return wanted;
}

}  // namespace mirilla::emulate::cudnn
