// SPDX-License-Identifier: MIT
#include "kernels/cuda/conv/channels.h"

#include <limits>

#include "kernels/cuda/common.h"

namespace mirilla::MIRILLA_PLATFORM {

namespace {

// Bytes: reads rows channels_from, writes rows channels_to elements. Launch: 256 threads per block, one element of the result per thread,
// grid-stride.
template <class Word>
__global__ void copy_channels_kernel(const Word* __restrict__ from, int channels_from, Word* __restrict__ to, int channels_to, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const int64_t row = i / channels_to;
    const int c = static_cast<int>(i - row * channels_to);
    to[i] = c < channels_from ? from[row * channels_from + c] : Word{};
  }
}

// Bytes: reads and writes n elements, of weights or a bias, which are few. Launch: as above.
template <class From, class To>
__global__ void convert_kernel(const From* __restrict__ from, To* __restrict__ to, int64_t n) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) to[i] = narrow<To>(widen(from[i]));
}

// Bytes: writes n elements. Launch: as above. The hash is the last step of MurmurHash3, which maps similar inputs to unrelated outputs.
template <class T>
__global__ void fill_uniform_kernel(T* __restrict__ to, int64_t n, unsigned seed) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    unsigned h = static_cast<unsigned>(i) + seed * 0x9E3779B9u;
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    h ^= h >> 16;
    to[i] = narrow<T>(static_cast<float>(h >> 8) * 0x1p-23f - 1);
  }
}

__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) <= std::numeric_limits<float>::max(); }  // false for NaN

// Bytes: reads both once. Speed does not matter here: it runs once per plan. Magnitudes are not negative, so they order like
// their bits, and the maximum does not depend on the order of the threads.
template <class T>
__global__ void largest_and_apart_kernel(const T* __restrict__ ours, const T* __restrict__ theirs, int64_t n, int* __restrict__ result) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  float largest = 0, apart = 0;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const float a = widen(ours[i]), b = widen(theirs[i]);
    if (!is_finite(a)) {
      largest = kInfinity;
      continue;
    }
    largest = fmaxf(largest, fabsf(a));
    apart = is_finite(b) ? fmaxf(apart, fabsf(a - b)) : kInfinity;
  }
  atomicMax(result, __float_as_int(largest));
  atomicMax(result + 1, __float_as_int(apart));
}

template <class Word>
void copy(Stream& stream, const void* from, int64_t channels_from, void* to, int64_t channels_to, int64_t rows) {
  const int64_t n = rows * channels_to;
  launch<copy_channels_kernel<Word>>(stream, {blocks_for(n, kBlock), kBlock}, static_cast<const Word*>(from),
                                     static_cast<int>(channels_from), static_cast<Word*>(to), static_cast<int>(channels_to), n);
}

}  // namespace

void copy_channels(Stream& stream, const void* from, int64_t channels_from, void* to, int64_t channels_to, int64_t rows, DType dtype) {
  if (rows * channels_to == 0) return;
  if (size_of(dtype) == 2)
    copy<uint16_t>(stream, from, channels_from, to, channels_to, rows);
  else
    copy<uint32_t>(stream, from, channels_from, to, channels_to, rows);
}

void widen_halves(Stream& stream, const void* from, DType dtype, float* to, int64_t count) {
  if (count == 0) return;
  dispatch(dtype, "widen_halves", [&]<class T>() {
    launch<convert_kernel<T, float>>(stream, {blocks_for(count, kBlock), kBlock}, static_cast<const T*>(from), to, count);
  });
}

void narrow_to_halves(Stream& stream, const float* from, void* to, DType dtype, int64_t count) {
  if (count == 0) return;
  dispatch(dtype, "narrow_to_halves", [&]<class T>() {
    launch<convert_kernel<float, T>>(stream, {blocks_for(count, kBlock), kBlock}, from, static_cast<T*>(to), count);
  });
}

void fill_uniform(Stream& stream, void* to, DType dtype, int64_t count, uint32_t seed) {
  if (count == 0) return;
  dispatch(dtype, "fill_uniform", [&]<class T>() {
    launch<fill_uniform_kernel<T>>(stream, {blocks_for(count, kBlock), kBlock}, static_cast<T*>(to), count, seed);
  });
}

void largest_and_apart(Stream& stream, const void* ours, const void* theirs, DType dtype, int64_t count, float* result) {
  stream.fill_bytes(result, 0, 2 * sizeof(float));
  if (count == 0) return;
  dispatch(dtype, "largest_and_apart", [&]<class T>() {
    launch<largest_and_apart_kernel<T>>(stream, {blocks_for(count, kBlock), kBlock}, static_cast<const T*>(ours),
                                        static_cast<const T*>(theirs), count, reinterpret_cast<int*>(result));
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
