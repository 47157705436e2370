// SPDX-License-Identifier: MIT
#include "kernels/emulate/cudnn/execute.h"

#include "kernels/emulate/cudnn/engines.h"
#include "kernels/emulate/errors.h"
#include "kernels/emulate/library/work.h"

#include <algorithm>
#include <bit>

namespace mirilla::emulate::cudnn {

namespace {

constexpr uintptr_t kWorkspaceAlignment = 16;
using Pointers = std::map<int64_t, void*>;

// TF32 keeps 10 bits of the fraction, rounded to nearest, ties away from zero.                 [PTX ISA, cvt.rna.tf32.f32]
void round_to_tf32(std::vector<float>& values) {
  for (float& value : values)
    if (value - value == 0) value = std::bit_cast<float>((std::bit_cast<uint32_t>(value) + 0x1000u) & 0xffffe000u);
}

// NaN passes.
float relu(const Operation& operation, float value) {
  if (value > operation.upper) return static_cast<float>(operation.upper);
  if (value <= operation.lower) return static_cast<float>(operation.lower + operation.slope * (value - operation.lower));
  return value;
}

// Computes a graph on the memory of its tensors.
class Evaluation {
 public:
  Evaluation(const Graph& graph, int64_t engine, const Pointers& pointers, bool reversed)
      : graph_(graph), engine_(engine), pointers_(pointers), sums_{.reversed = reversed && engine == kAnyOrder} {}

  void run() {
    for (const Operation& operation : graph_.operations) {
      switch (operation.type) {
        case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: pointwise(operation); break;
        case CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR: add_up(operation); break;
        default: convolve(operation); break;
      }
    }
  }

 private:
  const Tensor& tensor(int64_t uid) const { return graph_.tensors.at(uid); }

  const std::vector<float>& read(int64_t uid) {
    const auto [at, is_new] = values_.try_emplace(uid);
    if (is_new) at->second = floats_at(pointers_.at(uid), *tensor(uid).dtype, tensor(uid).count());
    return at->second;
  }

  // What later operations read is what was stored.
  void write(int64_t uid, std::vector<float> values) {
    round_to(*tensor(uid).dtype, values);
    if (!tensor(uid).is_virtual) store_floats(values, pointers_.at(uid), *tensor(uid).dtype);
    values_[uid] = std::move(values);
  }

