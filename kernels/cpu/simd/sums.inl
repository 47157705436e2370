// SPDX-License-Identifier: MIT
// Sums run in float over a block that is short enough to lose only the last few digits, and in double from block to block. The
// order depends only on the extents.
constexpr int64_t kBlockRows = 64;
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

// Two sums per channel over rows: term(at, c, first, second) adds what element `at` of channel c contributes, for a vector of channels or
// for one. kVectors vectors are summed side by side and stay in registers for a block of rows: sums in memory would be stored and
// loaded at every row, and a load whose low address bits equal those of a recent store waits for that store.
template <int kVectors, class Term>
inline void sum_vectors(int64_t rows, int64_t channels, int64_t c0, const Term& term, double* __restrict__ first,
                        double* __restrict__ second) {
  for (int64_t begin = 0; begin < rows; begin += kBlockRows) {
    const int64_t end = least(rows, begin + kBlockRows);
    Floats a[kVectors] = {}, b[kVectors] = {};
    for (int64_t r = begin; r < end; ++r) {
      for (int v = 0; v < kVectors; ++v) term(r * channels + c0 + v * kLanes, c0 + v * kLanes, a[v], b[v]);
    }
    float block[2][kVectors * kLanes];
    for (int v = 0; v < kVectors; ++v) {
      store(block[0] + v * kLanes, a[v]);
      store(block[1] + v * kLanes, b[v]);
    }
#pragma omp simd
    for (int i = 0; i < kVectors * kLanes; ++i) {
      first[c0 + i] += static_cast<double>(block[0][i]);
      second[c0 + i] += static_cast<double>(block[1][i]);
    }
  }
}

template <class Term>
inline void sum_terms(int64_t rows, int64_t channels, const Term& term, double* first, double* second) {
  constexpr int kVectors = 4;
  // As many rows as stay in the second-level cache while the groups of channels are processed in turn.
  const int64_t stretch = most(kBlockRows, 65536 / most(1, channels) / kBlockRows * kBlockRows);
  for (int64_t begin = 0; begin < rows; begin += stretch) {
    const int64_t count = least(rows - begin, stretch);
    const auto here = [&](int64_t at, int64_t c, auto& a, auto& b) { term(begin * channels + at, c, a, b); };
    int64_t c = 0;
    for (; c + kVectors * kLanes <= channels; c += kVectors * kLanes) sum_vectors<kVectors>(count, channels, c, here, first, second);
    for (; c + kLanes <= channels; c += kLanes) sum_vectors<1>(count, channels, c, here, first, second);
    for (; c < channels; ++c) {
      for (int64_t r = 0; r < count; ++r) {
        float a = 0.f, b = 0.f;
        here(r * channels + c, c, a, b);
        first[c] += static_cast<double>(a);
        second[c] += static_cast<double>(b);
      }
    }
  }
}

void sum_rows(const float* x, int64_t rows, int64_t channels, double* sums, double* unused) {
  const auto term = [=]<class V>(int64_t at, int64_t, V& a, V&) { a += load<V>(x + at); };
  sum_terms(rows, channels, term, sums, unused);
}

void moments(const float* x, const float* shift, int64_t rows, int64_t channels, double* sums, double* squares) {
  const auto term = [=]<class V>(int64_t at, int64_t c, V& a, V& b) {
    const V d = load<V>(x + at) - load<V>(shift + c);
    a += d;
    b += d * d;
  };
  sum_terms(rows, channels, term, sums, squares);
}

template <bool kRelu>
void batch_norm_sums_of(const float* dy, const float* x, const float* y, const float* mean, int64_t rows, int64_t channels, double* sums,
                        double* products) {
  const auto term = [=]<class V>(int64_t at, int64_t c, V& a, V& b) {
    V g = load<V>(dy + at);
    if constexpr (kRelu) g = load<V>(y + at) <= 0.f ? V{} : g;
    a += g;
    b += g * (load<V>(x + at) - load<V>(mean + c));
  };
  sum_terms(rows, channels, term, sums, products);
}

void batch_norm_sums(const float* dy, const float* x, const float* y, const float* mean, int64_t rows, int64_t channels, double* sums,
                     double* products) {
  if (y) {
    batch_norm_sums_of<true>(dy, x, y, mean, rows, channels, sums, products);
  } else {
    batch_norm_sums_of<false>(dy, x, y, mean, rows, channels, sums, products);
  }
}
