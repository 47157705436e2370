// SPDX-License-Identifier: MIT
// x - mean is taken before the scale: folding both into one scale and one shift would lose digits where the mean is large.
template <bool kResidual, bool kRelu, bool kNormalized>
void batch_norm_apply_of(const float* __restrict__ x, const float* __restrict__ mean, const float* __restrict__ factor,
                         const float* __restrict__ bias, const float* __restrict__ residual, float* __restrict__ y,
                         float* __restrict__ normalized, int64_t rows, int64_t channels) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = r * channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      float value = (x[at + c] - mean[c]) * factor[c] + bias[c];
      if constexpr (kNormalized) normalized[at + c] = value;
      if constexpr (kResidual) value += residual[at + c];
      if constexpr (kRelu) value = value < 0.f ? 0.f : value;
      y[at + c] = value;
    }
  }
}

template <bool kResidual, bool kRelu>
void batch_norm_apply_watched(const float* x, const float* mean, const float* factor, const float* bias, const float* residual, float* y,
                              float* normalized, int64_t rows, int64_t channels) {
  if (normalized) {
    batch_norm_apply_of<kResidual, kRelu, true>(x, mean, factor, bias, residual, y, normalized, rows, channels);
  } else {
    batch_norm_apply_of<kResidual, kRelu, false>(x, mean, factor, bias, residual, y, normalized, rows, channels);
  }
}

void batch_norm_apply(const float* x, const float* mean, const float* factor, const float* bias, const float* residual, bool with_relu,
                      float* y, float* normalized, int64_t rows, int64_t channels) {
  if (residual && with_relu) {
    batch_norm_apply_watched<true, true>(x, mean, factor, bias, residual, y, normalized, rows, channels);
  } else if (residual) {
    batch_norm_apply_watched<true, false>(x, mean, factor, bias, residual, y, normalized, rows, channels);
  } else if (with_relu) {
    batch_norm_apply_watched<false, true>(x, mean, factor, bias, residual, y, normalized, rows, channels);
  } else {
    batch_norm_apply_watched<false, false>(x, mean, factor, bias, residual, y, normalized, rows, channels);
  }
}

template <bool kRelu, bool kInput, bool kMoved, bool kResidual>
void batch_norm_backward_of(const float* __restrict__ dy, const float* __restrict__ x, const float* __restrict__ y,
                            const float* __restrict__ mean, const float* __restrict__ factor, const float* __restrict__ offset,
                            const float* __restrict__ slope, float* __restrict__ dx, float* __restrict__ dresidual, int64_t rows,
                            int64_t channels) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t at = r * channels;
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) {
      float g = dy[at + c];
      if constexpr (kRelu) g = y[at + c] <= 0.f ? 0.f : g;
      if constexpr (kInput && kMoved) dx[at + c] = factor[c] * (g - offset[c] - (x[at + c] - mean[c]) * slope[c]);
      if constexpr (kInput && !kMoved) dx[at + c] = factor[c] * g;
      if constexpr (kResidual) dresidual[at + c] = g;
    }
  }
}

template <bool kRelu, bool kMoved>
void batch_norm_backward_masked(const float* dy, const float* x, const float* y, const float* mean, const float* factor,
                                const float* offset, const float* slope, float* dx, float* dresidual, int64_t rows, int64_t channels) {
  if (dx && dresidual) {
    batch_norm_backward_of<kRelu, true, kMoved, true>(dy, x, y, mean, factor, offset, slope, dx, dresidual, rows, channels);
  } else if (dx) {
    batch_norm_backward_of<kRelu, true, kMoved, false>(dy, x, y, mean, factor, offset, slope, dx, dresidual, rows, channels);
  } else if (dresidual) {
    batch_norm_backward_of<kRelu, false, kMoved, true>(dy, x, y, mean, factor, offset, slope, dx, dresidual, rows, channels);
  }
}

void batch_norm_backward(const float* dy, const float* x, const float* y, const float* mean, const float* factor, const float* offset,
                         const float* slope, float* dx, float* dresidual, int64_t rows, int64_t channels) {
  if (y && x) {
    batch_norm_backward_masked<true, true>(dy, x, y, mean, factor, offset, slope, dx, dresidual, rows, channels);
  } else if (y) {
    batch_norm_backward_masked<true, false>(dy, x, y, mean, factor, offset, slope, dx, dresidual, rows, channels);
  } else if (x) {
    batch_norm_backward_masked<false, true>(dy, x, y, mean, factor, offset, slope, dx, dresidual, rows, channels);
  } else {
    batch_norm_backward_masked<false, false>(dy, x, y, mean, factor, offset, slope, dx, dresidual, rows, channels);
  }
}
