// SPDX-License-Identifier: MIT
#include <map>

#include "kernels/cuda/conv/channels.h"
#include "kernels/cuda/conv/vendor_plans.h"
#include "kernels/cuda/vendor/conv_probe.h"
#include "kernels/cuda/vendor/conv_tools.h"
#include "kernels/cuda/vendor/cudnn.h"
#include "kernels/cuda/vendor/library_plans.h"
#include "kernels/cuda/vendor/options.h"
#include "kernels/cuda/vendor/vendor.h"

// The convolutions of the table of operations, given to cuDNN.
namespace mirilla::cuda::vendor {

namespace {

struct Convolutions {
  explicit Convolutions(Stream& stream)
      : tools(stream),
        plans(tools, &plans_of(cudnn().name(), cudnn().version()), {options().workspace_bytes, options().deterministic, options().tf32}) {}
  CudnnTools tools;
  ConvPlans plans;  // what is chosen on this GPU outlasts the program
};

// One entry per stream that has computed a convolution. Never destroyed: replays refer to its contents.
struct AllConvolutions {
  std::mutex mutex;
  std::map<Stream*, Convolutions> by_stream;
};

AllConvolutions& all_convolutions() {
  static auto& all = *std::make_unique<AllConvolutions>().release();
  return all;
}

Convolutions& on(Stream& stream) {
  choose(stream.index());  // the library uses the thread's GPU
  AllConvolutions& all = all_convolutions();
  const std::lock_guard lock(all.mutex);
  return all.by_stream.try_emplace(&stream, stream).first->second;
}

// A copy with kFirstLayer channels, the added ones zero: products with zero add nothing to a sum.
struct Padded {
  Padded(Stream& stream, const void* from, const Shape& shape, DType dtype)
      : rows(shape[0] * shape[1] * shape[2]), memory(stream, static_cast<size_t>(rows * kFirstLayer) * size_of(dtype)) {
    copy_channels(stream, from, shape[3], memory.as<void>(), kFirstLayer, rows, dtype);
  }
  int64_t rows;
  Scratch memory;
};

bool run(Stream& stream, const ConvCall& call) {
  if (!on(stream).plans.run(call.problem, call.buffers)) return false;
  detail::library_called(stream, "compute a convolution by cuDNN");
  return true;
}

bool run_forward(Stream& stream, const op::Conv2dBiasAddRelu& wanted) {
  std::optional<ConvCall> call = options().cudnn ? forward_call(wanted) : std::nullopt;
  if (!call) return false;
  if (!call->first_layer) return run(stream, *call);
  if (!on(stream).plans.may_run(call->problem)) return false;
  const DType dtype = call->problem.dtype;
  const Padded x(stream, wanted.x.address, wanted.x.shape, dtype), w(stream, wanted.w.address, wanted.w.shape, dtype);
  call->buffers.x = x.memory.as<void>();
  call->buffers.w = w.memory.as<void>();
  return run(stream, *call);
}

}  // namespace

bool conv2d_forward(Stream& stream, const ConstView& x, const ConstView& w, const ConstView& bias, const Conv2dSpec& spec, const View& y) {
  return run_forward(stream, {.x = x, .w = w, .bias = bias, .residual = {}, .relu = false, .spec = spec, .y = y});
}

bool conv2d_bias_add_relu(Stream& stream, const op::Conv2dBiasAddRelu& call) { return run_forward(stream, call); }

bool conv2d_backward_data(Stream& stream, const ConstView& dy, const ConstView& w, const Conv2dSpec& spec, const View& dx) {
  const std::optional<ConvCall> call = options().cudnn ? backward_data_call(dy, w, spec, dx) : std::nullopt;
  return call && run(stream, *call);
}

bool conv2d_backward_weight(Stream& stream, const ConstView& x, const ConstView& dy, const Conv2dSpec& spec, const View& dw) {
  std::optional<ConvCall> call = options().cudnn ? backward_weight_call(x, dy, spec, dw) : std::nullopt;
  if (!call) return false;
  if (!call->first_layer) return run(stream, *call);
  const ConvProblem& problem = call->problem;
  if (!on(stream).plans.may_run(problem)) return false;
  const Padded wide(stream, x.address, x.shape, problem.dtype);
  const Scratch gradient(stream, static_cast<size_t>(elements_written(problem)) * size_of(problem.result));
  call->buffers.x = wide.memory.as<void>();
  call->buffers.w = gradient.as<void>();
  if (!run(stream, *call)) return false;
  copy_channels(stream, gradient.as<void>(), kFirstLayer, dw.address, x.shape[3], dw.numel() / x.shape[3], problem.result);
  return true;
}

}  // namespace mirilla::cuda::vendor

namespace mirilla::cuda {

PlanStore* conv_plan_store() {
  if (!unavailable(chosen()).empty() || !vendor::options().cudnn) return nullptr;
  try {
    return &vendor::plans_of(vendor::cudnn().name(), vendor::cudnn().version());
  } catch (const DeviceError&) {  // no cuDNN: the next convolution reports it
    return nullptr;
  }
}

std::vector<std::string> conv_fusions() {
  if (!conv_plan_store()) return {};
  std::vector<std::string> lines;
  const vendor::ConvChip chip = vendor::ConvChip::here();
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32})
    for (const vendor::Fusion& fusion : vendor::probe_fusions(chip, dtype))
      lines.push_back(
          fmt::format("{}: {}: {}", name_of(dtype), fusion.name, fusion.plans == 0 ? fusion.why : fmt::format("{} plans", fusion.plans)));
  return lines;
}

std::string conv_plans_text() {
  vendor::AllConvolutions& all = vendor::all_convolutions();
  const std::lock_guard lock(all.mutex);
  const PlanStore* const kept = all.by_stream.empty() ? nullptr : conv_plan_store();
  if (!kept) return {};
  PlanStore chosen({}, kept->owner());
  for (const auto& [stream, convolutions] : all.by_stream)
    for (const auto& [key, plan] : convolutions.plans.chosen()) chosen.put(key, plan);
  return chosen.size() == 0 ? std::string() : chosen.text();
}

}  // namespace mirilla::cuda
