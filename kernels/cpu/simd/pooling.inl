// SPDX-License-Identifier: MIT
// A vector holds channels of one pixel; the inner loop runs over the taps of a window, so that the best so far stays in registers.

// Whether v takes the place of `best`: the first of equal values stays; of several NaN the last stays.
inline bool beats(float v, float best) { return v > best || v != v; }
inline Ints beats(Floats v, Floats best) { return (v > best) | (v != v); }

/// The taps of one window that lie inside the picture: rows r0..r1, columns s0..s1 of it.
struct Taps {
  int64_t r0, r1, s0, s1;
};

// kWindow is the window's extent where the window lies inside and the extent is known at compile time, so that the loops unroll; else 0.
// `index` may be null.
template <int kWindow>
inline void max_pool_pixel(const PoolWindow& p, const float* corner, const Taps& taps, float* y, uint8_t* index) {
  const int64_t channels = p.channels, window = kWindow ? kWindow : p.window;
  const int64_t r0 = kWindow ? 0 : taps.r0, r1 = kWindow ? kWindow : taps.r1;
  const int64_t s0 = kWindow ? 0 : taps.s0, s1 = kWindow ? kWindow : taps.s1;
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    Floats best = load<Floats>(corner + (r0 * p.width + s0) * channels + c);
    Ints winner = Ints{} + static_cast<int32_t>(r0 * window + s0);
    for (int64_t r = r0; r < r1; ++r) {
      for (int64_t s = s0; s < s1; ++s) {
        const Floats v = load<Floats>(corner + (r * p.width + s) * channels + c);
        const Ints take = beats(v, best);
        best = take ? v : best;
        winner = take ? Ints{} + static_cast<int32_t>(r * window + s) : winner;
      }
    }
    store(y + c, best);
    if (index) store(index + c, __builtin_convertvector(winner, Bytes));
  }
  for (; c < channels; ++c) {
    float best = corner[(r0 * p.width + s0) * channels + c];
    int64_t winner = r0 * window + s0;
    for (int64_t r = r0; r < r1; ++r) {
      for (int64_t s = s0; s < s1; ++s) {
        const float v = corner[(r * p.width + s) * channels + c];
        if (!beats(v, best)) continue;
        best = v;
        winner = r * window + s;
      }
    }
    y[c] = best;
    if (index) index[c] = static_cast<uint8_t>(winner);
  }
}

void max_pool(const PoolWindow& p, const float* x, float* y, uint8_t* index, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    const int64_t top = i * p.stride - p.padding;
    Taps taps{.r0 = most(0, -top), .r1 = least(p.window, p.height - top), .s0 = 0, .s1 = 0};
    for (int64_t j = 0; j < p.out_width; ++j) {
      const int64_t left = j * p.stride - p.padding;
      taps.s0 = most(0, -left);
      taps.s1 = least(p.window, p.width - left);
      const float* const corner = x + (top * p.width + left) * p.channels;
      const int64_t out = (i * p.out_width + j) * p.channels;
      uint8_t* const places = index ? index + out : nullptr;
      const bool whole = taps.r1 - taps.r0 == p.window && taps.s1 - taps.s0 == p.window;
      if (whole && p.window == 3) {
        max_pool_pixel<3>(p, corner, taps, y + out, places);
      } else if (whole && p.window == 2) {
        max_pool_pixel<2>(p, corner, taps, y + out, places);
      } else {
        max_pool_pixel<0>(p, corner, taps, y + out, places);
      }
    }
  }
}

/// A window that covers a pixel of dx: the address of its results, and the pixel's place in it.
struct Covering {
  int64_t at;
  int32_t place;
};
constexpr int64_t kCoverings = 64;  // at a time; more are added in several rounds

// to = (or +=, where `more`) the gradients of those windows that the pixel won; kCount is their number where it is known at compile time,
// else 0.
template <int kCount>
inline void gather_pixel(const Covering* windows, int64_t count, bool more, const float* dy, const uint8_t* index, float* to,
                         int64_t channels) {
  const int64_t n = kCount ? kCount : count;
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    Floats total = more ? load<Floats>(to + c) : Floats{};
    for (int64_t w = 0; w < n; ++w) {
      const int64_t at = windows[w].at + c;
      const Ints won = __builtin_convertvector(load<Bytes>(index + at), Ints) == windows[w].place;
      total += won ? load<Floats>(dy + at) : Floats{};
    }
    store(to + c, total);
  }
  for (; c < channels; ++c) {
    float total = more ? to[c] : 0.f;
    for (int64_t w = 0; w < n; ++w) {
      if (index[windows[w].at + c] == windows[w].place) total += dy[windows[w].at + c];
    }
    to[c] = total;
  }
}

inline void gather(const Covering* windows, int64_t count, bool more, const float* dy, const uint8_t* index, float* to, int64_t channels) {
  if (more || (count != 1 && count != 2 && count != 4)) {
    gather_pixel<0>(windows, count, more, dy, index, to, channels);
  } else if (count == 1) {
    gather_pixel<1>(windows, count, false, dy, index, to, channels);
  } else if (count == 2) {
    gather_pixel<2>(windows, count, false, dy, index, to, channels);
  } else {
    gather_pixel<4>(windows, count, false, dy, index, to, channels);
  }
}

// Gathers: each pixel of dx checks in which windows it won, so no two threads write the same element.
void max_pool_backward(const PoolWindow& p, const float* dy, const uint8_t* index, float* dx, int64_t begin, int64_t end) {
  Covering windows[kCoverings];
  for (int64_t h = begin; h < end; ++h) {
    const int64_t high = h + p.padding, i1 = least(p.out_height, high / p.stride + 1);
    const int64_t i0 = most(0, (high - p.window + p.stride) / p.stride);  // where the division truncates to 0, 0 is right
    for (int64_t w = 0; w < p.width; ++w) {
      const int64_t wide = w + p.padding, j1 = least(p.out_width, wide / p.stride + 1);
      const int64_t j0 = most(0, (wide - p.window + p.stride) / p.stride);
      float* const to = dx + (h * p.width + w) * p.channels;
      int64_t count = 0;
      bool more = false;
      for (int64_t i = i0; i < i1; ++i) {
        for (int64_t j = j0; j < j1; ++j) {
          if (count == kCoverings) {
            gather(windows, count, more, dy, index, to, p.channels);
            count = 0;
            more = true;
          }
          windows[count++] = {.at = (i * p.out_width + j) * p.channels,
                              .place = static_cast<int32_t>((high - i * p.stride) * p.window + wide - j * p.stride)};
        }
      }
      gather(windows, count, more, dy, index, to, p.channels);
    }
  }
}

constexpr int64_t kTile = 1024;  // channels at a time: their sums stay in the first-level cache

void average_cell(const float* x, int64_t rows, int64_t columns, int64_t channels, int64_t pitch, float* average) {
  const float count = static_cast<float>(rows * columns);
  for (int64_t c0 = 0; c0 < channels; c0 += kTile) {
    const int64_t n = least(channels - c0, kTile);
    float total[kTile] = {};
    for (int64_t r = 0; r < rows; ++r) {
      float line[kTile] = {};  // sum each row separately first: the error grows with rows + columns and not with their product
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
