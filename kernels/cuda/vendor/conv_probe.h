// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/vendor/conv_graph.h"

namespace mirilla::cuda::vendor {

/// A fused convolution, and whether a chip can run it.
struct Fusion {
  std::string name;     // "bias f16 + residual, relu"
  ConvProblem problem;  // the question: 64 pictures of 32 by 32 pixels, 64 channels to 64, 3 by 3
  size_t plans = 0;     // with f32 sums; 0: the chip cannot do it
  std::string why;      // cuDNN's text where it cannot
};

/// Asks for each fusion that Mirilla has a graph for: the result's epilogues (bias, residual, ReLU), its sums for a batch norm, and the
/// scale-shift-ReLU of a preceding one. Compiles nothing; a tenth of a second per fusion. Throws DeviceError where cuDNN is missing.
std::vector<Fusion> probe_fusions(const ConvChip& chip, DType dtype);

}  // namespace mirilla::cuda::vendor
