// SPDX-License-Identifier: MIT
#include "kernels/widening/widening.h"

#include <list>
#include <span>
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
  void replace(ConstView& x) {
    if (!x || !is_half(x.dtype)) return;
    const View wide = room(x.shape);
    inner_.run(op::Cast{x, wide});
    x = wide;
  }
  /// An output.
  void replace(View& y) {
    if (!y || !is_half(y.dtype)) return;
    const View wide = room(y.shape);
    rounded_.emplace_back(wide, y);
    y = wide;
  }
  /// Several inputs.
  void replace(std::span<const ConstView>& inputs) {
    std::vector<ConstView>& wide = lists_.emplace_back(inputs.begin(), inputs.end());
    for (ConstView& x : wide) replace(x);
    inputs = wide;
  }
  void round() {
    for (const auto& [wide, y] : rounded_) inner_.run(op::Cast{wide, y});
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
  std::list<std::vector<ConstView>> lists_;
};

template <class T>
void WideningBackend::widen(const T& call) {
  Widened views(*inner_, pool_);
  T wide = call;
  for_each_view(wide, [&](auto& view) { views.replace(view); });
  inner_->run(wide);
  views.round();
}

template <class T>
void WideningBackend::add_row(Table& table, const Backend& inner) {
  if (!inner.has<T>()) return;
  if constexpr (Form<T>) {
    table.row<T>().listed = true;
  } else if constexpr (kTakesHalves<T>) {
    table.row<T>().kernel = [](Backend& self, const T& call) { static_cast<WideningBackend&>(self).inner_->run(call); };
  } else {
    table.row<T>().kernel = [](Backend& self, const T& call) { static_cast<WideningBackend&>(self).widen(call); };
  }
}

// The rows that the inner backend has.
WideningBackend::Table WideningBackend::over(const Backend& inner) {
  Table table;
  const auto add_rows = [&]<class... T>(Operations<T...>) { (add_row<T>(table, inner), ...); };
  add_rows(CoreOperations());
  add_rows(OptionalOperations());
  return table;
}

WideningBackend::WideningBackend(std::unique_ptr<Backend> inner) : Backend(over(*inner)), inner_(std::move(inner)) {}

}  // namespace mirilla
