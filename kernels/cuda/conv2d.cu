// SPDX-License-Identifier: MIT
#include <limits>

#include "kernels/cuda/conv/own.h"
#include "kernels/cuda/parts/gather.h"
#include "kernels/cuda/parts/tile.h"
#include "kernels/cuda/vendor/vendor.h"

// y(n,p,q,k) = bias(k) + sum over r,s,c of x(n, p stride - padding + r dilation, q stride - padding + s dilation, c) w(k,r,s,c), where x
// outside the picture is zero; then + residual, then max(.,0), where requested.
//
// As a product: M = pixels of y, N = filters k, K = taps (r,s,c). In both operands c is contiguous, so chunks run along K: A is gathered
// from x, B is the weights as they are in memory.
// FLOP: 2 M N K. Bytes: y, the residual and w about once; x once for each tap and N / tile, mostly from the caches.
// Launch: one block per tile of (pixels, filters); neighbouring blocks share their pixels.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

// A bias in f32 or in the type of the values.
template <class T>
struct Bias {
  const void* data;  // null: none
  bool f32;
  __device__ float at(int64_t k) const {
    if (data == nullptr) return 0.0f;
    if constexpr (!std::is_same_v<T, float>) {
      if (!f32) return widen(static_cast<const T*>(data)[k]);
    }
    return static_cast<const float*>(data)[k];
  }
};

template <class T, bool kWide>
struct Conv2d {
  using Element = T;
  using A = Gather<T, false, kWide>;
  using B = MatrixOperand<T, true, kWide>;

  A a;
  B b;
  int64_t rows, columns;
  Bias<T> bias;
  const T* residual;  // null: none
  bool relu;
  Result<T> y;

  __device__ void enter(unsigned) {}
  __device__ int first_depth() const { return 0; }
  __device__ int last_depth() const { return b.extent; }
  __device__ __forceinline__ void put(int64_t m, int64_t n, const typename Result<T>::Values& sums) const {
    if (m >= rows || n >= columns) return;
    typename Result<T>::Values values = sums;
    const int64_t count = columns - n, at = m * columns + n;
#pragma unroll
    for (int i = 0; i < kChunk<T>; ++i) {
      if (i >= count) break;
      values[i] += bias.at(n + i);
      if (residual != nullptr) values[i] += widen(residual[at + i]);
      if (relu && values[i] < 0) values[i] = 0;  // written so that NaN stays NaN
    }
    y.put(at, values, count);
  }
};

template <class T, bool kWide>
void run(Stream& stream, const op::Conv2dBiasAddRelu& call, const ConvSizes& z) {
  const Conv2d<T, kWide> problem{.a = gather_from<T, false, kWide>(call.x.data<T>(), z, call.spec),
                                 .b = {call.w.data<T>(), z.k, z.taps()},
                                 .rows = z.pixels_out(),
                                 .columns = z.k,
                                 .bias = {call.bias ? call.bias.address : nullptr, call.bias.dtype == DType::f32},
                                 .residual = data_or_null<T>(call.residual),
                                 .relu = call.relu,
                                 .y = result_of<T>(call.y)};
  with_tile<kWide>(problem.rows, problem.columns, 1, [&]<class Shape>() { launch_product<Shape>(stream, problem); });
}

}  // namespace

void own_conv2d(Stream& stream, std::string_view operation, const op::Conv2dBiasAddRelu& call) {
  if (call.y.numel() == 0) return;
  const ConvSizes z = conv_sizes(operation, call.x.shape, call.w.shape, call.y.shape);
  dispatch(call.x.dtype, operation, [&]<class T>() {
    if (chunks_fit<T>(call.x.address, z.c) && chunks_fit<T>(call.w.address, z.c))
      run<T, true>(stream, call, z);
    else
      run<T, false>(stream, call, z);
  });
}

ConvSizes conv_sizes(std::string_view operation, const Shape& x, const Shape& weights, const Shape& y) {
  const int64_t largest = std::max({x[0] * x[1] * x[2], y[0] * y[1] * y[2], weights.numel() / std::max<int64_t>(weights[0], 1),
                                    weights.numel() / std::max<int64_t>(weights[3], 1), x[1] * x[2] * x[3]});
  if (largest > kMaxDepth)
    throw DeviceError(fmt::format("{}: {} pixels or taps are too many for the device '{}'", operation, largest, kDeviceName),
                      "split the batch");
  const auto narrow_to_int = [](int64_t extent) { return static_cast<int>(extent); };
  return {.n = narrow_to_int(x[0]),
          .h = narrow_to_int(x[1]),
          .w = narrow_to_int(x[2]),
          .c = narrow_to_int(weights[3]),
          .pitch = narrow_to_int(x[3]),
          .k = narrow_to_int(weights[0]),
          .r = narrow_to_int(weights[1]),
          .s = narrow_to_int(weights[2]),
          .p = narrow_to_int(y[1]),
          .q = narrow_to_int(y[2])};
}

template <>
void CudaBackend::execute(const op::Conv2d& call) {
  if (vendor::conv2d_forward(stream_, call)) return;
  own_conv2d(stream_, "conv2d",
             {.x = call.x, .w = call.w, .bias = call.bias, .residual = {}, .relu = false, .spec = call.spec, .y = call.y});
}

bool CudaBackend::rounds(const op::Conv2dBiasAddRelu& call) { return vendor::rounds(stream_, call); }

template <>
void CudaBackend::execute(const op::Conv2dBiasAddRelu& call) {
  if (!vendor::conv2d_bias_add_relu(stream_, call)) own_conv2d(stream_, "conv2d_bias_add_relu", call);
}

}  // namespace mirilla::MIRILLA_PLATFORM
