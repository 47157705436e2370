// SPDX-License-Identifier: MIT
#include "kernels/core/shape.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/core/error.h"
#include "kernels/core/view.h"

namespace mirilla {
namespace {

TEST(Shape, CountsItsElements) {
  EXPECT_EQ((Shape{2, 3, 5, 33}.numel()), 990);
  EXPECT_EQ((Shape{0, 4}.numel()), 0);
  EXPECT_EQ(Shape{}.numel(), 1) << "the empty shape is a scalar";
}

TEST(Shape, IndexesFromTheFrontAndFromTheBack) {
  const Shape shape{2, 3, 5};
  EXPECT_EQ(shape[0], 2);
  EXPECT_EQ(shape[2], 5);
  EXPECT_EQ(shape[-1], 5);
  EXPECT_EQ(shape[-3], 2);
  EXPECT_THROW(shape[3], ShapeError);
  EXPECT_THROW(shape[-4], ShapeError);
  EXPECT_THROW(Shape{}[0], ShapeError);
}

TEST(Shape, IsEqualOnlyWithTheSameRankAndExtents) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{2, 3}), (Shape{2, 3, 1}));
  EXPECT_NE(Shape{}, Shape{1});
}

TEST(Shape, PrintsAsPeopleWriteIt) {
  EXPECT_EQ(to_string(Shape{8, 32, 32, 3}), "(8,32,32,3)");
  EXPECT_EQ(to_string(Shape{}), "()");
}

TEST(Shape, RefusesWhatItCannotHold) {
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1, 1}), ShapeError);
  EXPECT_THROW((Shape{2, -1}), ShapeError);
  constexpr int64_t kLarge = std::numeric_limits<int64_t>::max() / 2;
  EXPECT_THROW((Shape{kLarge, 3}), ShapeError);
  EXPECT_THROW((Shape{kLarge, 3, 0}), ShapeError) << "a zero must not hide the overflow beside it";
  EXPECT_EQ((Shape{kLarge, 2}.numel()), kLarge * 2);
}

TEST(View, RefusesAnotherElementType) {
  float value = 1;
  const View view{&value, {1}, DType::f32, true};
  EXPECT_EQ(view.data<float>(), &value);
  EXPECT_THROW(view.data<double>(), ShapeError);
  EXPECT_THROW(static_cast<ConstView>(view).data<Half>(), ShapeError);
}

TEST(View, TellsAnAbsentTensorFromOneWithoutElements) {
  EXPECT_FALSE(View{});
  EXPECT_TRUE((View{nullptr, {0}, DType::f32, true}));
  EXPECT_TRUE(static_cast<ConstView>(View{nullptr, {0}, DType::f32, true}));
}

TEST(DTypes, HaveTheirSizesAndNames) {
  const std::vector<std::pair<DType, size_t>> sizes{{DType::f32, 4},  {DType::f64, 8}, {DType::f16, 2},
                                                    {DType::bf16, 2}, {DType::u8, 1},  {DType::i64, 8}};
  for (const auto& [dtype, size] : sizes) {
    EXPECT_EQ(size_of(dtype), size) << name_of(dtype);
    const size_t by_dispatch = dispatch_any(dtype, []<class T>() { return sizeof(T); });
    EXPECT_EQ(by_dispatch, size) << name_of(dtype);
    const DType again = dispatch_any(dtype, []<class T>() { return kDTypeOf<T>; });
    EXPECT_EQ(again, dtype);
  }
  EXPECT_EQ(name_of(DType::bf16), "bf16");
}

TEST(Errors, CarryTheSentenceAndTheHint) {
  const ShapeError error("conv2d: wants four channels and got three", "pad the pictures");
  EXPECT_EQ(error.message(), "conv2d: wants four channels and got three");
  EXPECT_EQ(error.hint(), "pad the pictures");
  EXPECT_STREQ(error.what(), "conv2d: wants four channels and got three\n  hint: pad the pictures");
  EXPECT_STREQ(Error("alone").what(), "alone");
}

}  // namespace
}  // namespace mirilla
