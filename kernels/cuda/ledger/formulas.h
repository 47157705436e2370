// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <type_traits>

#include "kernels/core/backend.h"
#include "kernels/ledger.h"

/// What a call of the table costs by formula: multiply-adds, the least bytes, and what PyTorch moves for the same.
namespace mirilla::simt::formulas {

struct Moves {
  int64_t floor = 0, eager = 0, compiled = 0;
};

inline int64_t bytes_of(const ConstView& view) { return view ? view.numel() * static_cast<int64_t>(size_of(view.dtype)) : 0; }
inline int64_t bytes_of(const View& view) { return bytes_of(ConstView(view)); }
inline int64_t bytes_of(std::span<const ConstView> views) {
  int64_t bytes = 0;
  for (const ConstView& view : views) bytes += bytes_of(view);
  return bytes;
}

/// Each view of the call once.
template <Operation T>
int64_t once(const T& call) {
  int64_t bytes = 0;
  for_each_view(call, [&](const auto& view) { bytes += bytes_of(view); });
  return bytes;
}

double flop_of(const op::Conv2d& call);
double flop_of(const op::Conv2dBiasAddRelu& call);
double flop_of(const op::Conv2dBackwardData& call);
double flop_of(const op::Conv2dBackwardWeight& call);
double flop_of(const op::Matmul& call);
/// The others are limited by memory.
template <Operation T>
double flop_of(const T&) {
  return 0;
}

Moves moves_of(const op::Conv2d& call);
Moves moves_of(const op::Conv2dBiasAddRelu& call);
Moves moves_of(const op::Conv2dBackwardData& call);
Moves moves_of(const op::Conv2dBackwardWeight& call);
Moves moves_of(const op::Matmul& call);
Moves moves_of(const op::BatchNormStatistics& call);
Moves moves_of(const op::BatchNormApply& call);
Moves moves_of(const op::BatchNorm& call);
Moves moves_of(const op::BatchNormBackward& call);
Moves moves_of(const op::MaxPool2d& call);
Moves moves_of(const op::BatchNormReluMaxPool2d& call);
Moves moves_of(const op::MaxPool2dBackward& call);
Moves moves_of(const op::Add& call);
Moves moves_of(const op::CheckFinite& call);
Moves moves_of(const op::Adam& call);
Moves moves_of(const op::Augment& call);
/// The others are small: PyTorch moves each view once.
template <Operation T>
Moves moves_of(const T& call) {
  return {.floor = 0, .eager = once(call), .compiled = once(call)};
}

}  // namespace mirilla::simt::formulas
