// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/view.h"

namespace mirilla::cpu {

/// The largest magnitude in a tensor of f32. It is found once for each version of a tensor with a stamp, and every time for one without.
class Magnitudes {
 public:
  /// max |x|; infinity where an element is infinite or NaN, 0 of an absent tensor.
  float largest(const ConstView& x);
  /// Drops what is known of a storage.
  void forget(uint64_t storage_id);

 private:
  struct Known {
    uint64_t storage_id;
    const void* address;
    int64_t count;
    uint64_t version, last_use;
    float largest;
  };
  std::vector<Known> known_;
  uint64_t uses_ = 0;

  static constexpr size_t kMostKnown = 512;
};

}  // namespace mirilla::cpu
