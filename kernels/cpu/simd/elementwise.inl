// SPDX-License-Identifier: MIT
// Bandwidth loops: the compiler vectorises them as written.
void add(const float* a, const float* b, float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

void multiply(const float* a, const float* b, float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] * b[i];
}

void scale(const float* x, float factor, float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * factor;
}

void relu(const float* x, float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] < 0.f ? 0.f : x[i];  // written so that NaN stays NaN
}

void relu_backward(const float* dy, const float* y, float* dx, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) dx[i] = y[i] <= 0.f ? 0.f : dy[i];  // where y is NaN, dx = dy
}

void add_bias(const float* x, const float* bias, float* y, int64_t rows, int64_t channels) {
  for (int64_t r = 0; r < rows; ++r) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) y[r * channels + c] = x[r * channels + c] + bias[c];
  }
}

void accumulate(const float* x, float factor, float* y, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

float largest(const float* x, int64_t n) {
  int32_t most = 0;  // magnitudes order like their bits; infinity and NaN come last
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < n; ++i) {
    int32_t bits;
    __builtin_memcpy(&bits, x + i, sizeof(bits));
    bits &= 0x7fffffff;
    most = bits > most ? bits : most;
  }
  constexpr int32_t kInfinity = 0x7f800000;
  most = most < kInfinity ? most : kInfinity;
  float value;
  __builtin_memcpy(&value, &most, sizeof(value));
  return value;
}

// Philox 4x32-10 as kernels/core/philox.h has it, kBlocks counters side by side.
constexpr int kBlocks = 16;

void philox_blocks(const DropoutChunk& spec, uint32_t first_block, uint32_t words[4][kBlocks]) {
#pragma omp simd
  for (int lane = 0; lane < kBlocks; ++lane) {
    uint32_t c0 = first_block + static_cast<uint32_t>(lane), c1 = spec.counter[0], c2 = spec.counter[1], c3 = spec.counter[2];
    uint32_t k0 = spec.key[0], k1 = spec.key[1];
    for (int round = 0; round < 10; ++round) {
      const uint64_t a = uint64_t{0xD2511F53u} * c0;
      const uint64_t b = uint64_t{0xCD9E8D57u} * c2;
      c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
      c1 = static_cast<uint32_t>(b);
      c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
      c3 = static_cast<uint32_t>(a);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    words[0][lane] = c0;
    words[1][lane] = c1;
    words[2][lane] = c2;
    words[3][lane] = c3;
  }
}

void dropout(const DropoutChunk& spec, const float* x, float* y, int64_t first, int64_t n) {
  uint32_t words[4][kBlocks];
  for (int64_t i = 0; i < n; i += 4 * kBlocks) {
    philox_blocks(spec, static_cast<uint32_t>((first + i) / 4), words);
    const int64_t count = least(n - i, 4 * kBlocks);
    for (int64_t j = 0; j < count; ++j) {
      const bool keep = (words[j % 4][j / 4] >> 8) >= spec.threshold;
      const float value = x[first + i + j];
      y[first + i + j] = keep ? value * spec.factor : value * 0.f + 0.f;  // 0; NaN for a value that is not finite
    }
  }
}

void adam(const AdamChunk& k) {
  float* const p = k.parameter;
  const float* const g = k.gradient;
  float* const m = k.m;
  float* const v = k.v;
  const float keep = k.keep, beta1 = k.beta1, beta2 = k.beta2, rest1 = k.rest1, rest2 = k.rest2, rate = k.rate;
  const float inv_correction = k.inv_correction, eps = k.eps, unscale = k.unscale;
#pragma omp simd
  for (int64_t i = 0; i < k.count; ++i) {
    const float gradient = g[i] * unscale;
    const float first = beta1 * m[i] + rest1 * gradient;
    const float second = beta2 * v[i] + rest2 * (gradient * gradient);
    m[i] = first;
    v[i] = second;
    p[i] = p[i] * keep - rate * (first / (__builtin_sqrtf(second * inv_correction) + eps));
  }
}
