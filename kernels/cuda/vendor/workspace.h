// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "kernels/cuda/platform/platform.h"

namespace mirilla::cuda::vendor {

/// Memory that a library needs beside its operands: one block per stream, since its work is in order. It grows, and a block that a replay
/// may have recorded is kept for as long as the program runs.
class Workspace {
 public:
  explicit Workspace(Stream& stream) : stream_(stream) {}
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  /// Aligned to 256 bytes; null for none. Throws DeviceError where there is not enough memory.
  void* at_least(size_t bytes);

 private:
  Stream& stream_;
  void* block_ = nullptr;
  size_t bytes_ = 0;
  bool recorded_ = false;
};

}  // namespace mirilla::cuda::vendor
