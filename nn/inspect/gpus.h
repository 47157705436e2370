// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace mirilla::nn {

/// A GPU as its maker describes it: highest rates, without sparsity.
struct GpuModel {
  std::string_view name;   // "h200"
  std::string_view title;  // "NVIDIA H200"
  int compute_capability = 0;
  int multiprocessors = 0;
  int threads_per_multiprocessor = 0;
  size_t memory_bytes = 0;
  double bytes_per_s = 0;       // of its memory
  double half_flop_per_s = 0;   // of tensor cores, f16 and bf16 with sums in f32
  double float_flop_per_s = 0;  // of f32 units
  std::string_view source;
};

/// h200, h100, a100, rtx4090.
std::span<const GpuModel> gpu_models();
/// Throws UsageError for an unknown name.
const GpuModel& gpu_model_of(std::string_view name);

/// One number of the model of time, and where it is from.
struct CostConstant {
  std::string_view name;
  double value = 0;
  std::string_view unit;
  std::string_view source;
};

/// The model: a piece of work takes
///
///   node_us + max(shortest_us, bytes / (copy_share bytes_per_s), flop / (product_share flop_per_s min(1, blocks / multiprocessors)))
///
/// microseconds, one after the other; a copy between the host and the device takes shortest_us + bytes / host_bytes_per_s. Only
/// convolutions and products have FLOP; our own kernels' blocks share the memory alike.
struct CostConstants {
  CostConstant copy_share, product_share, node_us, shortest_us, host_bytes_per_s;
};
const CostConstants& cost_constants();

}  // namespace mirilla::nn
