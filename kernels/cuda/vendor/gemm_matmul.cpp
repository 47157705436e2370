// SPDX-License-Identifier: MIT
#include <map>
#include <memory>
#include <mutex>

#include "kernels/cuda/vendor/gemm.h"
#include "kernels/cuda/vendor/library_plans.h"
#include "kernels/cuda/vendor/vendor.h"
#include "kernels/cuda/vendor/workspace.h"

namespace mirilla::MIRILLA_PLATFORM::vendor {

namespace {

class StreamTools final : public GemmTools {
 public:
  explicit StreamTools(Stream& stream) : stream_(stream), workspace_(stream) {}

  cudaStream_t stream() override { return stream_.native(); }
  bool recording() override { return stream_.recording(); }
  void* workspace(size_t bytes) override { return workspace_.at_least(bytes); }
  double milliseconds(const std::function<void()>& work) override {
    start_.record(stream_);
    work();
    end_.record(stream_);
    end_.synchronize();
    return Event::milliseconds_between(start_, end_);
  }

 private:
  Stream& stream_;
  Workspace workspace_;
  Event start_, end_;
};

struct OnStream {
  explicit OnStream(Stream& stream)
      : tools(stream), gemm(cublaslt(), plans_of(cublaslt_library().name(), cublaslt_library().version()), tools, options()) {}
  StreamTools tools;
  Gemm gemm;
};

// One per stream, made at its first product and, like the stream of the device, never destroyed.
Gemm& gemm_on(Stream& stream) {
  choose(stream.index());  // the library uses the thread's GPU
  static std::mutex mutex;
  static auto& all = *std::make_unique<std::map<Stream*, std::unique_ptr<OnStream>>>().release();
  const std::lock_guard lock(mutex);
  std::unique_ptr<OnStream>& one = all[&stream];
  if (!one) one = std::make_unique<OnStream>(stream);
  return one->gemm;
}

}  // namespace

bool matmul(Stream& stream, const ConstView& a, const ConstView& b, const MatmulSpec& spec, const View& y) {
  if (!options().cublaslt) return false;
  const Product product = product_of(a, b, spec.transpose_a, spec.transpose_b, y);
  if (product.m == 0 || !gemm_on(stream).run(product, {.a = a.address, .b = b.address, .y = y.address})) return false;
  detail::library_called(stream, "compute a product by cuBLASLt");
  return true;
}

}  // namespace mirilla::MIRILLA_PLATFORM::vendor
