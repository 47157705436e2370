// SPDX-License-Identifier: MIT
#include <cmath>
#include <limits>

#include "kernels/cuda/common.h"

// Pictures to network input in one pass: affine map and warp, crop and resize, lighting, normalisation (backend.h has the formulas).
//
// The two samplings are one weighted sum: a pixel of the result is a mean of warped pixels, two along each axis (more where the crop is
// averaged first), each a blend of four source pixels; no intermediate picture is stored. Positions are f64: in f32 a position near pixel
// 255 is off by 1e-5 of a pixel, and between a black and a white pixel this is the error of the result. Everything else is f32.
//
// Bytes: a pixel of the result reads 48 bytes, which neighbouring pixels have brought into the cache, and writes 3 elements, or 4 in one
// access where the device's convolution wants padded pictures; pictures are read about once. FLOP: about 150 in f64 per pixel, so this
// kernel waits for arithmetic and for its 48 byte loads, not for memory. Launch: one thread per picture for the values that its pixels
// share; then 256 threads per block, one pixel of the result each, one picture per block.
namespace mirilla::MIRILLA_PLATFORM {

namespace {

/// A crop along one axis: `extent` pixels from `first`, averaged to `cells`.
struct Axis {
  int first, extent, cells;
};

/// The values that all pixels of one picture share.
struct Picture {
  double map[3][3];  // a warped pixel (x, y, 1) to its source pixel (x' z, y' z, z)
  Axis rows, columns;
  float shift, contrast;
  int64_t first, row_bytes;  // its position in `pictures`
};

struct Extents {
  int height, width, out_height, out_width;
};

/// The product of theta and the homography, with the conversions between pixels and [-1,1].
__device__ void find_map(const float* p, const Extents& e, double map[3][3]) {
  const double scale_x = e.width > 1 ? 2.0 / (e.width - 1) : 0, start_x = e.width > 1 ? -1 : 0;
  const double scale_y = e.height > 1 ? 2.0 / (e.height - 1) : 0, start_y = e.height > 1 ? -1 : 0;
  const double half_width = 0.5 * (e.width - 1), half_height = 0.5 * (e.height - 1);
  const double x[3] = {p[0] * scale_x, p[1] * scale_y, p[0] * start_x + p[1] * start_y + p[2]};
  const double y[3] = {p[3] * scale_x, p[4] * scale_y, p[3] * start_x + p[4] * start_y + p[5]};
  const float* const h = p + 6;
  for (int j = 0; j < 3; ++j) {
    const double one = j == 2 ? 1 : 0;
    const double z = h[6] * x[j] + h[7] * y[j] + one;
    map[0][j] = half_width * (h[0] * x[j] + h[1] * y[j] + h[2] * one + z);
    map[1][j] = half_height * (h[3] * x[j] + h[4] * y[j] + h[5] * one + z);
    map[2][j] = z;
  }
}

__global__ void pictures_kernel(const float* __restrict__ parameters, const int64_t* __restrict__ places, int64_t count, Extents e,
                                Picture* __restrict__ pictures) {
  const int64_t n = thread_in_grid();
  if (n >= count) return;
  const float* const row = parameters + n * kAugmentParameters;
  Picture picture{};
  find_map(row, e, picture.map);
  bool finite = true;
  for (int i = 0; i < 18; ++i) finite = finite && isfinite(row[i]);
  if (finite) {
    picture.columns = {static_cast<int>(row[14]), static_cast<int>(row[16]), static_cast<int>(row[16])};
    picture.rows = {static_cast<int>(row[15]), static_cast<int>(row[17]), static_cast<int>(row[17])};
  } else {  // the whole picture becomes NaN
    picture.columns = picture.rows = {0, 1, 1};
    for (auto& of_row : picture.map)
      for (double& element : of_row) element = std::numeric_limits<double>::quiet_NaN();
  }
  const double d =
      fmin(static_cast<double>(picture.rows.extent) / e.out_height, static_cast<double>(picture.columns.extent) / e.out_width) / 2;
  if (d > 1) {
    picture.rows.cells = static_cast<int>(floor(picture.rows.extent * (1 / d)));
    picture.columns.cells = static_cast<int>(floor(picture.columns.extent * (1 / d)));
  }
  picture.shift = row[18];
  picture.contrast = row[19];
  picture.first = places ? places[2 * n] : n * e.height * e.width * 3;
  picture.row_bytes = places ? places[2 * n + 1] : int64_t{e.width} * 3;
  pictures[n] = picture;
}

/// Pixels begin .. end - 1 of the warped picture along one axis, all with this weight.
struct Cell {
  int begin, end;
  float weight;
};

__device__ __forceinline__ Cell cell_of(const Axis& axis, int cell, double share) {
  if (axis.cells == axis.extent) return {axis.first + cell, axis.first + cell + 1, static_cast<float>(share)};
  const auto begin = static_cast<int>(int64_t{cell} * axis.extent / axis.cells);
  const auto end = static_cast<int>(((cell + int64_t{1}) * axis.extent + axis.cells - 1) / axis.cells);
  return {axis.first + begin, axis.first + end, static_cast<float>(share / (end - begin))};
}

/// The two cells that coordinate `i` of `out` lies between. At the last cell there is only one: the second is empty.
struct Between {
  Cell first, second;
  __device__ __forceinline__ Cell operator[](int k) const { return k == 0 ? first : second; }
};
__device__ __forceinline__ Between between(const Axis& axis, int i, int out) {
  const double place = (out == 1 ? 0.5 : static_cast<double>(i) / (out - 1)) * (axis.cells - 1);
  const int cell = min(static_cast<int>(place), max(axis.cells - 2, 0));
  const double share = place - cell;
  return {cell_of(axis, cell, 1 - share), cell + 1 < axis.cells ? cell_of(axis, cell + 1, share) : Cell{0, 0, 0}};
}

/// Mirrors x at 0 and last: a triangle wave of period 2 last. NaN for a value that is not finite.
__device__ __forceinline__ double mirrored(double x, double last) {
  if (last == 0) return fabs(0 * x);
  const double rest = fabs(x - 2 * last * rint(x / (2 * last)));
  return rest > last ? last : rest;
}

struct Colour {
  float red, green, blue;

