// SPDX-License-Identifier: MIT
#include "engine/ops/loss.h"

#include "engine/amp/autocast.h"
#include "engine/ops/check.h"
#include "engine/ops/reductions.h"
#include "engine/tape.h"

namespace mirilla {

Tensor softmax(const Tensor& given) {
  const Tensor x = amp::input("softmax", given);
  check::rank("softmax", x, 2, "(N,C)");
  Tensor y = empty_like(x);
  x.backend().softmax(x, y);
  return y;
}

CrossEntropy cross_entropy(const Tensor& logits, const Tensor& targets) {
  check::rank("cross_entropy", logits, 2, "logits (N,C)");
  if (targets.dtype() != DType::i64 || targets.shape() != Shape{logits.size(0)} || &targets.device() != &logits.device())
    throw ShapeError(fmt::format("cross_entropy: wants targets i64 ({}) beside the logits and got {}", logits.size(0), describe(targets)));
  const DType wide = is_half(logits.dtype()) ? DType::f32 : logits.dtype();
  Tensor losses = empty({logits.size(0)}, wide, logits.device());
  Tensor dlogits = tape::recording({logits}) ? empty(logits.shape(), wide, logits.device()) : Tensor();
  logits.backend().cross_entropy(logits, targets, losses, dlogits);
  Tensor loss = mean(losses);
  loss = tape::record("cross_entropy", {logits}, loss, [dlogits, dtype = logits.dtype()](const Tensor& dloss) {
    Tensor dx = empty(dlogits.shape(), dtype, dlogits.device());
    dlogits.backend().multiply(dlogits, dloss, dx);
    return tape::Gradients{dx};
  });
  return {loss, losses};
}

}  // namespace mirilla
