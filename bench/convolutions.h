// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/core/backend.h"

namespace mirilla::bench {

/// One convolution of a network: (N,extent,extent,channels) with (outputs,kernel,kernel,channels).
struct Convolution {
  int64_t pictures, extent, channels, outputs, kernel;
  Conv2dSpec spec;
  bool first = false;  // its dx is not needed

  int64_t out_extent() const { return (extent + 2 * spec.padding - spec.dilation * (kernel - 1) - 1) / spec.stride + 1; }
};

/// The 20 convolutions of ResNet18 in the order in which they run.
std::vector<Convolution> resnet18_convolutions(int64_t pictures, int64_t size);

/// Convolutions alone: oneDNN's primitives on the layouts it prefers, each with its own buffers, so that one pass over the
/// list moves through memory as the network does. No engine that uses these convolutions can be faster.
class ConvolutionsAlone {
 public:
  ConvolutionsAlone(const std::vector<Convolution>& convolutions, bool training);
  ~ConvolutionsAlone();
  ConvolutionsAlone(const ConvolutionsAlone&) = delete;
  ConvolutionsAlone& operator=(const ConvolutionsAlone&) = delete;

  /// Whether the build has oneDNN; without it run() does nothing.
  static bool available();
  /// Runs all of them forward; in training then, in reverse order, those for dw and dx.
  void run();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mirilla::bench
