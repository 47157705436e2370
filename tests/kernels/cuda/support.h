// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/backend.h"
#include "kernels/core/device.h"

/// How the tests of kernels/cuda compare: one call of the table of operations, on the device under test in f32, f16 or bf16, and on the
/// reference in f64 from the same numbers.
namespace mirilla::test {

/// 'cuda' where there is a GPU, else 'simt': the same kernels. MIRILLA_REQUIRE=cuda makes a missing GPU a failure.
Device& device_under_test();

/// Values with their shape and kind. Floats are rounded to the dtype of the case before either device sees them, so that the inputs are
/// equal.
struct Values {
  Shape shape;
  std::vector<double> values;
  DType kind = DType::f64;  // f64 stands for "the case's float type"; f32, u8, i64 are themselves (f32 becomes f64 on the reference)
};

/// Uniform in [low, high), drawn by Philox from the seed.
Values uniform(const Shape& shape, uint64_t seed, double low = -1, double high = 1);
/// The same, in f32 whatever the case's type: for statistics, biases, moments.
Values uniform_f32(const Shape& shape, uint64_t seed, double low = -1, double high = 1);
Values integers(const Shape& shape, uint64_t seed, int64_t below, DType kind = DType::i64);
/// An output: shape and kind, no values.
Values room(const Shape& shape, DType kind = DType::f64);

/// A tensor in a device's memory, freed with it. Fresh memory is full of 0xFF bytes: NaN in each float type.
class DeviceTensor {
 public:
  DeviceTensor(Device& device, const Values& values, DType float_type);
  ~DeviceTensor();
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;

  View view() const { return view_; }
  ConstView const_view() const { return view_; }
  /// Widened. Waits for the device.
  std::vector<double> read() const;

 private:
  Device& device_;
  View view_;
};

/// The arguments of `run`: inputs, outputs, in the order of the case; an absent one is an empty view. For an output that is read and
/// written in place, give it values.
using Call = std::function<void(Backend& backend, std::span<const ConstView> in, std::span<const View> out)>;

struct Case {
  std::string name;
  std::vector<Values> in, out;
  Call run;
  /// Sums of absolute terms, one per output element, by which accumulation errors are measured. Empty: all 0, so that only one rounding
  /// to the output's type is allowed. Usually magnitudes_by_reference.
  std::function<std::vector<std::vector<double>>(const std::vector<std::vector<double>>& want)> magnitudes = {};
  /// A rounding beside the last one: of the results, or of something below 1 that was added to them.
  struct Rounded {
    DType type;
    bool only_a_summand = false;
  };
  /// Asked after the run. Empty: there was none.
  std::function<std::optional<Rounded>()> rounded_first = {};
};

/// The sums of absolute terms of an operation that is a sum of products: itself, on the absolute values, in f64 on the reference.
std::function<std::vector<std::vector<double>>(const std::vector<std::vector<double>>&)> magnitudes_by_reference(std::vector<Values> in,
                                                                                                                 std::vector<Values> out,
                                                                                                                 Call run,
                                                                                                                 DType float_type);

/// Runs the case in `type` on both devices and compares every element of every output:
///
///   |got - want| <= unit |want| + accumulation magnitude + least
///
/// unit: half a unit of the output's type, one rounding (f32 2^-24, f16 2^-11, bf16 2^-8; 0 for integers). accumulation: 1e-5, the
/// tolerance of the whole project for sums in f32. least: half the smallest step of the type (f16 2^-25). A NaN equals a NaN, an
/// infinity itself; where |want| is beyond the type's range an infinity is right.
void expect_equal_to_reference(const Case& c, DType type, double accumulation = 1e-5);

/// The device's result, for tests of other promises.
std::vector<std::vector<double>> run_on(Device& device, const Case& c, DType type);

inline const std::vector<DType>& float_types() {
  static const std::vector<DType> types{DType::f32, DType::f16, DType::bf16};
  return types;
}

/// Sizes at which kernels may fail: around the warp, the block and the vector.
inline const std::vector<int64_t>& awkward_sizes() {
  static const std::vector<int64_t> sizes{1, 2, 3, 7, 8, 9, 31, 32, 33, 63, 65, 127, 255, 256, 257, 1023, 1025, 4099};
  return sizes;
}

}  // namespace mirilla::test
