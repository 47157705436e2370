// SPDX-License-Identifier: MIT
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/core/view.h"
#include "kernels/cuda/vendor/cublaslt.h"
#include "kernels/cuda/vendor/options.h"
#include "kernels/plans/plan_store.h"

namespace mirilla::cuda::vendor {

/// Applied to a sum before it is rounded and stored: y = max(. + bias, 0), each part only if named; bias (N).
enum class Epilogue { none, relu, bias, relu_bias };

/// y (M,N) = epilogue(op(a) op(b)), dense row-major; op(a) (M,K), op(b) (K,N). Everything that the choice of an algorithm depends on.
struct Product {
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  DType operands = DType::f32, result = DType::f32;
  Epilogue epilogue = Epilogue::none;
  int alignment = 16;  // every address is a multiple of this many bytes: 256, 16, or an element's size
  auto operator<=>(const Product&) const = default;
};
/// "matmul 8x512 . 512x1024 transposed f16 -> f16, aligned to 256": the key of its plan, and its name in messages.
std::string to_string(const Product& product);

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

/// The product of a call of the table, or none (m = 0) where it does not suit cuBLASLt: rows of halves that are not whole 16-byte vectors,
/// an inner extent of 0, an extent past 2^31.
Product product_of(const ConstView& a, const ConstView& b, bool transpose_a, bool transpose_b, const View& y);

}  // namespace mirilla::cuda::vendor
