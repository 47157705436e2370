// SPDX-License-Identifier: MIT
#include <map>

#include "kernels/cuda/conv/channels.h"
#include "kernels/cuda/conv/plans.h"
#include "kernels/cuda/vendor/conv_tools.h"
#include "kernels/cuda/vendor/cudnn.h"
#include "kernels/cuda/vendor/options.h"
#include "kernels/cuda/vendor/plans.h"
#include "kernels/cuda/vendor/vendor.h"

// The table's convolutions as problems of cuDNN's.
namespace mirilla::cuda::vendor {

namespace {

constexpr int64_t kFirstLayer = 4;  // channels that a picture's fewer are padded to: 8 bytes, for which cuDNN has kernels of their own

// What is chosen on this GPU outlasts the program.
class Shelf final : public PlanKeeper {
 public:
  std::optional<ChosenPlan> find(const std::string& key) override {
    const auto found = store().find(key);
    return found ? std::optional(ChosenPlan{found->text, found->milliseconds}) : std::nullopt;
  }
  void keep(const std::string& key, const ChosenPlan& chosen) override { store().put(key, {chosen.plan, chosen.milliseconds}); }

 private:
  static PlanStore& store() { return plans_of(cudnn().name(), cudnn().version()); }
};

struct Convolutions {
  explicit Convolutions(Stream& stream)
      : tools(stream), plans(tools, &shelf, {options().workspace_bytes, options().deterministic, options().tf32}) {}
  CudnnTools tools;
  Shelf shelf;
  ConvPlans plans;
};

// Of each stream that ever computed one. Never destroyed: replays hold what is in it.
struct AllConvolutions {
  std::mutex mutex;
  std::map<Stream*, Convolutions> by_stream;
};

AllConvolutions& all_convolutions() {
  static auto& all = *std::make_unique<AllConvolutions>().release();
  return all;
}

Convolutions& on(Stream& stream) {
  choose(stream.index());  // the library computes on the thread's GPU
  AllConvolutions& all = all_convolutions();
  const std::lock_guard lock(all.mutex);
  return all.by_stream.try_emplace(&stream, stream).first->second;
}

bool aligned(std::initializer_list<const void*> addresses) {
  for (const void* const address : addresses)
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  return true;
}

ConvProblem problem_of(ConvKind kind, const Shape& x, const Shape& w, const Shape& y, const Conv2dSpec& spec, DType read, DType written) {
  return {.kind = kind,
          .dtype = read,
          .result = written,
          .n = x[0],
          .h = x[1],
          .w = x[2],
          .c = x[3],
          .k = w[0],
          .r = w[1],
          .s = w[2],
          .p = y[1],
          .q = y[2],
          .spec = spec};
}

// A copy of pictures or weights with kFirstLayer channels, zeros in those that are new: a zero's products add nothing to a sum.
struct Padded {
  Padded(Stream& stream, const void* from, const Shape& shape, DType dtype)
      : rows(shape[0] * shape[1] * shape[2]), memory(stream, static_cast<size_t>(rows * kFirstLayer) * size_of(dtype)) {
    copy_channels(stream, from, shape[3], memory.as<void>(), kFirstLayer, rows, dtype);
  }
  int64_t rows;
  Scratch memory;
};

bool is_first_layer(const ConvProblem& p) { return is_half(p.dtype) && p.c < kFirstLayer && p.c > 0; }

bool run_forward(Stream& stream, const Conv2dBiasAddRelu& call) {
  if (!options().cudnn) return false;
  ConvProblem p = problem_of(ConvKind::forward, call.x.shape, call.w.shape, call.y.shape, call.spec, call.x.dtype, call.y.dtype);
  p.bias = static_cast<bool>(call.bias);
  if (p.bias) p.bias_dtype = call.bias.dtype;
  p.residual = static_cast<bool>(call.residual);
  p.relu = call.relu;
  const bool first = is_first_layer(p);
  if (first) p.c = kFirstLayer;
  if (!declined(p).empty() || !aligned({call.y.address, call.bias.address, call.residual.address})) return false;
  if (!first && !aligned({call.x.address, call.w.address})) return false;
  ConvPlans& plans = on(stream).plans;
  ConvBuffers buffers{.x = const_cast<void*>(call.x.address),
                      .w = const_cast<void*>(call.w.address),
                      .y = call.y.address,
                      .bias = const_cast<void*>(call.bias.address),
                      .residual = const_cast<void*>(call.residual.address)};
  if (!first) return plans.run(p, buffers);
  if (!plans.may_run(p)) return false;
  const Padded x(stream, call.x.address, call.x.shape, p.dtype), w(stream, call.w.address, call.w.shape, p.dtype);
  buffers.x = x.memory.as<void>();
  buffers.w = w.memory.as<void>();
  return plans.run(p, buffers);
}

}  // namespace

bool conv2d_forward(Stream& stream, const ConstView& x, const ConstView& w, const ConstView& bias, const Conv2dSpec& spec, const View& y) {
  return run_forward(stream, {.x = x, .w = w, .bias = bias, .residual = {}, .relu = false, .spec = spec, .y = y});
}

bool conv2d_bias_add_relu(Stream& stream, const Conv2dBiasAddRelu& call) { return run_forward(stream, call); }

bool conv2d_backward_data(Stream& stream, const ConstView& dy, const ConstView& w, const Conv2dSpec& spec, const View& dx) {
  if (!options().cudnn) return false;
  const ConvProblem p = problem_of(ConvKind::backward_data, dx.shape, w.shape, dy.shape, spec, dy.dtype, dx.dtype);
  if (!declined(p).empty() || !aligned({dy.address, w.address, dx.address})) return false;
  return on(stream).plans.run(p, {.x = dx.address, .w = const_cast<void*>(w.address), .y = const_cast<void*>(dy.address)});
}

bool conv2d_backward_weight(Stream& stream, const ConstView& x, const ConstView& dy, const Conv2dSpec& spec, const View& dw) {
  if (!options().cudnn) return false;
  ConvProblem p = problem_of(ConvKind::backward_weight, x.shape, dw.shape, dy.shape, spec, x.dtype, dw.dtype);
  const bool first = is_first_layer(p);
  if (first) p.c = kFirstLayer;
  if (!declined(p).empty() || !aligned({dy.address}) || (!first && !aligned({x.address, dw.address}))) return false;
  ConvPlans& plans = on(stream).plans;
  ConvBuffers buffers{.x = const_cast<void*>(x.address), .w = dw.address, .y = const_cast<void*>(dy.address)};
  if (!first) return plans.run(p, buffers);
  if (!plans.may_run(p)) return false;
  const int64_t rows = p.k * p.r * p.s;
  const Padded wide(stream, x.address, x.shape, p.dtype);
  const Scratch gradient(stream, static_cast<size_t>(rows * kFirstLayer) * size_of(p.result));
  buffers.x = wide.memory.as<void>();
  buffers.w = gradient.as<void>();
  if (!plans.run(p, buffers)) return false;
  copy_channels(stream, gradient.as<void>(), kFirstLayer, dw.address, x.shape[3], rows, p.result);
  return true;
}

}  // namespace mirilla::cuda::vendor

namespace mirilla::cuda {

PlanStore* conv_plan_store() {
  if (!unavailable(chosen()).empty() || !vendor::options().cudnn) return nullptr;
  try {
    return &vendor::plans_of(vendor::cudnn().name(), vendor::cudnn().version());
  } catch (const DeviceError&) {  // no cuDNN: whoever computes a convolution is told
    return nullptr;
  }
}

std::string conv_plans_text() {
  vendor::AllConvolutions& all = vendor::all_convolutions();
  const std::lock_guard lock(all.mutex);
  const PlanStore* const kept = all.by_stream.empty() ? nullptr : conv_plan_store();
  if (!kept) return {};
  PlanStore chosen({}, kept->owner());
  for (const auto& [stream, convolutions] : all.by_stream)
    for (const auto& [key, plan] : convolutions.plans.chosen()) chosen.put(key, {plan.plan, plan.milliseconds});
  return chosen.size() == 0 ? std::string() : chosen.text();
}

}  // namespace mirilla::cuda
