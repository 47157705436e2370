// SPDX-License-Identifier: MIT
#include "tests/kernels/cuda/support.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>

#include "kernels/core/philox.h"
#include "kernels/devices.h"

namespace mirilla::test {

namespace {

DType type_of(const Values& values, DType float_type) {
  if (values.kind == DType::f64) return float_type;
  return values.kind == DType::f32 && float_type == DType::f64 ? DType::f64 : values.kind;
}

double rounded(double x, DType type) {
  switch (type) {
    case DType::f32: return static_cast<float>(x);
    case DType::f16: return static_cast<float>(Half(static_cast<float>(x)));
    case DType::bf16: return static_cast<float>(BFloat16(static_cast<float>(x)));
    default: return x;
  }
}

template <class T>
T converted(double x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) return T(static_cast<float>(x));
  return static_cast<T>(x);
}
template <>
Half converted<Half>(double x) {
  return Half(static_cast<float>(x));
}
template <>
BFloat16 converted<BFloat16>(double x) {
  return BFloat16(static_cast<float>(x));
}

struct Error {
  double unit, least, largest;
};
Error error_of(DType type) {
  switch (type) {
    case DType::f32: return {0x1p-24, 0x1p-150, std::numeric_limits<float>::max()};
    case DType::f16: return {0x1p-11, 0x1p-25, 65504};
    case DType::bf16: return {0x1p-8, 0x1p-134, 0x1.FEp127};
    default: return {0, 0, std::numeric_limits<double>::max()};
  }
}

// A case's tensors on one device.
struct OnDevice {
  std::vector<std::unique_ptr<DeviceTensor>> owned;
  std::vector<ConstView> in;
  std::vector<View> out;

  OnDevice(Device& device, const Case& c, DType type, DType case_type) {
    for (const Values& values : c.in) in.push_back(add(device, values, type, case_type).const_view());
    for (const Values& values : c.out) out.push_back(add(device, values, type, case_type).view());
  }
  // Both devices get numbers that the case's type can represent.
  const DeviceTensor& add(Device& device, Values values, DType type, DType case_type) {
    for (double& x : values.values) x = rounded(x, type_of(values, case_type));
    owned.push_back(std::make_unique<DeviceTensor>(device, values, type));
    return *owned.back();
  }
  std::vector<std::vector<double>> outputs() const {
    std::vector<std::vector<double>> all;
    for (size_t i = in.size(); i < owned.size(); ++i) all.push_back(owned[i]->read());
    return all;
  }
};

std::vector<std::vector<double>> run_in(Device& device, const Case& c, DType type, DType case_type) {
  const OnDevice tensors(device, c, type, case_type);
  c.run(device.backend(), tensors.in, tensors.out);
  return tensors.outputs();
}

std::vector<std::vector<double>> run_reference(const Case& c, DType case_type) {
  return run_in(open_device("reference"), c, DType::f64, case_type);
}

bool close(double got, double want, const Error& error, double allowance) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) == std::isnan(got);
  if (std::isinf(want)) return got == want;
  if (std::isinf(got)) return std::signbit(got) == std::signbit(want) && std::abs(want) * (1 + error.unit) + allowance >= error.largest;
  return std::abs(got - want) <= error.unit * std::abs(want) + allowance + error.least;
}

}  // namespace

Device& device_under_test() {
  static Device& device = []() -> Device& {
    const char* const required = std::getenv("MIRILLA_REQUIRE");
    if (required && *required) return open_device(required);
    const std::vector<std::string> names = device_names();
    return open_device(std::find(names.begin(), names.end(), "cuda") != names.end() ? "cuda" : "simt");
  }();
  return device;
}

Values uniform(const Shape& shape, uint64_t seed, double low, double high) {
  Values values{shape, std::vector<double>(static_cast<size_t>(shape.numel())), DType::f64};
  const RandomKey key{.seed = seed, .purpose = Purpose::kTest};
  for (size_t i = 0; i < values.values.size(); ++i)
    values.values[i] = low + (high - low) * double{to_unit(key.bits(static_cast<uint32_t>(i)))};
  return values;
}

