// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/workspace.h"

#include <utility>

namespace mirilla::cuda::vendor {

Workspace::~Workspace() {
  if (!recorded_) release(block_);
}

void* Workspace::at_least(size_t bytes) {
  if (bytes == 0) return nullptr;
  if (bytes > bytes_) {
    // While a replay records, waiting is not allowed, and freeing memory waits.
    void* const before = std::exchange(block_, nullptr);
    if (before && !recorded_ && !stream_.recording()) release(before);
    bytes_ = 0;
    block_ = allocate(bytes);
    bytes_ = bytes;
    recorded_ = false;
  }
  recorded_ = recorded_ || stream_.recording();
  return block_;
}

}  // namespace mirilla::cuda::vendor
