// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/emulate/runtime.h"

namespace mirilla::emulate {

/// A run of bytes without a gap.
struct Row {
  void* to = nullptr;
  const void* from = nullptr;  // of a copy
  size_t bytes = 0;
};

/// What a copy moves: one row, or those of a 2D or 3D copy, each of which lies in one allocation.
struct Copy {
  const char* call = "";
  cudaMemcpyKind kind = cudaMemcpyDefault;
  std::vector<Row> rows;
};

struct Fill {
  const char* call = "";
  std::vector<Row> rows;
  unsigned value = 0;
  size_t element_bytes = 1;
};

/// The rows of `extent` (bytes, rows, planes) in two pitched places; rows that follow each other without a gap are one.
struct Pitched {
  void* address = nullptr;
  size_t pitch = 0;       // bytes from row to row
  size_t plane_rows = 0;  // rows from plane to plane
};
std::vector<Row> rows_of(const Pitched& to, const Pitched& from, cudaExtent extent);

using GraphBlocks = std::map<const void*, std::shared_ptr<GraphBlock>>;

/// What CUDA refuses when the call is made. `own`: the memory of the graph that records it, in no list of blocks; or nullptr.
cudaError_t check(const Runtime& runtime, const GraphBlocks* own, const Copy& copy);
cudaError_t check(const Runtime& runtime, const GraphBlocks* own, const Fill& fill);

/// `recorded`: a graph reads pageable memory whenever it runs, a call at once.
Work work_for(Runtime& runtime, Device& device, const Copy& copy, bool recorded);
Work work_for(Device& device, const Fill& fill);

/// A 3D copy as a call or a node of a graph gives it. Throws where an array takes part.
cudaError_t copy_of(const cudaMemcpy3DParms* asked, Copy* copy);

/// Gives it to the stream. A copy to pageable memory waits.
cudaError_t copy_on(Runtime& runtime, const Copy& copy, cudaStream_t stream);
cudaError_t fill_on(Runtime& runtime, const Fill& fill, cudaStream_t stream);
/// The same on the default stream, and waits for it, as functions without Async do.
cudaError_t copy_now(Runtime& runtime, const Copy& copy);

}  // namespace mirilla::emulate
