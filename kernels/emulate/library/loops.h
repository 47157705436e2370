// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/dtype.h"

#include <cstdint>
#include <vector>

// Plain sums of products in f32, in an order that is written down here and nowhere else: every algorithm that keeps f32 sums gives the
// same bits. Files of their own, since they are built as vector code.
namespace mirilla::emulate {

/// y (n,p,q,k) of x (n,h,w,c) and w (k,r,s,c), all dense.
struct ConvShape {
  int64_t n = 0, h = 0, w = 0, c = 0;
  int64_t k = 0, r = 0, s = 0;
  int64_t p = 0, q = 0;
  int64_t padding[2] = {0, 0}, stride[2] = {1, 1}, dilation[2] = {1, 1};  // of rows, of columns
};

/// How an algorithm adds.
struct Sums {
  bool reversed = false;          // the last part first: taps of the window, or pictures
  DType rounded_to = DType::f32;  // after each part
};

std::vector<float> conv_forward(const ConvShape& shape, const float* x, const float* w, const Sums& sums);
std::vector<float> conv_backward_data(const ConvShape& shape, const float* dy, const float* w, const Sums& sums);
std::vector<float> conv_backward_filter(const ConvShape& shape, const float* x, const float* dy, const Sums& sums);

/// d (m,n) by columns: d[i + m j] = sum over l of a[i + m l] b[l + k j].
std::vector<float> product(int64_t m, int64_t n, int64_t k, const float* a, const float* b);

}  // namespace mirilla::emulate
