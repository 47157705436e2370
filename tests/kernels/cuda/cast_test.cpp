// SPDX-License-Identifier: MIT
// Casts between all types of a GPU, with the same bits as the reference; and fill.
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/devices.h"
#include "tests/kernels/buffer.h"
#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

const std::vector<DType> kTypes{DType::f32, DType::f16, DType::bf16, DType::u8, DType::i64};

template <class T>
constexpr bool kIsFloat = is_float(kDTypeOf<T>);

// Hard values for casts: ties, ends of ranges, subnormals, values that are not finite; then ordinary numbers.
template <class T>
std::vector<T> difficult() {
  std::vector<T> values;
  if constexpr (std::is_same_v<T, int64_t>) {
    for (int shift = 0; shift < 63; ++shift)
      for (int64_t near : {-1, 0, 1})
        for (int64_t sign : {-1, 1}) values.push_back(sign * ((int64_t{1} << shift) + near));
    for (int64_t tie : {2049, 2051, 257, 259, 65519, 65520, (257 << 20) + 1, 257 << 20, (1 << 24) + 1})
      for (int64_t sign : {-1, 1}) values.push_back(sign * tie);
    values.push_back(std::numeric_limits<int64_t>::max());
    values.push_back(std::numeric_limits<int64_t>::min());
  } else if constexpr (std::is_same_v<T, uint8_t>) {
    for (int i = 0; i < 256; ++i) values.push_back(static_cast<uint8_t>(i));
  } else {
    const auto add = [&](double x) {
      values.push_back(T(static_cast<float>(x)));
      values.push_back(T(static_cast<float>(-x)));
    };
    for (double x : {0.0,
                     0.5,
                     0.999,
                     1.5,
                     254.9,
                     255.0,
                     255.5,
                     256.0,
                     2049.0,
                     2051.0,
                     257.0,
                     259.0,
                     65519.996,
                     65520.0,
                     0x1p-25,
                     0x1.8p-24,
                     0x1p-133,
                     0x1p62,
                     0x1p63,
                     0x1.FEp62,
                     1e30,
                     3e38,
                     std::numeric_limits<double>::infinity(),
                     std::nan("")})
      add(x);
    const RandomKey key{.seed = 5, .purpose = Purpose::kTest};
    for (uint32_t i = 0; i < 1000; ++i) {
      add(std::ldexp(to_unit(key.bits(2 * i)), static_cast<int>(key.bits(2 * i + 1) % 80) - 30));
      if (i % 11 == 0) add(std::nan(""));
      if (i % 11 == 5) add(std::numeric_limits<double>::infinity());
    }
  }
  // Some threads have whole vectors only, and one a short one; an odd number comes round, so that each value was at each place of a vector.
  constexpr size_t kCount = 10 * 4096 + 3591;
  if (values.size() % 2 == 0) values.push_back(T(static_cast<float>(1)));
  for (const size_t distinct = values.size(); values.size() < kCount;) values.push_back(values[values.size() - distinct]);
  return values;
}

template <class To, class From>
std::vector<To> cast(Device& device, const std::vector<From>& values, bool slices) {
  const Shape shape{static_cast<int64_t>(values.size())};
  Buffer<From> x(device, shape, values);
  Buffer<To> y(device, shape);
  if (slices)
    device.backend().run(op::Cast{tail(ConstView(x)), tail(View(y))});
  else
    device.backend().run(op::Cast{x, y});
  return y.values();
}

template <class T>
bool same(T a, T b) {
  if constexpr (kIsFloat<T>)
    if (std::isnan(static_cast<float>(a)) && std::isnan(static_cast<float>(b))) return true;
  return std::memcmp(&a, &b, sizeof(T)) == 0;
}

class CudaCast : public testing::TestWithParam<std::tuple<DType, DType>> {};
INSTANTIATE_TEST_SUITE_P(, CudaCast, testing::Combine(testing::ValuesIn(kTypes), testing::ValuesIn(kTypes)), [](const auto& i) {
  return std::string(name_of(std::get<0>(i.param))) + "To" + std::string(name_of(std::get<1>(i.param)));
});