Values uniform_f32(const Shape& shape, uint64_t seed, double low, double high) {
  Values values = uniform(shape, seed, low, high);
  values.kind = DType::f32;
  return values;
}

Values integers(const Shape& shape, uint64_t seed, int64_t below, DType kind) {
  Values values = uniform(shape, seed, 0, static_cast<double>(below));
  for (double& x : values.values) x = std::floor(x);
  values.kind = kind;
  return values;
}

Values room(const Shape& shape, DType kind) { return {shape, {}, kind}; }

DeviceTensor::DeviceTensor(Device& device, const Values& values, DType float_type) : device_(device) {
  const DType type = type_of(values, float_type);
  const size_t bytes = static_cast<size_t>(values.shape.numel()) * size_of(type);
  view_ = {device.allocate(std::max<size_t>(bytes, 1)), values.shape, type, true};
  std::vector<std::byte> host(bytes, std::byte{0xFF});
  if (!values.values.empty())
    dispatch_any(type, [&]<class T>() {
      for (size_t i = 0; i < values.values.size(); ++i) {
        const T x = converted<T>(values.values[i]);
        std::memcpy(host.data() + i * sizeof(T), &x, sizeof(T));
      }
    });
  device.copy_from_host(view_.address, host.data(), bytes);
}

DeviceTensor::~DeviceTensor() {
  device_.release(view_.address, std::max<size_t>(static_cast<size_t>(view_.numel()) * size_of(view_.dtype), 1));
}

std::vector<double> DeviceTensor::read() const {
  std::vector<double> all(static_cast<size_t>(view_.numel()));
  dispatch_any(view_.dtype, [&]<class T>() {
    std::vector<T> host(all.size());
    device_.copy_to_host(host.data(), view_.address, host.size() * sizeof(T));
    for (size_t i = 0; i < all.size(); ++i) {
      if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
        all[i] = static_cast<float>(host[i]);
      else
        all[i] = static_cast<double>(host[i]);
    }
  });
  return all;
}

std::function<std::vector<std::vector<double>>(const std::vector<std::vector<double>>&)> magnitudes_by_reference(std::vector<Values> in,
                                                                                                                 std::vector<Values> out,
                                                                                                                 Call run,
                                                                                                                 DType float_type) {
  return [in = std::move(in), out = std::move(out), run = std::move(run), float_type](const auto&) {
    Case absolute{.name = {}, .in = in, .out = out, .run = run};
    for (Values& values : absolute.in)
      for (double& x : values.values) x = std::abs(x);
    return run_reference(absolute, float_type);
  };
}

void expect_equal_to_reference(const Case& c, DType type, double accumulation) {
  SCOPED_TRACE(c.name + " in " + std::string(name_of(type)) + " on " + std::string(device_under_test().name()));
  const auto want = run_reference(c, type);
  const auto got = run_on(device_under_test(), c, type);
  const auto magnitudes = c.magnitudes ? c.magnitudes(want) : std::vector<std::vector<double>>(want.size());
  const std::optional<Case::Rounded> rounded_first = c.rounded_first ? c.rounded_first() : std::nullopt;
  for (size_t o = 0; o < want.size(); ++o) {
    Error error = error_of(type_of(c.out[o], type));
    if (rounded_first) {
      const Error once = error_of(rounded_first->type);
      (rounded_first->only_a_summand ? error.least : error.unit) += once.unit;
      error.least += once.least;
    }
    int told = 0;
    for (size_t i = 0; i < want[o].size() && told < 3; ++i) {
      const double allowance = magnitudes[o].empty() ? 0 : accumulation * magnitudes[o][i];
      if (close(got[o][i], want[o][i], error, allowance)) continue;
      ADD_FAILURE() << "output " << o << ", element " << i << " of " << want[o].size() << ": got " << got[o][i] << ", want " << want[o][i]
                    << ", allowed " << error.unit * std::abs(want[o][i]) + allowance + error.least;
      ++told;
    }
  }
}

std::vector<std::vector<double>> run_on(Device& device, const Case& c, DType type) { return run_in(device, c, type, type); }

}  // namespace mirilla::test
