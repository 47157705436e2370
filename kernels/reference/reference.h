// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/implements.h"

namespace mirilla {

/// The reference for every other device: plain loops in f32 and f64, one file per operation, written to be read.
///
/// Sums are accumulated in f64 whatever the dtype, so an f32 result is nearly the exact value rounded once. Results do not depend on the
/// number of threads: a loop is divided among threads only where each iteration writes its own elements. It has no fused operation, so
/// running a model on it tests what the engine composes. Other dtypes than f32 and f64 throw DeviceError, except in fill, cast, and what
/// the table says is u8 or i64.
class ReferenceBackend final : public Implements<ReferenceBackend, CoreOperations> {
 public:
  ReferenceBackend();

  std::string_view name() const override { return "reference"; }
  template <class T>
  void execute(const T& call);

 private:
  /// Calls f.template operator()<float>() or <double>(); throws DeviceError naming the operation for any other dtype.
  template <class F>
  void compute(DType dtype, std::string_view operation, F&& f) const {
    if (dtype == DType::f32) return f.template operator()<float>();
    if (dtype == DType::f64) return f.template operator()<double>();
    throw DeviceError(fmt::format("the device 'reference' computes {} in f32 and f64 and got {}", operation, name_of(dtype)),
                      "cast it to f32 first");
  }
};

}  // namespace mirilla
