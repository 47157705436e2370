// SPDX-License-Identifier: MIT
// The channels of a pixel are the vector; the taps of a window are the inner loop, so that the best so far stays in registers.

// Whether v takes the place of `best`: the first of equals stays, and so does the first NaN.
inline bool beats(float v, float best) { return v > best || (v != v && best == best); }
inline Ints beats(Floats v, Floats best) { return (v > best) | ((v != v) & (best == best)); }

void max_pool(const PoolWindow& p, const float* x, float* y, uint8_t* index, int64_t begin, int64_t end) {
  const int64_t channels = p.channels;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t top = i * p.stride - p.padding, r0 = most(0, -top), r1 = least(p.window, p.height - top);
    for (int64_t j = 0; j < p.out_width; ++j) {
      const int64_t left = j * p.stride - p.padding, s0 = most(0, -left), s1 = least(p.window, p.width - left);
      const float* const corner = x + (top * p.width + left) * channels;
      const int64_t out = (i * p.out_width + j) * channels;
      int64_t c = 0;
      for (; c + kLanes <= channels; c += kLanes) {
        Floats best = load<Floats>(corner + (r0 * p.width + s0) * channels + c);
        Ints winner = Ints{} + static_cast<int32_t>(r0 * p.window + s0);
        for (int64_t r = r0; r < r1; ++r) {
          for (int64_t s = s0; s < s1; ++s) {
            const Floats v = load<Floats>(corner + (r * p.width + s) * channels + c);
            const Ints take = beats(v, best);
            best = take ? v : best;
            winner = take ? Ints{} + static_cast<int32_t>(r * p.window + s) : winner;
          }
        }
        store(y + out + c, best);
        store(index + out + c, __builtin_convertvector(winner, Bytes));
      }
      for (; c < channels; ++c) {
        float best = corner[(r0 * p.width + s0) * channels + c];
        int64_t winner = r0 * p.window + s0;
        for (int64_t r = r0; r < r1; ++r) {
          for (int64_t s = s0; s < s1; ++s) {
            const float v = corner[(r * p.width + s) * channels + c];
            if (!beats(v, best)) continue;
            best = v;
            winner = r * p.window + s;
          }
        }
        y[out + c] = best;
        index[out + c] = static_cast<uint8_t>(winner);
      }
    }
  }
}

// Gathers: each pixel of dx asks the windows that cover it whether it won, so no two threads write the same place.
void max_pool_backward(const PoolWindow& p, const float* dy, const uint8_t* index, float* dx, int64_t begin, int64_t end) {
  const int64_t channels = p.channels;
  for (int64_t h = begin; h < end; ++h) {
    const int64_t high = h + p.padding, i1 = least(p.out_height, high / p.stride + 1);
    const int64_t i0 = most(0, (high - p.window + p.stride) / p.stride);  // the division truncates to 0 just where 0 is right
    for (int64_t w = 0; w < p.width; ++w) {
      const int64_t wide = w + p.padding, j1 = least(p.out_width, wide / p.stride + 1);
      const int64_t j0 = most(0, (wide - p.window + p.stride) / p.stride);
      float* const to = dx + (h * p.width + w) * channels;
      int64_t c = 0;
      for (; c + kLanes <= channels; c += kLanes) {
        Floats total = {};
        for (int64_t i = i0; i < i1; ++i) {
          for (int64_t j = j0; j < j1; ++j) {
            const int64_t at = (i * p.out_width + j) * channels + c;
            const auto place = static_cast<int32_t>((high - i * p.stride) * p.window + wide - j * p.stride);
            const Ints won = __builtin_convertvector(load<Bytes>(index + at), Ints) == place;
            total += won ? load<Floats>(dy + at) : Floats{};
          }
        }
        store(to + c, total);
      }
      for (; c < channels; ++c) {
        float total = 0.f;
        for (int64_t i = i0; i < i1; ++i) {
          for (int64_t j = j0; j < j1; ++j) {
            const int64_t at = (i * p.out_width + j) * channels + c;
            if (index[at] == (high - i * p.stride) * p.window + wide - j * p.stride) total += dy[at];
          }
        }
        to[c] = total;
      }
    }
  }
}

void average_cell(const float* x, int64_t rows, int64_t columns, int64_t channels, int64_t pitch, float* average) {
  const float count = static_cast<float>(rows * columns);
  for (int64_t c0 = 0; c0 < channels; c0 += kTile) {
    const int64_t n = least(channels - c0, kTile);
    float total[kTile] = {};
    for (int64_t r = 0; r < rows; ++r) {
      float line[kTile] = {};  // a row by itself first: the error grows with rows + columns and not with their product
      for (int64_t s = 0; s < columns; ++s) {
        const float* const from = x + r * pitch + s * channels + c0;
#pragma omp simd
        for (int64_t c = 0; c < n; ++c) line[c] += from[c];
      }
#pragma omp simd
      for (int64_t c = 0; c < n; ++c) total[c] += line[c];
    }
#pragma omp simd
    for (int64_t c = 0; c < n; ++c) average[c0 + c] = total[c] / count;
  }
}

void max_cell(const float* x, int64_t rows, int64_t columns, int64_t channels, int64_t pitch, int64_t first, int64_t width, float* max,
              int64_t* index) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    Floats best = load<Floats>(x + c);
    Ints winner = Ints{} + static_cast<int32_t>(first);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t s = 0; s < columns; ++s) {
        const Floats v = load<Floats>(x + r * pitch + s * channels + c);
        const Ints take = beats(v, best);
        best = take ? v : best;
        winner = take ? Ints{} + static_cast<int32_t>(first + r * width + s) : winner;
      }
    }
    store(max + c, best);
    for (int lane = 0; lane < kLanes; ++lane) index[c + lane] = winner[lane];
  }
  for (; c < channels; ++c) {
    max[c] = x[c];
    index[c] = first;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t s = 0; s < columns; ++s) {
        const float v = x[r * pitch + s * channels + c];
        if (!beats(v, max[c])) continue;
        max[c] = v;
        index[c] = first + r * width + s;
      }
    }
  }
}
