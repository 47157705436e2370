// SPDX-License-Identifier: MIT
#include "engine/amp/autocast.h"

#include <array>
#include <mutex>

#include "engine/ops/cast.h"

namespace mirilla::amp {

namespace {

struct Row {
  std::string_view op;
  Policy policy;
};

constexpr std::array kTable{Row{"conv2d", Policy::half}, Row{"conv2d_bias_add_relu", Policy::half},
                            Row{"linear", Policy::half}, Row{"softmax", Policy::f32},
                            Row{"sum", Policy::f32},     Row{"mean", Policy::f32},
                            Row{"add", Policy::widest},  Row{"concat", Policy::widest}};

thread_local DType open_dtype = DType::f32;

// Guards the half copies of all tensors: several threads may run one network.
std::mutex half_copies;

void write_padded(HalfCopy& kept) {
  if (kept.padded) kept.padded.backend().run(op::Concat{kept.tensor, kept.zeros, kept.padded});
}

bool is_open() { return open_dtype != DType::f32; }

}  // namespace

Policy policy_of(std::string_view op) {
  for (const Row& row : kTable)
    if (row.op == op) return row.policy;
  return Policy::as_it_comes;
}

Autocast::Autocast(DType dtype) : before_(open_dtype) {
  if (dtype != DType::f32 && !is_half(dtype))
    throw Error(fmt::format("autocast: expected f16, bf16 or f32 (which changes nothing), got {}", name_of(dtype)));
  open_dtype = dtype;
}

Autocast::~Autocast() { open_dtype = before_; }

DType autocast_dtype() { return open_dtype; }

Tensor input(std::string_view op, const Tensor& x) {
  if (!is_open() || !x || x.dtype() == DType::f64) return x;
  switch (policy_of(op)) {
    case Policy::half: return cast(x, open_dtype);
    case Policy::f32: return cast(x, DType::f32);
    default: return x;
  }
}

std::pair<Tensor, Tensor> inputs(std::string_view op, const Tensor& a, const Tensor& b) {
  const bool promotes = is_open() && policy_of(op) == Policy::widest && a.dtype() != b.dtype();
  if (!promotes || a.dtype() == DType::f64 || b.dtype() == DType::f64) return {a, b};
  return {cast(a, DType::f32), cast(b, DType::f32)};  // two halves of different kinds meet in f32 too
}

Tensor weight(std::string_view op, const Tensor& w) {
  if (!is_open() || !w || w.dtype() == DType::f64 || policy_of(op) != Policy::half) return w;
  return half_copy(w, open_dtype);
}

bool answers_in_f32(std::string_view op, const Tensor& x) { return is_open() && is_half(x.dtype()) && policy_of(op) == Policy::f32; }

Tensor half_copy(const Tensor& w, DType half) {
  if (w.dtype() == half) return w;
  const std::lock_guard lock(half_copies);
  w.half_copies().last = half;
  HalfCopy& kept = w.half_copies().of(half);
  if (!kept.tensor) {
    kept.tensor = empty(w.shape(), half, w.device());
    kept.version = ~w.version();
  }
  if (kept.version != w.version()) {
    if (!kept.tensor.is_sole_owner()) kept.tensor = empty(w.shape(), half, w.device());  // a tape may still need the old values
    w.backend().run(op::Cast{w, kept.tensor});
    write_padded(kept);
    kept.version = w.version();
  }
  return kept.tensor;
}

Tensor current_half_copy(const Tensor& w) {
  const std::lock_guard lock(half_copies);
  const HalfCopy& kept = w.half_copies().of(w.half_copies().last);
  return kept.tensor && kept.version == w.version() ? kept.tensor : Tensor();
}

Tensor padded_half_copy(const Tensor& w, DType half) {
  if (w.dtype() != DType::f32 || !is_half(half) || w.shape().rank() != 4 || w.size(3) != kPictureChannels) return {};
  const std::lock_guard lock(half_copies);
  HalfCopy& kept = w.half_copies().of(half);
  if (!kept.tensor || kept.version != w.version()) return {};
  if (!kept.padded) {
    kept.zeros = zeros({w.size(0), w.size(1), w.size(2), kPaddedChannels - kPictureChannels}, half, w.device());
    kept.padded = empty({w.size(0), w.size(1), w.size(2), kPaddedChannels}, half, w.device());
    write_padded(kept);
  }
  return kept.padded;
}

void mark_half_copy_current(const Tensor& w, DType half) {
  const std::lock_guard lock(half_copies);
  HalfCopy& kept = w.half_copies().of(half);
  write_padded(kept);
  kept.version = w.version();
}

void mark_half_copy_replayed(const Tensor& w, DType half) {
  const std::lock_guard lock(half_copies);
  w.half_copies().of(half).version = w.version();
}

}  // namespace mirilla::amp
