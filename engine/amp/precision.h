// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/device.h"
#include "kernels/core/dtype.h"

namespace mirilla::amp {

/// The precision that a network runs in. Weights, moments, losses and files are f32 in all of them.
enum class Precision {
  fp32,
  fp16,  // in training with a GradScaler
  bf16,  // has f32's range and needs none
};

/// The dtype for an Autocast scope and the network's input.
constexpr DType dtype_of(Precision precision) {
  return precision == Precision::fp16 ? DType::f16 : precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

constexpr std::string_view name_of(Precision precision) {
  return precision == Precision::fp16 ? "fp16" : precision == Precision::bf16 ? "bf16" : "fp32";
}

/// fp16 on a GPU, which is several times faster in it; fp32 elsewhere.
inline Precision usual_precision(const Device& device) { return device.name() == "cuda" ? Precision::fp16 : Precision::fp32; }

}  // namespace mirilla::amp
