// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/vendor/conv_graph.h"

namespace mirilla::cuda::vendor {

/// A fused convolution, and what a chip says to it.
struct Fusion {
  std::string name;     // "bias f16 + residual, relu"
  ConvProblem problem;  // with which it was asked: 64 pictures of 32 by 32 pixels, 64 channels to 64, 3 by 3
  size_t plans = 0;     // that keep to f32 sums; 0: the chip cannot do it
  std::string why;      // cuDNN's words where it cannot
};

/// Asks for each fusion that Mirilla has a graph for: the result's epilogues (bias, residual, ReLU), its sums for a batch norm, and the
/// scale-shift-ReLU of one before. Compiles nothing; a tenth of a second a fusion. Throws DeviceError where cuDNN is missing.
std::vector<Fusion> probe_fusions(const ConvChip& chip, DType dtype);

}  // namespace mirilla::cuda::vendor
