// SPDX-License-Identifier: MIT
#include "nn/inspect/gpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernels/core/error.h"

namespace mirilla::nn {

namespace {

constexpr size_t kGigabyte = 1'000'000'000;

constexpr std::array kGpus{
    GpuModel{.name = "h200",
             .title = "NVIDIA H200",
             .compute_capability = 90,
             .multiprocessors = 132,
             .threads_per_multiprocessor = 2048,
             .memory_bytes = 141 * kGigabyte,
             .bytes_per_s = 4.8e12,
             .half_flop_per_s = 989e12,
             .float_flop_per_s = 67e12,
             .source = "NVIDIA H200 Tensor Core GPU data sheet, H200 SXM"},
    GpuModel{.name = "h100",
             .title = "NVIDIA H100",
             .compute_capability = 90,
             .multiprocessors = 132,
             .threads_per_multiprocessor = 2048,
             .memory_bytes = 80 * kGigabyte,
             .bytes_per_s = 3.35e12,
             .half_flop_per_s = 989e12,
             .float_flop_per_s = 67e12,
             .source = "NVIDIA H100 Tensor Core GPU data sheet, H100 SXM"},
    GpuModel{.name = "a100",
             .title = "NVIDIA A100",
             .compute_capability = 80,
             .multiprocessors = 108,
             .threads_per_multiprocessor = 2048,
             .memory_bytes = 80 * kGigabyte,
             .bytes_per_s = 2.039e12,
             .half_flop_per_s = 312e12,
             .float_flop_per_s = 19.5e12,
             .source = "NVIDIA A100 Tensor Core GPU data sheet, A100 80GB SXM"},
    GpuModel{.name = "rtx4090",
             .title = "NVIDIA GeForce RTX 4090",
             .compute_capability = 89,
             .multiprocessors = 128,
             .threads_per_multiprocessor = 1536,
             .memory_bytes = 24 * kGigabyte,
             .bytes_per_s = 1.008e12,
             .half_flop_per_s = 165.2e12,  // 330.3 with sums in f16, which we never use
             .float_flop_per_s = 82.6e12,
             .source = "NVIDIA Ada GPU architecture white paper, table of the GeForce RTX 4090"},
};

}  // namespace

std::span<const GpuModel> gpu_models() { return kGpus; }

const GpuModel& gpu_model_of(std::string_view name) {
  const auto found = std::find_if(kGpus.begin(), kGpus.end(), [&](const GpuModel& gpu) { return gpu.name == name; });
  if (found != kGpus.end()) return *found;
  std::string known;
  for (const GpuModel& gpu : kGpus) known += fmt::format("{}{}", known.empty() ? "" : ", ", gpu.name);
  throw UsageError(fmt::format("there is no description of a GPU '{}'", name), "there are " + known);
}

// None of these was measured or found in a publication that could be checked; a day on a GPU replaces them (docs/performance.md).
const CostConstants& cost_constants() {
  static constexpr CostConstants kConstants{
      .copy_share = {"copy_share", 0.9, "of the memory's rate", "assumed: a large copy"},
      .product_share = {"product_share", 0.5, "of the highest rate", "assumed: cuDNN's and cuBLASLt's larger problems"},
      .node_us = {"node_us", 0.5, "us", "assumed: between two nodes of a graph"},
      .shortest_us = {"shortest_us", 1.5, "us", "assumed: start, one trip to the memory, end"},
      .host_bytes_per_s = {"host_bytes_per_s", 25e9, "bytes/s", "assumed: PCIe 4.0 x16 from pinned memory"},
  };
  return kConstants;
}

}  // namespace mirilla::nn