  void convolve(const Operation& operation) {
    std::vector<float> first = read(operation.reads[0]), second = read(operation.reads[1]);
    if (engine_ == kTf32) {
      round_to_tf32(first);
      round_to_tf32(second);
    }
    if (engine_ == kShortSums) sums_.rounded_to = *tensor(operation.reads[0]).dtype;
    if (operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
      write(operation.writes[0], conv_forward(operation.conv, first.data(), second.data(), sums_));
    else if (operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
      write(operation.writes[0], conv_backward_data(operation.conv, first.data(), second.data(), sums_));
    else
      write(operation.writes[0], conv_backward_filter(operation.conv, first.data(), second.data(), sums_));
  }

  void pointwise(const Operation& operation) {
    std::vector<float> values = read(operation.reads[0]);
    if (operation.mode == CUDNN_POINTWISE_RELU_FWD) {
      for (float& value : values) value = relu(operation, value);
    } else {
      const std::vector<float>& other = read(operation.reads[1]);  // as many, or one per channel, which are innermost
      for (size_t i = 0; i < values.size(); ++i) {
        const float with = other[i % other.size()];
        values[i] = operation.mode == CUDNN_POINTWISE_ADD ? values[i] + with : values[i] * with;
      }
    }
    write(operation.writes[0], std::move(values));
  }

  void add_up(const Operation& operation) {
    const std::vector<float>& values = read(operation.reads[0]);
    const auto channels = static_cast<size_t>(tensor(operation.reads[0]).extents[1]);
    std::vector<float> sums(channels), squares(channels);
    for (size_t i = 0; i < values.size(); ++i) {
      sums[i % channels] += values[i];
      squares[i % channels] += values[i] * values[i];
    }
    write(operation.writes[0], std::move(sums));
    write(operation.writes[1], std::move(squares));
  }

  const Graph& graph_;
  const int64_t engine_;
  const Pointers& pointers_;
  Sums sums_;
  std::map<int64_t, std::vector<float>> values_;
};

[[noreturn]] void bad(cudnnStatus_t status, std::string sentence) { throw Refusal{status, std::move(sentence)}; }

Pointers pointers_of(const Graph& graph, const Contents& pack) {
  const std::vector<int64_t> uids = pack.integers(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const Value& given = *pack.find(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  Pointers pointers;
  for (size_t i = 0; i < uids.size(); ++i) std::memcpy(&pointers[uids[i]], given.bytes.data() + i * sizeof(void*), sizeof(void*));
  for (const auto& [uid, tensor] : graph.tensors) {
    if (tensor.is_virtual) continue;
    const auto found = pointers.find(uid);
    if (found == pointers.end()) bad(CUDNN_STATUS_BAD_PARAM, fmt::format("the variant pack has no pointer for tensor {}", uid));
    if (!found->second) bad(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, fmt::format("the pointer for tensor {} is null", uid));
    if (reinterpret_cast<uintptr_t>(found->second) % static_cast<uintptr_t>(tensor.alignment) != 0)
      bad(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
          fmt::format("the pointer {} for tensor {} is not aligned to the {} bytes that its descriptor says", found->second, uid,
                      tensor.alignment));
  }
  return pointers;
}

Operand workspace_in(const Contents& plan, const Contents& pack) {
  const auto bytes = plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
  void* const address = pack.get_or<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, nullptr);
  if (bytes == 0) return {};
  if (!address) bad(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, fmt::format("the plan needs a workspace of {} bytes and was given none", bytes));
  if (reinterpret_cast<uintptr_t>(address) % kWorkspaceAlignment != 0)
    bad(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
        fmt::format("the workspace {} is not aligned to {} bytes", address, kWorkspaceAlignment));
  return {"the workspace", address, static_cast<size_t>(bytes)};
}

}  // namespace

void execute(Runtime& r, const cudnnContext& handle, const Contents& plan, const Contents& pack) {
  if (plan.graph->device >= 0 && plan.graph->device != handle.device)
    bad(CUDNN_STATUS_BAD_PARAM,
        fmt::format("the plan was made for GPU {}, and the handle is of GPU {}", plan.graph->device, handle.device));
  if (Runtime::current() != handle.device)
    bad(CUDNN_STATUS_BAD_PARAM, fmt::format("the handle is of GPU {}, and GPU {} is the thread's", handle.device, Runtime::current()));
  const std::shared_ptr<const Graph> graph = plan.graph;
  const auto engine =
      plan.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).part(CUDNN_ATTR_ENGINECFG_ENGINE).get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
  const auto pointers = std::make_shared<const Pointers>(pointers_of(*graph, pack));
  LibraryWork work{.call = "cudnnBackendExecute", .workspace = workspace_in(plan, pack)};
  const auto add = [&](std::vector<Operand>& operands, int64_t uid) {
    const Tensor& tensor = graph->tensors.at(uid);
    operands.push_back({fmt::format("tensor {}", uid), pointers->at(uid), static_cast<size_t>(tensor.count()) * size_of(*tensor.dtype)});
  };
  for (const int64_t uid : graph->given) add(work.reads, uid);
  for (const int64_t uid : graph->results) add(work.writes, uid);
  if (std::string overlap = overlap_in(work); !overlap.empty()) bad(CUDNN_STATUS_BAD_PARAM, std::move(overlap));
  work.compute = [&r, graph, engine, pointers] {
    const bool reversed = r.settings.seed != 0 && r.random() % 2 == 0;
    Evaluation(*graph, engine, *pointers, reversed).run();
  };
  if (const cudaError_t refused = enqueue(r, handle.stream, std::move(work)); refused != cudaSuccess)
    throw Refusal{CUDNN_STATUS_EXECUTION_FAILED_CUDART, fmt::format("the stream takes no work: {}", emulate::text_of(refused)), false};
}

}  // namespace mirilla::emulate::cudnn
