// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/conv_problem.h"

#include <fmt/format.h>

#include <initializer_list>

// What a call of the table asks cuDNN for. Needs no cuDNN: the ledger (kernels/ledger.h) asks the same in every build.
namespace mirilla::cuda::vendor {

namespace {

bool aligned(std::initializer_list<const void*> addresses) {
  for (const void* const address : addresses)
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  return true;
}

void* read(const ConstView& view) { return const_cast<void*>(view.address); }  // cuDNN takes const and other addresses alike

ConvCall call_of(ConvKind kind, const ConstView& x, const ConstView& w, const ConstView& y, const Conv2dSpec& spec, DType dtype,
                 DType result) {
  ConvCall call{.problem = {.kind = kind,
                            .dtype = dtype,
                            .result = result,
                            .n = x.shape[0],
                            .h = x.shape[1],
                            .w = x.shape[2],
                            .c = w.shape[3],
                            .k = w.shape[0],
                            .r = w.shape[1],
                            .s = w.shape[2],
                            .p = y.shape[1],
                            .q = y.shape[2],
                            .spec = spec},
                .buffers = {.x = read(x), .w = read(w), .y = read(y)}};
  call.first_layer = is_half(dtype) && kind != ConvKind::backward_data && call.problem.c > 0 && call.problem.c < kFirstLayer;
  if (call.first_layer) call.problem.c = kFirstLayer;
  call.padded_x = x.shape[3] != w.shape[3];
  return call;
}

std::optional<ConvCall> unless_declined(const ConvCall& call) {
  const ConvBuffers& b = call.buffers;
  const bool takes_x = !call.first_layer || call.padded_x, takes_w = !call.first_layer || call.padded_w;
  const bool suits = aligned({b.y, b.bias, b.residual, takes_x ? b.x : nullptr, takes_w ? b.w : nullptr});
  const bool one_form = call.first_layer || !call.padded_x;  // padded pictures in f32 are our own kernels'
  return one_form && suits && declined(call.problem).empty() ? std::optional(call) : std::nullopt;
}

}  // namespace

std::optional<ConvCall> forward_call(const op::Conv2dBiasAddRelu& c) {
  ConvCall call = call_of(ConvKind::forward, c.x, c.w, c.y, c.spec, c.x.dtype, c.y.dtype);
  ConvProblem& problem = call.problem;
  problem.bias = static_cast<bool>(c.bias);
  if (problem.bias) problem.bias_dtype = c.bias.dtype;
  problem.residual = static_cast<bool>(c.residual);
  problem.relu = c.relu;
  call.buffers.bias = read(c.bias);
  call.buffers.residual = read(c.residual);
  call.padded_w = call.first_layer && c.padded_w;
  if (call.padded_w) call.buffers.w = read(c.padded_w);
  return unless_declined(call);
}

std::optional<ConvCall> backward_data_call(const ConstView& dy, const ConstView& w, const Conv2dSpec& spec, const View& dx) {
  return unless_declined(call_of(ConvKind::backward_data, dx, w, dy, spec, dy.dtype, dx.dtype));
}

std::optional<ConvCall> backward_weight_call(const ConstView& x, const ConstView& dy, const Conv2dSpec& spec, const View& dw) {
  return unless_declined(call_of(ConvKind::backward_weight, x, dw, dy, spec, x.dtype, dw.dtype));
}

std::string to_string(const ConvProblem& p) {
  constexpr std::string_view kKinds[] = {"forward", "backward_data", "backward_weight"};
  std::string text =
      fmt::format("{} {}{} ({},{},{},{}) * ({},{},{},{}) stride {} padding {} dilation {}", kKinds[static_cast<size_t>(p.kind)],
                  name_of(p.dtype), p.result == p.dtype ? "" : fmt::format(" to {}", name_of(p.result)), p.n, p.h, p.w, p.c, p.k, p.r, p.s,
                  p.c, p.spec.stride, p.spec.padding, p.spec.dilation);
  if (p.scale_shift_relu) text += " of scale, shift, relu";
  if (p.bias) text += fmt::format(" + bias {}", name_of(p.bias_dtype));
  if (p.residual) text += " + residual";
  if (p.relu) text += ", relu";
  if (p.sums) text += ", sums";
  return text;
}

size_t HashOfProblem::operator()(const ConvProblem& p) const noexcept {
  const int64_t flags = (p.scale_shift_relu << 4) | (p.bias << 3) | (p.residual << 2) | (p.relu << 1) | static_cast<int>(p.sums);
  const int64_t kinds = static_cast<int64_t>(p.kind) * 8 + static_cast<int64_t>(p.dtype);
  uint64_t hash = 0;
  for (const int64_t part : {kinds, flags, p.n, p.h, p.w, p.c, p.k, p.r, int64_t{p.spec.stride}})
    hash = (hash ^ static_cast<uint64_t>(part)) * 0x9E3779B97F4A7C15u;  // the golden ratio's digits
  return static_cast<size_t>(hash ^ (hash >> 32));
}

bool may_be_rounded(const ConvProblem& p) {
  const bool f32_gradient = p.kind == ConvKind::backward_weight && p.result == DType::f32;
  return is_half(p.dtype) && (f32_gradient || (p.bias && p.bias_dtype == DType::f32));
}

ConvProblem in_halves(ConvProblem p) {
  p.result = p.bias_dtype = p.dtype;
  return p;
}

ConvProblem with_f32_ends(ConvProblem p) {
  if (p.kind == ConvKind::backward_weight) p.result = DType::f32;
  p.bias_dtype = DType::f32;
  return p;
}

int64_t elements_written(const ConvProblem& p) {
  switch (p.kind) {
    case ConvKind::forward: return p.n * p.p * p.q * p.k;
    case ConvKind::backward_data: return p.n * p.h * p.w * p.c;
    default: return p.k * p.r * p.s * p.c;
  }
}

std::string declined(const ConvProblem& p) {
  if (!is_half(p.dtype) && p.dtype != DType::f32) return fmt::format("{} is not computed there", name_of(p.dtype));
  const int64_t wanted = is_half(p.dtype) ? 8 : 4;  // 16 bytes
  const bool first_layer = is_half(p.dtype) && p.c == 4 && p.kind != ConvKind::backward_data && !p.scale_shift_relu;
  if (p.c % wanted != 0 && !first_layer) return fmt::format("{} channels are no multiple of {}", p.c, wanted);
  if (p.k % wanted != 0) return fmt::format("{} filters are no multiple of {}", p.k, wanted);
  if (p.n * p.h * p.w * p.c == 0 || p.k * p.r * p.s == 0 || p.p * p.q == 0) return "nothing is in a tensor";
  return {};
}

}  // namespace mirilla::cuda::vendor
