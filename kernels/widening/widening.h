// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "kernels/core/backend.h"
#include "kernels/widening/scratch.h"

namespace mirilla {

/// Half precision for a host backend that computes in f32: half inputs of a call are widened into scratch memory, the inner backend
/// computes in f32, and its results are rounded once into the half outputs. So every mix of dtypes that backend.h allows works, with
/// exactly the arithmetic that backend.h promises; a host gains no speed from it.
///
/// A call without halves is passed on unchanged: the same views, the same bits. So is a call of an operation whose kernels take halves
/// (kTakesHalves).
class WideningBackend final : public Backend {
 public:
  explicit WideningBackend(std::unique_ptr<Backend> inner);

  std::string_view name() const override { return inner_->name(); }
  void forget(uint64_t storage_id) override { inner_->forget(storage_id); }

 private:
  class Widened;
  static Table over(const Backend& inner);
  template <class T>
  static void add_row(Table& table, const Backend& inner);
  template <class T>
  void widen(const T& call);

  std::unique_ptr<Backend> inner_;
  widening::ScratchPool pool_;
};

}  // namespace mirilla
