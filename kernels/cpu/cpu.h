// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "kernels/core/implements.h"

namespace mirilla {

namespace cpu {
class Products;
}

/// The fast host path: convolutions and matrix products by oneDNN where the build found it, everything else by OpenMP and SIMD loops of
/// our own, chosen at run time for AVX2 or AVX-512 (`MIRILLA_CPU_ISA=baseline|avx2|avx512` overrides).
///
/// Computes in f32; f16, bf16, u8 and i64 where the table of operations allows them (fill, cast, indices, labels, pictures). f64 exists on
/// the reference device only and is refused here. Each call is finished when it returns. A sum
/// is always taken in the same order for the same number of threads, so a repeated run gives the same bits, also inside an OpenMP region.
/// Several threads may compute at once, each on values of its own; convolutions and products take turns.
class CpuBackend
    : public Implements<
          CpuBackend, CoreOperations,
          Operations<op::BatchNormAddRelu, op::Conv2dBiasAddRelu, op::AdaptiveConcatPool2d, op::AdaptiveConcatPool2dBackward>> {
 public:
  CpuBackend();
  ~CpuBackend() override;
  CpuBackend(const CpuBackend&) = delete;
  CpuBackend& operator=(const CpuBackend&) = delete;

  std::string_view name() const override { return "cpu"; }
  void forget(uint64_t storage_id) override;
  template <class T>
  void execute(const T& call);

 private:
  std::unique_ptr<cpu::Products> products_;
};

/// "2 threads, AVX-512, oneDNN 3.2.0"; without oneDNN "2 threads, AVX-512, no oneDNN: convolutions will be slow".
std::string cpu_description();

}  // namespace mirilla
