// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/core/view.h"

namespace mirilla::cpu {

/// Upper bounds of the magnitudes in f32 tensors, from earlier reads or computations. Kept for one version of a tensor with a stamp;
/// nothing is kept for one without a stamp. The bound of an absent tensor is 0.
class Magnitudes {
 public:
  /// max |x|, read if it is not known; infinity where an element is infinite or NaN.
  float largest(const ConstView& x);
  /// A bound, at least max |x|: the last noted one, or `largest`.
  float bound(const ConstView& x);
  /// Whether a bound is known without reading x.
  bool knows(const ConstView& x) const;
  /// Notes that no magnitude in the values now written to y exceeds `bound`.
  void note(const View& y, double bound);
  /// Drops what is known about a storage.
  void forget(uint64_t storage_id);

 private:
  struct Known {
    uint64_t storage_id = 0;
    const void* address = nullptr;
    int64_t count = 0;
    uint64_t version = 0, last_use = 0;
    float bound = 0;
    bool exact = false;
  };
  const Known* find(const ConstView& x) const;
  void keep(const Known& known);

  std::vector<Known> known_;
  uint64_t uses_ = 0;

  static constexpr size_t kMostKnown = 512;
};

}  // namespace mirilla::cpu
