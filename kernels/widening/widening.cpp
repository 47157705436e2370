// SPDX-License-Identifier: MIT
#include "kernels/widening/widening.h"

#include <utility>
#include <vector>

namespace mirilla {

/// The views of one call as given to the inner backend.
class WideningBackend::Widened {
 public:
  Widened(Backend& inner, widening::ScratchPool& pool) : inner_(inner), pool_(pool) {}
  ~Widened() {
    for (const widening::ScratchPiece& scratch : taken_) pool_.give(scratch);
  }
  Widened(const Widened&) = delete;
  Widened& operator=(const Widened&) = delete;

  /// An input. Scratch has no storage stamp: no device may keep what it derived from it.
  ConstView in(const ConstView& x) {
    if (!x || !is_half(x.dtype)) return x;
    const View wide = room(x.shape);
    inner_.cast(x, wide);
    return wide;
  }
  /// An output.
  View out(const View& y) {
    if (!y || !is_half(y.dtype)) return y;
    const View wide = room(y.shape);
    rounded_.emplace_back(wide, y);
    return wide;
  }
  void round() {
    for (const auto& [wide, y] : rounded_) inner_.cast(wide, y);
  }

 private:
  View room(const Shape& shape) {
    taken_.reserve(taken_.size() + 1);
    taken_.push_back(pool_.take(static_cast<size_t>(shape.numel()) * sizeof(float)));
    return {taken_.back().address, shape, DType::f32, true};
  }

