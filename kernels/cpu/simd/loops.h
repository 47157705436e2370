// SPDX-License-Identifier: MIT
#pragma once

// Include only C headers here: files compiled for a wider instruction set include this one, and an inline function of the standard library
// emitted there could be linked into code that runs on every machine.
#include <stdint.h>

#include "kernels/cpu/simd/augment_row.h"

namespace mirilla::cpu {

/// Where a pooling window moves over one picture (H,W,C).
struct PoolWindow {
  int64_t height, width, channels;  // of x
  int64_t out_height, out_width;    // of y
  int64_t window, stride, padding;
};

/// One chunk of an Adam step; the factors are already computed for the tensor's step.
struct AdamChunk {
  float* parameter;
  const float* gradient;
  float* m;
  float* v;
  int64_t count;
  float keep;  // 1 - learning_rate weight_decay
  float beta1, beta2;
  float rest1, rest2;    // 1 - beta1, 1 - beta2
  float rate;            // learning_rate / (1 - beta1^t)
  float inv_correction;  // 1 / (1 - beta2^t)
  float eps;
  float unscale;  // what gradients are multiplied by
};

/// Which elements of a dropout are kept: Philox words of (key, counter) at or above `threshold` after a shift by 8.
struct DropoutChunk {
  uint32_t key[2];
  uint32_t counter[3];  // item, step, purpose; the block's index comes before them
  uint32_t threshold;   // ceil(p 2^24)
  float factor;
};

/// The inner loops of the host backend, compiled once per instruction set. A call does one thread's share, allocates nothing and calls no
/// library. `channels` is the innermost extent, `rows` everything outside it. Arrays do not overlap unless a comment says so.
struct Loops {
  const char* name;   // "baseline", "avx2", "avx512": its name in MIRILLA_CPU_ISA
  const char* title;  // "AVX-512"

  // y = a + b and so on, n elements; y may be an input.
  void (*add)(const float* a, const float* b, float* y, int64_t n);
  void (*multiply)(const float* a, const float* b, float* y, int64_t n);
  void (*scale)(const float* x, float factor, float* y, int64_t n);
  void (*relu)(const float* x, float* y, int64_t n);
  void (*relu_backward)(const float* dy, const float* y, float* dx, int64_t n);
  void (*add_bias)(const float* x, const float* bias, float* y, int64_t rows, int64_t channels);
  /// Elements first .. first + n of the tensor; x and y point to the start of the tensor, first is a multiple of 4.
  void (*dropout)(const DropoutChunk& spec, const float* x, float* y, int64_t first, int64_t n);
  void (*adam)(const AdamChunk& chunk);

  // Sums in double over blocks that were summed in float.
  double (*sum)(const float* x, int64_t n);
  /// sum[c] += over rows of x[c]; `unused` has the same size and is not changed.
  void (*sum_rows)(const float* x, int64_t rows, int64_t channels, double* sum, double* unused);
  /// sum[c] += over rows of (x[c] - shift[c]); square[c] likewise of its square.
  void (*moments)(const float* x, const float* shift, int64_t rows, int64_t channels, double* sum, double* square);
  /// With g = dy, but 0 where y <= 0 if y is given: sum[c] += g, product[c] += g (x - mean).
  void (*batch_norm_sums)(const float* dy, const float* x, const float* y, const float* mean, int64_t rows, int64_t channels, double* sum,
                          double* product);

  /// y = (x - mean) scale + bias, + residual, max(.,0). residual and normalized may be null.
  void (*batch_norm_apply)(const float* x, const float* mean, const float* scale, const float* bias, const float* residual, bool relu,
                           float* y, float* normalized, int64_t rows, int64_t channels);
  /// dx = scale (g - offset - (x - mean) slope), or scale g without x; dresidual = g. dx, dresidual, x, and y (no ReLU) may be null.
  void (*batch_norm_backward)(const float* dy, const float* x, const float* y, const float* mean, const float* scale, const float* offset,
                              const float* slope, float* dx, float* dresidual, int64_t rows, int64_t channels);

  /// Rows [begin, end) of one picture's output. index may be null.
  void (*max_pool)(const PoolWindow& pool, const float* x, float* y, uint8_t* index, int64_t begin, int64_t end);
  /// Rows [begin, end) of one picture's dx.
  void (*max_pool_backward)(const PoolWindow& pool, const float* dy, const uint8_t* index, float* dx, int64_t begin, int64_t end);
  /// One cell of an adaptive pool: rows x columns pixels, `pitch` floats from row to row. average may be null.
  void (*average_cell)(const float* x, int64_t rows, int64_t columns, int64_t channels, int64_t pitch, float* average);
  /// Its maximum; index = first + row * width + column of the winner.
  void (*max_cell)(const float* x, int64_t rows, int64_t columns, int64_t channels, int64_t pitch, int64_t first, int64_t width, float* max,
                   int64_t* index);
  /// y += factor x.
  void (*accumulate)(const float* x, float factor, float* y, int64_t n);
  /// max |x|; infinity where an element is infinite or NaN.
  float (*largest)(const float* x, int64_t n);

  /// Row `row` of one augmented picture, (columns.extent, 3).
  void (*augment_row)(const AugmentPicture& picture, int32_t row, float* out);
};

const Loops& baseline_loops();
/// Null where the machine or the build lacks them.
const Loops* wide_loops(const char* name);
/// The best that this machine has.
const Loops& best_loops();

}  // namespace mirilla::cpu
