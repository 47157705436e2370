// SPDX-License-Identifier: MIT
// Matrix products: checks, and then the products that the build has (kernels/cpu/products.h).
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/products.h"

namespace mirilla {

template <>
void CpuBackend::execute(const op::Matmul& call) {
  cpu::want_f32("matmul", {call.a, call.b, call.y});
  products_->matmul(call.a, call.b, call.spec, call.y);
}

}  // namespace mirilla
