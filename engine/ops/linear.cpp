// SPDX-License-Identifier: MIT
#include "engine/ops/linear.h"

#include "engine/amp/autocast.h"
#include "engine/ops/check.h"
#include "engine/tape.h"

namespace mirilla {

Tensor linear(const Tensor& given, const Tensor& master, const Tensor& bias) {
  const Tensor x = amp::input("linear", given), w = amp::weight("linear", master);
  check::rank("linear", x, 2, "(N,I)");
  check::rank("linear", w, 2, "weights (O,I)");
  check::same_kind("linear", x, w);
  if (x.size(1) != w.size(1))
    throw ShapeError(fmt::format("linear: the input {} has {} features and the weights {} expect {}", to_string(x.shape()), x.size(1),
                                 to_string(w.shape()), w.size(1)));
  if (bias) {
    check::parameter_of("linear", "the bias", x, bias);
    check::vector_of("linear", "the bias", bias, w.size(0));
  }
  Tensor y = empty({x.size(0), w.size(0)}, x.dtype(), x.device());
  x.backend().run(op::Matmul{x, w, {.transpose_b = true}, y});
  if (bias) x.backend().run(op::AddBias{y, bias, y});
  return tape::record("linear", {x, master, bias}, y,
                      [x = tape::save(x), w = tape::save(w), dtype = master.dtype(), has_bias = static_cast<bool>(bias)](
                          const Tensor& dy, const tape::Needs& needs) {
                        Tensor dx, dw, dbias;
                        if (needs[0]) {
                          dx = empty_like(x.get());
                          dy.backend().run(op::Matmul{dy, w.get(), {}, dx});  // (N,O) (O,I)
                        }
                        if (needs[1]) {
                          dw = empty(w.get().shape(), dtype, dy.device());
                          dy.backend().run(op::Matmul{dy, x.get(), {.transpose_a = true}, dw});  // (O,N) (N,I)
                        }
                        if (has_bias && needs[2]) {
                          dbias = empty({dy.size(1)}, is_half(dy.dtype()) ? DType::f32 : dy.dtype(), dy.device());
                          dy.backend().run(op::SumRows{dy, dbias});
                        }
                        return tape::Gradients{dx, dw, dbias};
                      });
}

Tensor flatten(const Tensor& x) {
  if (x.shape().rank() < 2) throw ShapeError(fmt::format("flatten: expects (N,...) and got {}", to_string(x.shape())));
  int64_t features = 1;
  for (int i = 1; i < x.shape().rank(); ++i) features *= x.size(i);
  return tape::record("flatten", {x}, x.view({x.size(0), features}),
                      [shape = x.shape()](const Tensor& dy) { return tape::Gradients{dy.view(shape)}; });
}

}  // namespace mirilla
