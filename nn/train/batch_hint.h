// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "kernels/core/error.h"

namespace mirilla::nn {

/// The hint if a device's memory is too small for batches of this size: memory grows with the batch size.
inline std::string batch_hint(int64_t batch_size) {
  if (batch_size <= 1) return "use smaller pictures: `size`";
  return fmt::format("`batch_size` {} needs about half the memory, and smaller pictures need less as well", batch_size / 2);
}

/// Calls f(); if a device's memory runs out meanwhile, throws the same OutOfMemory with batch_hint.
template <class F>
decltype(auto) with_batch_hint(int64_t batch_size, F&& f) {
  try {
    return f();
  } catch (const OutOfMemory& error) {
    throw error.with_hint(batch_hint(batch_size));
  }
}

}  // namespace mirilla::nn
