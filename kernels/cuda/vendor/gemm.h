// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/cuda/vendor/cublaslt.h"
#include "kernels/cuda/vendor/options.h"
#include "kernels/cuda/vendor/product.h"
#include "kernels/plans/plan_store.h"

namespace mirilla::cuda::vendor {

struct ProductBuffers {
  const void* a = nullptr;
  const void* b = nullptr;
  const void* bias = nullptr;  // (N) of the result's type, where the epilogue adds one
  void* y = nullptr;
};

/// The most bytes beside the operands; cuBLAS recommends 32 MiB for Hopper.
inline constexpr size_t kMostProductWorkspace = size_t{64} << 20;

/// What a product needs from the device: timing and memory.
class GemmTools {
 public:
  virtual ~GemmTools() = default;
  virtual cudaStream_t stream() = 0;
  virtual bool recording() = 0;
  virtual void* workspace(size_t bytes) = 0;
  /// The time of `work` on the device, per call. Waits.
  virtual double milliseconds(const std::function<void()>& work) = 0;
};

/// Products by cuBLASLt, on one device and one stream.
///
/// Sums are f32, also where they are computed in several parts, and rounded once; f32 operands are multiplied as f32 (no TF32,
/// PyTorch's default for matmul). cuBLASLt is asked for the algorithm of a product once: its best few guesses are timed on the given
/// buffers, and the fastest is kept in the plan store. While the stream records, nothing is timed and the first guess is taken. The
/// deterministic option always takes the first guess, since timing varies.
class Gemm {
 public:
  Gemm(const CublasLt& library, PlanStore& plans, GemmTools& tools, const Options& options);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  /// False, with nothing started, where cuBLASLt has no algorithm for it. Does not wait, except at the first call of a product.
  /// Throws DeviceError naming the product where cuBLASLt fails.
  bool run(const Product& product, const ProductBuffers& buffers);

 private:
  struct Prepared;  // a product's descriptors and its algorithm
  Prepared& prepare(const Product& product);
  bool choose(Prepared& prepared, const ProductBuffers& buffers);
  bool take_stored(Prepared& prepared);
  std::vector<cublasLtMatmulHeuristicResult_t> guesses(const Prepared& prepared);
  cublasStatus_t start(const Prepared& prepared, const ProductBuffers& buffers, const cublasLtMatmulHeuristicResult_t& choice);

  const CublasLt& library_;
  PlanStore& plans_;
  GemmTools& tools_;
  size_t most_workspace_;
  bool deterministic_;
  std::mutex mutex_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Product, std::unique_ptr<Prepared>> prepared_;
};

}  // namespace mirilla::cuda::vendor
