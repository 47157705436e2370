// SPDX-License-Identifier: MIT
// One row of augmented pixels. The work is arithmetic and gathers: per tap about 30 operations in f64 to find the position, 4 gathers, 24
// operations in f32 to blend three colours. Positions are f64 because in f32 a position near pixel 255 is off by up to 1e-5 of a pixel
// or more, and between a black and a white pixel this is the error of the result.
constexpr int kAugmentChunk = 64;  // columns at a time, so that a chunk's data stays in the first-level cache
static_assert(kAugmentChunk % kLanes == 0);

struct AugmentChunk {
  int32_t at[kAugmentChunk];  // upper left of the four source pixels
  float right[kAugmentChunk], down[kAugmentChunk];
  float colour[3][kAugmentChunk];
};

// To the nearest integer, for |x| < 2^51. An instruction set without a rounding instruction vectorises this too.
inline double rounded(double x) {
  constexpr double kBig = 0x1.8p52;
  return (x + kBig) - kBig;
}

// Mirrors x at 0 and last: a triangle wave of period 2 last, inv_period 0 where last is 0. NaN for a value that is not finite.
inline double mirrored(double x, double last, double inv_period) {
  const double rest = __builtin_fabs(x - 2 * last * rounded(x * inv_period));
  return rest > last ? last : rest;
}

// The source pixels of tap (column position, y) for each output column.
inline void augment_places(const AugmentPicture& p, const int32_t* position, double y, int n, AugmentChunk& chunk) {
  const double* const m = p.map;
  const double ax = m[0], bx = m[1] * y + m[2], ay = m[3], by = m[4] * y + m[5], az = m[6], bz = m[7] * y + m[8];
  const double last_x = p.width - 1, last_y = p.height - 1;
  const double inv_x = p.width > 1 ? 0.5 / last_x : 0, inv_y = p.height > 1 ? 0.5 / last_y : 0;
  const int32_t most_x = p.width > 1 ? p.width - 2 : 0, most_y = p.height > 1 ? p.height - 2 : 0, pitch = p.width;
#pragma omp simd
  for (int i = 0; i < n; ++i) {
    const double x = position[i];
    const double inv_z = 1 / (az * x + bz);
    const double sx = mirrored((ax * x + bx) * inv_z, last_x, inv_x), sy = mirrored((ay * x + by) * inv_z, last_y, inv_y);
    const int32_t cx = static_cast<int32_t>(sx), cy = static_cast<int32_t>(sy);
    const int32_t x1 = cx < most_x ? cx : most_x, y1 = cy < most_y ? cy : most_y;  // at the last pixel the right one has all the weight
    const int32_t x0 = x1 > 0 ? x1 : 0, y0 = y1 > 0 ? y1 : 0;                      // for NaN any index will do: its weight is NaN
    chunk.at[i] = y0 * pitch + x0;
    chunk.right[i] = static_cast<float>(sx - x0);
    chunk.down[i] = static_cast<float>(sy - y0);
  }
}

// colour += share * weight * the blend of four source pixels.
inline void augment_blend(const AugmentPicture& p, const float* weight, float share, int n, AugmentChunk& chunk) {
  const uint32_t* const a = p.pixels;
  const uint32_t* const b = a + (p.width > 1 ? 1 : 0);
  const int32_t below = p.height > 1 ? p.width : 0;
  const uint32_t* const c = a + below;
  const uint32_t* const d = b + below;
#pragma omp simd
  for (int i = 0; i < n; ++i) {
    const int32_t at = chunk.at[i];
    const float all = share * weight[i];
    const float lower = all * chunk.down[i], upper = all - lower;
    const float wb = upper * chunk.right[i], wa = upper - wb, wd = lower * chunk.right[i], wc = lower - wd;
    const uint32_t pa = a[at], pb = b[at], pc = c[at], pd = d[at];
    const auto blend = [&](int shift) {
      const auto part = [shift](uint32_t pixel) { return static_cast<float>(static_cast<int32_t>((pixel >> shift) & 255u)); };
      return (wa * part(pa) + wb * part(pb)) + (wc * part(pc) + wd * part(pd));
    };
    chunk.colour[0][i] += blend(0);
    chunk.colour[1][i] += blend(8);
    chunk.colour[2][i] += blend(16);
  }
}

