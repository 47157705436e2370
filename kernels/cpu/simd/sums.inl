// SPDX-License-Identifier: MIT
// Sums run in float over a block that is short enough to lose no more than a few last places, and in double from block to block. The
// order depends on the extents alone.
constexpr int64_t kBlockRows = 64;
constexpr int64_t kTile = 1024;  // channels at a time: the float sums of a block stay in the first-level cache

double sum(const float* x, int64_t n) {
  constexpr int64_t kUnroll = 4;
  double total = 0;
  int64_t i = 0;
  while (n - i >= kUnroll * kLanes) {
    const int64_t end = i + least((n - i) / (kUnroll * kLanes), kBlockRows) * (kUnroll * kLanes);
    Floats part[kUnroll] = {};
    for (; i < end; i += kUnroll * kLanes) {
      for (int64_t u = 0; u < kUnroll; ++u) part[u] += load<Floats>(x + i + u * kLanes);
    }
    const Floats block = (part[0] + part[1]) + (part[2] + part[3]);
    for (int lane = 0; lane < kLanes; ++lane) total += static_cast<double>(block[lane]);
  }
  for (; i < n; ++i) total += static_cast<double>(x[i]);
  return total;
}

// Adds float sums to double ones and clears them.
void flush(float* __restrict__ part, double* __restrict__ total, int64_t n) {
#pragma omp simd
  for (int64_t c = 0; c < n; ++c) {
    total[c] += static_cast<double>(part[c]);
    part[c] = 0.f;
  }
}

// Walks rows in blocks and channels in tiles: row(r, c0, n) adds one row's terms, four(r, c0, n) those of four rows, done(c0, n) ends a
// block.
template <class Four, class Row, class Done>
inline void for_blocks(int64_t rows, int64_t channels, Four four, Row row, Done done) {
  for (int64_t c0 = 0; c0 < channels; c0 += kTile) {
    const int64_t n = least(channels - c0, kTile);
    for (int64_t begin = 0; begin < rows; begin += kBlockRows) {
      const int64_t end = least(rows, begin + kBlockRows);
      int64_t r = begin;
      for (; r + 4 <= end; r += 4) four(r, c0, n);
      for (; r < end; ++r) row(r, c0, n);
      done(c0, n);
    }
  }
}

void sum_rows(const float* x, int64_t rows, int64_t channels, double* sums) {
  float part[kTile] = {};
  for_blocks(
      rows, channels,
      [&](int64_t r, int64_t c0, int64_t n) {
        const float* const a = x + r * channels + c0;
#pragma omp simd
        for (int64_t c = 0; c < n; ++c) part[c] += (a[c] + a[c + channels]) + (a[c + 2 * channels] + a[c + 3 * channels]);
      },
      [&](int64_t r, int64_t c0, int64_t n) {
        const float* const a = x + r * channels + c0;
#pragma omp simd
        for (int64_t c = 0; c < n; ++c) part[c] += a[c];
      },
      [&](int64_t c0, int64_t n) { flush(part, sums + c0, n); });
}

void moments(const float* x, const float* shift, int64_t rows, int64_t channels, double* sums, double* squares) {
  float part[kTile] = {}, part2[kTile] = {};
  for_blocks(
      rows, channels,
      [&](int64_t r, int64_t c0, int64_t n) {
        const float* const a = x + r * channels + c0;
        const float* const s = shift + c0;
#pragma omp simd
        for (int64_t c = 0; c < n; ++c) {
          const float d0 = a[c] - s[c], d1 = a[c + channels] - s[c];
          const float d2 = a[c + 2 * channels] - s[c], d3 = a[c + 3 * channels] - s[c];
          part[c] += (d0 + d1) + (d2 + d3);
          part2[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3);
        }
      },
      [&](int64_t r, int64_t c0, int64_t n) {
        const float* const a = x + r * channels + c0;
#pragma omp simd
        for (int64_t c = 0; c < n; ++c) {
          const float d = a[c] - shift[c0 + c];
          part[c] += d;
          part2[c] += d * d;
        }
      },
      [&](int64_t c0, int64_t n) {
        flush(part, sums + c0, n);
        flush(part2, squares + c0, n);
      });
}

template <bool kRelu>
void batch_norm_sums_of(const float* dy, const float* x, const float* y, const float* mean, int64_t rows, int64_t channels, double* sums,
                        double* products) {
  float part[kTile] = {}, part2[kTile] = {};
  const auto masked = [&](int64_t i) { return !kRelu || y[i] > 0.f ? dy[i] : 0.f; };
  for_blocks(
      rows, channels,
      [&](int64_t r, int64_t c0, int64_t n) {
        const int64_t at = r * channels + c0;
        const float* const s = mean + c0;
#pragma omp simd
        for (int64_t c = 0; c < n; ++c) {
          const int64_t i0 = at + c, i1 = i0 + channels, i2 = i1 + channels, i3 = i2 + channels;
          const float g0 = masked(i0), g1 = masked(i1), g2 = masked(i2), g3 = masked(i3);
          part[c] += (g0 + g1) + (g2 + g3);
          part2[c] += (g0 * (x[i0] - s[c]) + g1 * (x[i1] - s[c])) + (g2 * (x[i2] - s[c]) + g3 * (x[i3] - s[c]));
        }
      },
      [&](int64_t r, int64_t c0, int64_t n) {
        const int64_t at = r * channels + c0;
#pragma omp simd
        for (int64_t c = 0; c < n; ++c) {
          const float g = masked(at + c);
          part[c] += g;
          part2[c] += g * (x[at + c] - mean[c0 + c]);
        }
      },
      [&](int64_t c0, int64_t n) {
        flush(part, sums + c0, n);
        flush(part2, products + c0, n);
      });
}

void batch_norm_sums(const float* dy, const float* x, const float* y, const float* mean, int64_t rows, int64_t channels, double* sums,
                     double* products) {
  if (y) {
    batch_norm_sums_of<true>(dy, x, y, mean, rows, channels, sums, products);
  } else {
    batch_norm_sums_of<false>(dy, x, y, mean, rows, channels, sums, products);
  }
}
