// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "kernels/cuda/vendor/conv_problem.h"

namespace mirilla::cuda::vendor {

/// One of ResNet18's distinct convolutions; its pictures are `extent` pixels high and wide at a network input of 128.
struct Layer {
  int64_t extent, c, k, r;
  int stride;

  ConvProblem problem(ConvKind kind, DType dtype, int64_t n = 64) const {
    const int padding = static_cast<int>(r) / 2;
    const int64_t out = (extent + 2 * padding - r) / stride + 1;
    return {.kind = kind,
            .dtype = dtype,
            .result = dtype,
            .n = n,
            .h = extent,
            .w = extent,
            .c = c,
            .k = k,
            .r = r,
            .s = r,
            .p = out,
            .q = out,
            .spec = {stride, padding, 1}};
  }
};

/// The first layer's three channels are padded to four.
inline const Layer kStem{128, 4, 64, 7, 2};
inline const std::vector<Layer> kLayers{{32, 64, 64, 3, 1},   {32, 64, 128, 3, 2},  {32, 64, 128, 1, 2}, {16, 128, 128, 3, 1},
                                        {16, 128, 256, 3, 2}, {16, 128, 256, 1, 2}, {8, 256, 256, 3, 1}, {8, 256, 512, 3, 2},
                                        {8, 256, 512, 1, 2},  {4, 512, 512, 3, 1}};
inline constexpr DType kTypes[] = {DType::f16, DType::bf16, DType::f32};
inline constexpr ConvKind kKinds[] = {ConvKind::forward, ConvKind::backward_data, ConvKind::backward_weight};

}  // namespace mirilla::cuda::vendor
