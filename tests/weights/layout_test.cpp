// SPDX-License-Identifier: MIT
#include "weights/layout.h"

#include <numeric>

#include "tests/weights/support.h"

namespace mirilla::weights {
namespace {

template <class T>
std::vector<T> counted(const Shape& shape) {
  std::vector<T> values(static_cast<size_t>(shape.numel()));
  std::iota(values.begin(), values.end(), T{0});
  return values;
}

template <class T>
class Layout : public ::testing::Test {};
using Elements = ::testing::Types<uint8_t, float, double, int64_t>;
TYPED_TEST_SUITE(Layout, Elements);

TYPED_TEST(Layout, PutsEachWeightWhereTheEngineLooksForIt) {
  const Shape oihw{2, 3, 4, 5};
  const auto values = counted<TypeParam>(oihw);
  const Array krsc = oihw_to_krsc(Array::from<TypeParam>(oihw, values));
  EXPECT_EQ(krsc.shape(), (Shape{2, 4, 5, 3}));
  const auto moved = krsc.values<TypeParam>();
  for (size_t o = 0; o < 2; ++o)
    for (size_t i = 0; i < 3; ++i)
      for (size_t h = 0; h < 4; ++h)
        for (size_t w = 0; w < 5; ++w) ASSERT_EQ(moved[((o * 4 + h) * 5 + w) * 3 + i], values[((o * 3 + i) * 4 + h) * 5 + w]);
  const Array back = krsc_to_oihw(krsc);
  EXPECT_EQ(back.shape(), oihw);
  EXPECT_EQ(hex(back.bytes()), hex(std::as_bytes(std::span(values))));
}

TYPED_TEST(Layout, ALinearLayerBehindAFlattenSeesTheSamePixels) {
  const Shape shape{3, 2 * 3 * 5};  // (out, C*H*W), C = 2, H = 3, W = 5
  const auto values = counted<TypeParam>(shape);
  const Array engine = permute_linear_after_flatten(Array::from<TypeParam>(shape, values), 2, 3, 5);
  EXPECT_EQ(engine.shape(), shape);
  const auto moved = engine.values<TypeParam>();
  for (size_t o = 0; o < 3; ++o)
    for (size_t c = 0; c < 2; ++c)
      for (size_t h = 0; h < 3; ++h)
        for (size_t w = 0; w < 5; ++w) ASSERT_EQ(moved[o * 30 + (h * 5 + w) * 2 + c], values[o * 30 + (c * 3 + h) * 5 + w]);
  EXPECT_EQ(hex(unpermute_linear_after_flatten(engine, 2, 3, 5).bytes()), hex(std::as_bytes(std::span(values))));
}

TEST(LayoutOfOtherRanks, StaysAndSharesItsBytes) {
  const Array linear = Array::from<float>({2, 2}, std::array{1.0f, 2.0f, 3.0f, 4.0f});
  EXPECT_EQ(oihw_to_krsc(linear).bytes().data(), linear.bytes().data());
  EXPECT_EQ(krsc_to_oihw(linear.shape()), (Shape{2, 2}));
  EXPECT_EQ(krsc_to_oihw(oihw_to_krsc(Shape{64, 3, 7, 7})), (Shape{64, 3, 7, 7}));
}

TEST(LayoutErrors, NameTheShapes) {
  const Array linear = Array::from<float>({2, 2}, std::array{1.0f, 2.0f, 3.0f, 4.0f});
  EXPECT_EQ(sentence_of<ShapeError>([&] { permute_linear_after_flatten(linear, 2, 3, 5); }),
            "a linear layer after a flatten of (2,3,5) pictures: expected weights (out,30), got (2,2)");
  std::vector<float> target(3);
  EXPECT_EQ(sentence_of<ShapeError>([&] {
              oihw_to_krsc<float>(linear.values<float>(), target, {1, 2, 2, 1});
            }),
            "weights (1,2,2,1) are 4 elements; the source has 4 and the target 3");
}

TEST(ArrayValues, ConvertToF32AndRefuseAnotherType) {
  const std::array<uint16_t, 3> halves = {0x3c00, 0xc000, 0x7c00};
  const Array half = Array::copy_of(DType::f16, {3}, std::as_bytes(std::span(halves)));
  EXPECT_EQ(to_f32(half), (std::vector<float>{1.0f, -2.0f, INFINITY}));
  EXPECT_EQ(to_f32(Array::from<int64_t>({2}, std::array<int64_t, 2>{-3, 16777217})), (std::vector<float>{-3.0f, 16777216.0f}));
  EXPECT_EQ(sentence_of([&] { half.values<float>(); }), "an array (3) is f16 but was requested as f32");
  EXPECT_EQ(sentence_of<ShapeError>([&] { Array::copy_of(DType::f32, {3}, std::as_bytes(std::span(halves))); }),
            "an array (3) of f32: expected 12 bytes, got 6");
}

}  // namespace
}  // namespace mirilla::weights
