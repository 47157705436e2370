// SPDX-License-Identifier: MIT
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/common.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/products.h"
#include "kernels/host/threads.h"

namespace mirilla {

namespace cpu {

void no_such(DType dtype, std::string_view operation) {
  throw DeviceError(fmt::format("the device 'cpu' has no {} {}", name_of(dtype), operation),
                    dtype == DType::f64 ? "f64 exists on the device 'reference' only" : "it computes in f32: cast first");
}

void want_f32(std::string_view operation, std::initializer_list<ConstView> views) {
  for (const ConstView& view : views) {
    if (view && view.dtype != DType::f32) no_such(view.dtype, operation);
  }
}

}  // namespace cpu

CpuBackend::CpuBackend() : products_(std::make_unique<cpu::Products>()) {}
CpuBackend::~CpuBackend() = default;

void CpuBackend::forget(uint64_t storage_id) { products_->forget(storage_id); }

std::string cpu_description() {
  const int threads = host_threads();
  return fmt::format("{} thread{}, {}, {}", threads, threads == 1 ? "" : "s", cpu::loops().title, cpu::products_library());
}

}  // namespace mirilla
