// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/dtype.h"
#include "kernels/emulate/cudnn/descriptor.h"
#include "kernels/emulate/library/loops.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace mirilla::emulate::cudnn {

/// A tensor of a graph. Extents are (n,c,h,w) whatever the layout; the strides say which extent is innermost.
struct Tensor {
  int64_t uid = 0;
  std::optional<DType> dtype;  // none: a type that no engine here computes
  std::vector<int64_t> extents, strides;
  int64_t alignment = 1;
  bool is_virtual = false;  // an intermediate result, which has no memory

  int64_t count() const;
  /// Dense, channels innermost.
  bool is_nhwc() const;
  bool operator==(const Tensor&) const = default;
};
Tensor tensor_of(const Contents& contents);

/// One operation. Tensors are named by their uids.
struct Operation {
  Type type;
  std::vector<int64_t> reads, writes;
  ConvShape conv;  // of a convolution
  cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
  double lower = 0, upper = 0, slope = 0;  // of a ReLU
};

/// What an execution plan computes.
struct Graph {
  std::map<int64_t, Tensor> tensors;
  std::vector<Operation> operations;  // each after those whose results it reads
  std::set<int64_t> given;            // read, and written by no operation
  std::set<int64_t> results;          // written, and not virtual
  int device = -1;                    // of the handle that it was given; -1: none
  std::string beyond;                 // why no engine here computes it; empty where one may

  const Operation& convolution() const;  // the one that there is, where `beyond` is empty
};

/// The graph of a descriptor whose operations are finalized. Throws Refusal for one that contradicts itself.
std::shared_ptr<const Graph> graph_of(const Contents& contents);

}  // namespace mirilla::emulate::cudnn