  __device__ __forceinline__ void add(const uint8_t* pixel, float weight) {
    red = fmaf(weight, pixel[0], red);
    green = fmaf(weight, pixel[1], green);
    blue = fmaf(weight, pixel[2], blue);
  }
};

/// Adds the warped pixel (x, y): four source pixels.
__device__ __forceinline__ void add_warped(const uint8_t* source, int64_t row_bytes, const Extents& e, const double map[3][3], int x, int y,
                                           float weight, Colour& sum) {
  const double inv_z = 1 / (map[2][0] * x + map[2][1] * y + map[2][2]);
  const double sx = mirrored((map[0][0] * x + map[0][1] * y + map[0][2]) * inv_z, e.width - 1);
  const double sy = mirrored((map[1][0] * x + map[1][1] * y + map[1][2]) * inv_z, e.height - 1);
  // At the last pixel the right one has all the weight. For NaN any index will do: its weight is NaN.
  const int x0 = max(min(static_cast<int>(sx), e.width - 2), 0);
  const int y0 = max(min(static_cast<int>(sy), e.height - 2), 0);
  const auto right = static_cast<float>(sx - x0), down = static_cast<float>(sy - y0);
  const float lower = weight * down, upper = weight - lower;
  const float lower_right = lower * right, upper_right = upper * right;
  const uint8_t* const at = source + y0 * row_bytes + int64_t{x0} * 3;
  const int next = e.width > 1 ? 3 : 0;
  const int64_t below = e.height > 1 ? row_bytes : 0;
  sum.add(at, upper - upper_right);
  sum.add(at + next, upper_right);
  sum.add(at + below, lower - lower_right);
  sum.add(at + below + next, lower_right);
}

struct Finish {
  bool lighting;
  float factor[3], offset[3];  // normalised = factor value + offset
};

/// sigmoid((logit(x) + shift) contrast), with both functions in one.
__device__ __forceinline__ float lit(float x, float shift, float contrast) {
  if (x != x) return x;  // fminf and fmaxf would drop a NaN
  x = fminf(fmaxf(x, 1e-7f), 1.0f - 1e-7f);
  return 1.0f / (1.0f + expf((logf((1.0f - x) / x) - shift) * contrast));
}

template <class T, int kChannels>
__global__ void augment_kernel(const uint8_t* __restrict__ sources, const Picture* __restrict__ pictures, Extents e, unsigned blocks,
                               Finish finish, T* __restrict__ y) {
  const int64_t n = blockIdx.x / blocks;
  const auto pixel = static_cast<int>(blockIdx.x % blocks * blockDim.x + threadIdx.x);
  if (pixel >= e.out_height * e.out_width) return;
  const Picture& picture = pictures[n];
  const uint8_t* const source = sources + picture.first;
  const Between rows = between(picture.rows, pixel / e.out_width, e.out_height);
  const Between columns = between(picture.columns, pixel % e.out_width, e.out_width);
  Colour sum{0, 0, 0};
  for (int of_row = 0; of_row < 2; ++of_row) {
    const Cell row = rows[of_row];
    for (int of_column = 0; of_column < 2; ++of_column) {
      const Cell column = columns[of_column];
      const float weight = row.weight * column.weight * (1.0f / 255);
      for (int i = row.begin; i < row.end; ++i)
        for (int j = column.begin; j < column.end; ++j) add_warped(source, picture.row_bytes, e, picture.map, j, i, weight, sum);
    }
  }
  const float colours[3] = {sum.red, sum.green, sum.blue};
  T* const to = y + (n * e.out_height * e.out_width + pixel) * kChannels;
  Vector<float, 4> values{};
#pragma unroll
  for (int c = 0; c < 3; ++c) {
    const float value = finish.lighting ? lit(colours[c], picture.shift, picture.contrast) : colours[c];
    values[c] = fmaf(value, finish.factor[c], finish.offset[c]);
    if constexpr (kChannels == 3) to[c] = narrow<T>(values[c]);
  }
  if constexpr (kChannels == 4) store(to, narrow_all<T>(values));
}

}  // namespace

template <>
void CudaBackend::execute(const op::Augment& call) {
  if (call.y.numel() == 0) return;
  const int64_t count = call.y.shape[0];
  const auto extent = [](const Shape& shape, int d) { return static_cast<int>(shape[d]); };
  const Extents e{extent(call.pictures.shape, 1), extent(call.pictures.shape, 2), extent(call.y.shape, 1), extent(call.y.shape, 2)};
  Finish finish{.lighting = call.lighting, .factor = {}, .offset = {}};
  for (size_t c = 0; c < 3; ++c) {
    finish.factor[c] = 1 / call.std[c];
    finish.offset[c] = -call.mean[c] / call.std[c];
  }
  const Scratch scratch(stream_, static_cast<size_t>(count) * sizeof(Picture));
  auto* const pictures = scratch.as<Picture>();
  launch<pictures_kernel>(stream_, {static_cast<unsigned>(ceil_div(count, kBlock)), kBlock}, call.parameters.data<float>(),
                          call.places ? call.places.data<int64_t>() : nullptr, count, e, pictures);
  const auto blocks = static_cast<unsigned>(ceil_div(int64_t{e.out_height} * e.out_width, kBlock));
  dispatch(call.y.dtype, "augment", [&]<class T>() {
    const auto start = [&]<int kChannels>() {
      launch<augment_kernel<T, kChannels>>(stream_, {static_cast<unsigned>(count) * blocks, kBlock}, call.pictures.data<uint8_t>(),
                                           pictures, e, blocks, finish, call.y.data<T>());
    };
    if (call.y.shape[3] == kPaddedChannels)
      start.template operator()<4>();
    else
      start.template operator()<3>();
  });
}

}  // namespace mirilla::MIRILLA_PLATFORM
