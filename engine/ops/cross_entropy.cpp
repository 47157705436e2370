// SPDX-License-Identifier: MIT
#include "engine/ops/cross_entropy.h"

#include "engine/amp/autocast.h"
#include "engine/off_tape.h"
#include "engine/ops/check.h"
#include "engine/ops/reductions.h"
#include "engine/tape.h"

namespace mirilla {

Tensor softmax(const Tensor& given) {
  const Tensor x = amp::input("softmax", given);
  check::rank("softmax", x, 2, "(N,C)");
  Tensor y = empty_like(x);
  x.backend().run(op::Softmax{x, y});
  return y;
}

namespace {

void check_targets(const Tensor& logits, const Tensor& targets) {
  check::rank("cross_entropy", logits, 2, "logits (N,C)");
  if (targets.dtype() != DType::i64 || targets.shape() != Shape{logits.size(0)} || &targets.device() != &logits.device())
    throw ShapeError(
        fmt::format("cross_entropy: expects targets i64 ({}) on the device of the logits and got {}", logits.size(0), describe(targets)));
}

// The loss on the tape: its gradient was computed on the way forward.
Tensor recorded(const Tensor& logits, const Tensor& loss, const Tensor& dlogits) {
  return tape::record("cross_entropy", {logits}, loss, [dlogits, dtype = logits.dtype()](const Tensor& dloss) {
    Tensor dx = empty(dlogits.shape(), dtype, dlogits.device());
    dlogits.backend().run(op::Multiply{dlogits, dloss, dx});
    return tape::Gradients{dx};
  });
}

}  // namespace

CrossEntropy cross_entropy(const Tensor& logits, const Tensor& targets) {
  check_targets(logits, targets);
  const DType wide = is_half(logits.dtype()) ? DType::f32 : logits.dtype();
  Tensor losses = empty({logits.size(0)}, wide, logits.device());
  Tensor dlogits = tape::recording({logits}) ? empty(logits.shape(), wide, logits.device()) : Tensor();
  logits.backend().run(op::CrossEntropy{logits, targets, losses, dlogits});
  return {recorded(logits, mean(losses), dlogits), losses};
}

namespace {

// Plain arithmetic off the tape, each a core operation. "Rows" hold one value per picture: (C,N) has it in its last dimension.

Tensor plus_rows(const Tensor& x, const Tensor& row) {  // x (A,B), row (B)
  Tensor y = empty_like(x);
  x.backend().run(op::AddBias{x, row, y});
  return y;
}

Tensor repeated(const Tensor& row, int64_t count) {  // (B) to (count,B)
  return plus_rows(zeros({count, row.size(0)}, row.dtype(), row.device()), row);
}

Tensor column_sums(const Tensor& x) {  // (A,B) to (B)
  Tensor y = empty({x.size(1)}, x.dtype(), x.device());
  x.backend().run(op::SumRows{x, y});
  return y;
}

Tensor transposed(const Tensor& x) {  // (A,B) to (B,A)
  Tensor y = empty({1, x.size(1), x.size(0)}, x.dtype(), x.device());
  x.backend().run(op::Transpose{x.view({1, x.size(0), x.size(1)}), y});
  return y.view({x.size(1), x.size(0)});
}

Tensor total(const Tensor& x) {
  Tensor y = empty({}, x.dtype(), x.device());
  x.backend().run(op::Sum{x, y});
  return y;
}

// 1 where it is the target, else 0, (N,C): what a maximum pool over the classes sends back to the places its winners had.
Tensor one_hot(const Tensor& targets, int64_t classes, DType dtype) {
  const int64_t n = targets.size(0);
  const Tensor one = full({n, 1, 1, 1}, 1, dtype, targets.device());
  Tensor y = empty({n, 1, classes, 1}, dtype, targets.device());
  y.backend().run(op::AdaptiveMaxPool2dBackward{one, targets.view({n, 1, 1, 1}), y});
  return y.view({n, classes});
}

// 1 / x for one x > 0: the inverse deviation of {x, -x}. The table has no division.
Tensor inverse_of(const Tensor& x) {
  Tensor pair = empty({2, 1}, x.dtype(), x.device());
  pair.slice(0, 1).copy_from(x.view({1, 1}));
  pair.slice(1, 2).copy_from(off_tape::times(x, -1).view({1, 1}));
  Tensor mean = empty({1}, x.dtype(), x.device()), inverse = empty({1}, x.dtype(), x.device());
  x.backend().run(op::BatchNormStatistics{.x = pair, .eps = 0, .mean = mean, .inv_std = inverse});
  return inverse;
}

void check_options(const Tensor& weights, double smoothing, int64_t classes, DType dtype, const Device& device) {
  if (!(smoothing >= 0 && smoothing <= 1))
    throw Error(fmt::format("cross_entropy: expects a label smoothing between 0 and 1 and got {}", smoothing), "0.1 is usual");
  if (weights && (weights.shape() != Shape{classes} || weights.dtype() != dtype || &weights.device() != &device))
    throw ShapeError(fmt::format("cross_entropy: expects one weight per class, {} ({}) on the device of the logits, and got {}",
                                 name_of(dtype), classes, describe(weights)));
}

// Everything turned to (C,N), so that what belongs to a picture stands in the last dimension.
struct Turned {
  Tensor logits, hot, weights;  // (C,N); each class's weight in its row
  Tensor target_weights;        // (N)
};

// sum_c w[c] (-log p[n,c]), from the losses of the targets: -log p[c] = losses + logits[target] - logits[c].
Tensor spread_losses(const Turned& turned, const Tensor& losses) {
  const Tensor target_logits = column_sums(off_tape::selected(turned.logits, turned.hot));
  const Tensor below = plus_rows(off_tape::times(turned.logits, -1), target_logits);
  return column_sums(off_tape::product(plus_rows(below, losses), turned.weights));
}

// (1 - e) w[t] (p - onehot) + e / C (p sum w - w), over sum w[t]: (N,C).
Tensor gradient_of(const Tensor& x, const Turned& turned, const Tensor& weights, double smoothing, const Tensor& inverse_total) {
  const auto classes = static_cast<double>(x.size(1));
  const Tensor p = transposed(softmax(x));
  Tensor g = off_tape::product(off_tape::times(repeated(turned.target_weights, x.size(1)), 1 - smoothing),
                               off_tape::sum(p, off_tape::times(turned.hot, -1)));
  if (smoothing > 0)
    g = off_tape::sum(
        g, off_tape::times(off_tape::sum(off_tape::product(p, total(weights)), off_tape::times(turned.weights, -1)), smoothing / classes));
  return transposed(off_tape::product(g, inverse_total));
}

}  // namespace

CrossEntropy cross_entropy(const Tensor& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  if (!options.weights && options.label_smoothing == 0) return cross_entropy(logits, targets);
  check_targets(logits, targets);
  const int64_t n = logits.size(0), classes = logits.size(1);
  const Tensor x = (is_half(logits.dtype()) ? logits.to(DType::f32) : logits).detach();
  check_options(options.weights, options.label_smoothing, classes, x.dtype(), x.device());
  const Tensor weights = options.weights ? options.weights : full({classes}, 1, x.dtype(), x.device());
  Turned turned{.logits = transposed(x),
                .hot = transposed(one_hot(targets, classes, x.dtype())),
                .weights = transposed(repeated(weights, n)),
                .target_weights = {}};
  turned.target_weights = column_sums(off_tape::product(turned.hot, turned.weights));
  Tensor hard = empty({n}, x.dtype(), x.device());
  x.backend().run(op::CrossEntropy{x, targets, hard, {}});
  Tensor losses = off_tape::times(off_tape::product(hard, turned.target_weights), 1 - options.label_smoothing);
  if (options.label_smoothing > 0)
    losses = off_tape::sum(losses, off_tape::times(spread_losses(turned, hard), options.label_smoothing / static_cast<double>(classes)));
  const Tensor inverse_total = inverse_of(total(turned.target_weights));
  const Tensor loss = off_tape::product(total(losses), inverse_total);
  const Tensor dlogits = tape::recording({logits}) ? gradient_of(x, turned, weights, options.label_smoothing, inverse_total) : Tensor();
  return {recorded(logits, loss, dlogits), losses, turned.target_weights};
}

}  // namespace mirilla
