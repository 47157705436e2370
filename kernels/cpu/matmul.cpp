// SPDX-License-Identifier: MIT
#include "kernels/cpu/common.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/products.h"

namespace mirilla {

void CpuBackend::matmul(ConstView a, ConstView b, const MatmulSpec& spec, View y) {
  cpu::want_f32("matmul", {a, b, y});
  products_->matmul(a, b, spec, y);
}

}  // namespace mirilla