// Natural logarithm of normal x > 0, to 2e-7 of max(1, |log x|).                                                  [Cephes logf]
inline Floats quick_log(Floats x) {
  const Ints bits = reinterpret_cast<Ints>(x);
  const Ints exponent = (bits - 0x3f3504f3) >> 23;  // of a mantissa in [sqrt(1/2), sqrt(2))
  const Floats f = reinterpret_cast<Floats>(bits - (exponent << 23)) - 1.f;
  const Floats e = __builtin_convertvector(exponent, Floats);
  Floats q = f * 7.0376836292e-2f - 1.1514610310e-1f;
  q = q * f + 1.1676998740e-1f;
  q = q * f - 1.2420140846e-1f;
  q = q * f + 1.4249322787e-1f;
  q = q * f - 1.6668057665e-1f;
  q = q * f + 2.0000714765e-1f;
  q = q * f - 2.4999993993e-1f;
  q = q * f + 3.3333331174e-1f;
  const Floats square = f * f;
  return e * 0.693359375f + (f + (square * f * q - 0.5f * square + e * -2.12194440e-4f));  // log 2 in two parts
}

// e^x, to 2e-7 of itself; x is kept within -80 .. 80.                                                             [Cephes expf]
inline Floats quick_exp(Floats x) {
  const Floats most = Floats{} + 80.f;
  x = x > most ? most : x;  // written so that NaN stays NaN
  x = x < -most ? -most : x;
  constexpr float kBig = 0x1.8p23f;
  const Floats n = (x * 1.44269504088896341f + kBig) - kBig;
  const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Floats q = r * 1.9875691500e-4f + 1.3981999507e-3f;
  q = q * r + 8.3334519073e-3f;
  q = q * r + 4.1665795894e-2f;
  q = q * r + 1.6666665459e-1f;
  q = q * r + 5.0000001201e-1f;
  const Ints exponent = (__builtin_convertvector(n, Ints) + 127) << 23;
  return (q * r * r + r + 1.f) * reinterpret_cast<Floats>(exponent);
}

// sigmoid((logit(v) + shift) contrast), with both functions in one: 1 / (1 + e^((log((1-v)/v) - shift) contrast)). Works on whole vectors:
// data after the n values is changed too.
inline void augment_light(float* v, float shift, float contrast, int n) {
  const Floats low = Floats{} + 1e-7f, high = Floats{} + (1.f - 1e-7f);
  for (int i = 0; i < n; i += kLanes) {
    const Floats given = load<Floats>(v + i);
    Floats x = given > low ? given : low;
    x = x < high ? x : high;
    const Floats lit = 1.f / (1.f + quick_exp((quick_log((1.f - x) / x) - shift) * contrast));
    store(v + i, given == given ? lit : given);  // NaN stays NaN
  }
}

/// Row `row` of the output, columns.extent pixels of three.
void augment_row(const AugmentPicture& p, int32_t row, float* out) {
  for (int32_t first = 0; first < p.columns.extent; first += kAugmentChunk) {
    const int n = static_cast<int>(least(p.columns.extent - first, kAugmentChunk));
    AugmentChunk chunk;
    __builtin_memset(chunk.colour, 0, sizeof(chunk.colour));
    for (int32_t r = 0; r < p.rows.count; ++r) {
      const int64_t of_row = int64_t{r} * p.rows.extent + row;
      const float share = p.rows.weight[of_row] * (1.f / 255.f);
      if (share == 0.f) continue;
      for (int32_t k = 0; k < p.columns.count; ++k) {
        const int64_t of_column = int64_t{k} * p.columns.extent + first;
        augment_places(p, p.columns.position + of_column, p.rows.position[of_row], n, chunk);
        augment_blend(p, p.columns.weight + of_column, share, n, chunk);
      }
    }
    for (int c = 0; c < 3; ++c) {
      if (p.lighting) augment_light(chunk.colour[c], p.shift, p.contrast, n);
      for (int i = 0; i < n; ++i) out[(first + i) * 3 + c] = chunk.colour[c][i] * p.factor[c] + p.offset[c];
    }
  }
}