  Backend& inner_;
  widening::ScratchPool& pool_;
  std::vector<widening::ScratchPiece> taken_;
  std::vector<std::pair<View, View>> rounded_;
};

template <class F>
void WideningBackend::run(F&& operation) {
  Widened views(*inner_, pool_);
  operation(views);
  views.round();
}

void WideningBackend::add(ConstView a, ConstView b, View y) {
  run([&](Widened& v) { inner_->add(v.in(a), v.in(b), v.out(y)); });
}
void WideningBackend::multiply(ConstView a, ConstView b, View y) {
  run([&](Widened& v) { inner_->multiply(v.in(a), v.in(b), v.out(y)); });
}
void WideningBackend::scale(ConstView x, double factor, View y) {
  run([&](Widened& v) { inner_->scale(v.in(x), factor, v.out(y)); });
}
void WideningBackend::relu(ConstView x, View y) {
  run([&](Widened& v) { inner_->relu(v.in(x), v.out(y)); });
}
void WideningBackend::relu_backward(ConstView dy, ConstView y, View dx) {
  run([&](Widened& v) { inner_->relu_backward(v.in(dy), v.in(y), v.out(dx)); });
}
void WideningBackend::dropout(ConstView x, const DropoutSpec& spec, View y) {
  run([&](Widened& v) { inner_->dropout(v.in(x), spec, v.out(y)); });
}

void WideningBackend::sum(ConstView x, View y) {
  run([&](Widened& v) { inner_->sum(v.in(x), v.out(y)); });
}
void WideningBackend::sum_rows(ConstView x, View y) {
  run([&](Widened& v) { inner_->sum_rows(v.in(x), v.out(y)); });
}
void WideningBackend::argmax(ConstView x, View y) {
  run([&](Widened& v) { inner_->argmax(v.in(x), y); });
}

void WideningBackend::matmul(ConstView a, ConstView b, const MatmulSpec& spec, View y) {
  run([&](Widened& v) { inner_->matmul(v.in(a), v.in(b), spec, v.out(y)); });
}
void WideningBackend::add_bias(ConstView x, ConstView bias, View y) {
  run([&](Widened& v) { inner_->add_bias(v.in(x), v.in(bias), v.out(y)); });
}
void WideningBackend::conv2d(ConstView x, ConstView w, ConstView bias, const Conv2dSpec& spec, View y) {
  run([&](Widened& v) { inner_->conv2d(v.in(x), v.in(w), v.in(bias), spec, v.out(y)); });
}
void WideningBackend::conv2d_backward_data(ConstView dy, ConstView w, const Conv2dSpec& spec, View dx) {
  run([&](Widened& v) { inner_->conv2d_backward_data(v.in(dy), v.in(w), spec, v.out(dx)); });
}
void WideningBackend::conv2d_backward_weight(ConstView x, ConstView dy, const Conv2dSpec& spec, View dw) {
  run([&](Widened& v) { inner_->conv2d_backward_weight(v.in(x), v.in(dy), spec, v.out(dw)); });
}

void WideningBackend::batch_norm_statistics(const BatchNormStatistics& call) {
  run([&](Widened& v) {
    BatchNormStatistics wide = call;
    wide.x = v.in(call.x);
    inner_->batch_norm_statistics(wide);
  });
}
void WideningBackend::batch_norm_apply(const BatchNormApply& call) {
  run([&](Widened& v) {
    BatchNormApply wide = call;
    wide.x = v.in(call.x);
    wide.residual = v.in(call.residual);
    wide.y = v.out(call.y);
    wide.normalized = v.out(call.normalized);
    inner_->batch_norm_apply(wide);
  });
}
void WideningBackend::batch_norm_backward(const BatchNormBackward& call) {
  run([&](Widened& v) {
    BatchNormBackward wide = call;
    wide.dy = v.in(call.dy);
    wide.x = v.in(call.x);
    wide.y = v.in(call.y);
    wide.dx = v.out(call.dx);
    wide.dresidual = v.out(call.dresidual);
    inner_->batch_norm_backward(wide);
  });
}

void WideningBackend::max_pool2d(ConstView x, const Pool2dSpec& spec, View y, View index) {
  run([&](Widened& v) { inner_->max_pool2d(v.in(x), spec, v.out(y), index); });
}
void WideningBackend::max_pool2d_backward(ConstView dy, ConstView index, const Pool2dSpec& spec, View dx) {
  run([&](Widened& v) { inner_->max_pool2d_backward(v.in(dy), index, spec, v.out(dx)); });
}
void WideningBackend::adaptive_avg_pool2d(ConstView x, View y) {
  run([&](Widened& v) { inner_->adaptive_avg_pool2d(v.in(x), v.out(y)); });
}
void WideningBackend::adaptive_avg_pool2d_backward(ConstView dy, View dx) {
  run([&](Widened& v) { inner_->adaptive_avg_pool2d_backward(v.in(dy), v.out(dx)); });
}
void WideningBackend::adaptive_max_pool2d(ConstView x, View y, View index) {
  run([&](Widened& v) { inner_->adaptive_max_pool2d(v.in(x), v.out(y), index); });
}
void WideningBackend::adaptive_max_pool2d_backward(ConstView dy, ConstView index, View dx) {
  run([&](Widened& v) { inner_->adaptive_max_pool2d_backward(v.in(dy), index, v.out(dx)); });
}
void WideningBackend::concat(ConstView a, ConstView b, View y) {
  run([&](Widened& v) { inner_->concat(v.in(a), v.in(b), v.out(y)); });
}
void WideningBackend::split(ConstView y, View a, View b) {
  run([&](Widened& v) { inner_->split(v.in(y), v.out(a), v.out(b)); });
}

void WideningBackend::softmax(ConstView x, View y) {
  run([&](Widened& v) { inner_->softmax(v.in(x), v.out(y)); });
}
void WideningBackend::cross_entropy(ConstView logits, ConstView targets, View losses, View dlogits) {
  run([&](Widened& v) { inner_->cross_entropy(v.in(logits), targets, losses, dlogits); });
}

void WideningBackend::check_finite(std::span<const ConstView> gradients, View state) {
  run([&](Widened& v) {
    std::vector<ConstView> wide;
    for (const ConstView& gradient : gradients) wide.push_back(v.in(gradient));
    inner_->check_finite(wide, state);
  });
}
void WideningBackend::augment(const Augment& call) {
  run([&](Widened& v) {
    Augment wide = call;
    wide.y = v.out(call.y);
    inner_->augment(wide);
  });
}
void WideningBackend::grad_cam(ConstView activation, ConstView gradient, View weights, View map) {
  run([&](Widened& v) { inner_->grad_cam(v.in(activation), v.in(gradient), weights, map); });
}

void WideningBackend::conv2d_bias_add_relu(const Conv2dBiasAddRelu& call) {
  run([&](Widened& v) {
    Conv2dBiasAddRelu wide = call;
    wide.x = v.in(call.x);
    wide.w = v.in(call.w);
    wide.bias = v.in(call.bias);
    wide.residual = v.in(call.residual);
    wide.y = v.out(call.y);
    inner_->conv2d_bias_add_relu(wide);
  });
}
void WideningBackend::adaptive_concat_pool2d(ConstView x, View y, View index) {
  run([&](Widened& v) { inner_->adaptive_concat_pool2d(v.in(x), v.out(y), index); });
}
void WideningBackend::adaptive_concat_pool2d_backward(ConstView dy, ConstView index, View dx) {
  run([&](Widened& v) { inner_->adaptive_concat_pool2d_backward(v.in(dy), index, v.out(dx)); });
}

}  // namespace mirilla