// kernels/reference has no f64 detour for i64 to u8 only; where it goes through f64, numbers here are below 2^53 or far from a tie.
TEST_P(CudaCast, EqualsTheReferenceToTheBit) {
  dispatch_any(std::get<0>(GetParam()), [&]<class From>() {
    dispatch_any(std::get<1>(GetParam()), [&]<class To>() {
      const std::vector<From> values = difficult<From>();
      for (const bool slices : {false, true}) {
        const std::vector<To> want = cast<To>(open_device("reference"), values, slices),
                              got = cast<To>(device_under_test(), values, slices);
        for (size_t i = 0; i < values.size(); ++i)
          ASSERT_TRUE(same(want[i], got[i])) << "element " << i << ", " << static_cast<double>(static_cast<float>(values[i])) << ": got "
                                             << static_cast<double>(static_cast<float>(got[i])) << ", want "
                                             << static_cast<double>(static_cast<float>(want[i]));
      }
    });
  });
}

TEST(CudaCastOfHalves, TakesEveryHalfToBfloat16AndBack) {
  std::vector<Half> halves;
  std::vector<BFloat16> brains;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    halves.push_back(Half::from_bits(static_cast<uint16_t>(bits)));
    brains.push_back(BFloat16::from_bits(static_cast<uint16_t>(bits)));
  }
  const auto to_brains = cast<BFloat16>(device_under_test(), halves, false);
  const auto to_halves = cast<Half>(device_under_test(), brains, false);
  for (size_t i = 0; i < halves.size(); ++i) {
    ASSERT_TRUE(same(to_brains[i], BFloat16(static_cast<float>(halves[i])))) << i;
    ASSERT_TRUE(same(to_halves[i], Half(static_cast<float>(brains[i])))) << i;
  }
}

// So many that threads of a small GPU come round a second time.
TEST(CudaCastOfMany, TruncatesToIntegersInEveryRound) {
  const auto check = [&]<class From, class To>(From, To) {
    std::vector<From> values = difficult<From>();
    for (const size_t distinct = values.size(); values.size() < 140007;) values.push_back(values[values.size() - distinct]);
    const auto want = cast<To>(open_device("reference"), values, false), got = cast<To>(device_under_test(), values, false);
    for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(want[i], got[i]) << "element " << i << ", " << static_cast<float>(values[i]);
  };
  check(Half{}, uint8_t{});
  check(BFloat16{}, uint8_t{});
  check(float{}, uint8_t{});
  check(float{}, int64_t{});
}

TEST(CudaFill, FillsEveryTypeAndSizeAndSlice) {
  for (const DType type : kTypes)
    dispatch_any(type, [&]<class T>() {
      for (int64_t n : {1, 2, 15, 16, 17, 33, 1023, 4099, 300007}) {
        Buffer<T> whole(device_under_test(), {n}), slice(device_under_test(), {n + 1});
        device_under_test().backend().run(op::Fill{whole, 7});
        device_under_test().backend().run(op::Fill{tail(View(slice)), 7});
        const auto values = whole.values(), sliced = slice.values();
        const std::vector<std::byte> poison(sizeof(T), std::byte{0xFF});
        EXPECT_EQ(std::memcmp(&sliced[0], poison.data(), sizeof(T)), 0) << "wrote before its slice";
        for (size_t i = 0; i < values.size(); ++i) {
          ASSERT_EQ(static_cast<float>(values[i]), 7) << name_of(type) << " " << i << " of " << n;
          ASSERT_EQ(static_cast<float>(sliced[i + 1]), 7) << name_of(type) << " " << i << " of a slice of " << n;
        }
      }
    });
}

TEST(CudaFill, RoundsItsValueOnce) {
  Buffer<Half> y(device_under_test(), {3});
  device_under_test().backend().run(op::Fill{y, 2051});
  for (const Half h : y.values()) EXPECT_EQ(static_cast<float>(h), 2052);
}

TEST(CudaFill, FillsNothing) {
  Buffer<float> x(device_under_test(), {0, 3}), y(device_under_test(), {0, 3});
  device_under_test().backend().run(op::Fill{y, 1});
  device_under_test().backend().run(op::Cast{x, y});
}

TEST(CudaFill, RefusesF64) {
  Buffer<double> x(device_under_test(), {3});
  Buffer<float> y(device_under_test(), {3});
  EXPECT_THROW(device_under_test().backend().run(op::Fill{x, 1}), DeviceError);
  EXPECT_THROW(device_under_test().backend().run(op::Cast{x, y}), DeviceError);
}

}  // namespace
}  // namespace mirilla::test
