// SPDX-License-Identifier: MIT
#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaGradCam : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaGradCam, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

Case grad_cam(const Shape& x, DType type) {
  Case c{.name = "grad_cam " + to_string(x),
         .in = {uniform(x, 1), uniform(x, 2)},
         .out = {room({x[0], x[3]}, DType::f32), room({x[0], x[1], x[2]}, DType::f32)},
         .run = [](Backend& b, auto in, auto out) {
           b.run(op::GradCam{in[0], in[1], out[0], out[1]});
         }};
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, type);
  return c;
}

TEST_P(CudaGradCam, EqualsTheReferenceAtEveryShape) {
  for (const Shape& x : {Shape{1, 1, 1, 1}, Shape{2, 3, 5, 3}, Shape{1, 4, 4, 512}, Shape{3, 7, 7, 32}, Shape{1, 2, 9, 33},
                         Shape{1, 2, 2, 257}, Shape{1, 20, 31, 8}})
    expect_equal_to_reference(grad_cam(x, GetParam()), GetParam());
  expect_same_in_any_order(grad_cam({2, 5, 7, 40}, GetParam()), GetParam());
}

TEST(CudaGradCamLimits, TakesMorePicturesThanAGridIsHigh) { expect_equal_to_reference(grad_cam({65537, 1, 1, 1}, DType::f32), DType::f32); }

TEST_P(CudaGradCam, WorksOnSlicesThatStartAnywhere) {
  Case c = grad_cam({3, 3, 5, 3}, GetParam());
  c.run = [](Backend& b, auto in, auto out) {
    b.run(op::GradCam{without_first_row(in[0]), without_first_row(in[1]), without_first_row(out[0]), without_first_row(out[1])});
  };
  c.magnitudes = magnitudes_by_reference(c.in, c.out, c.run, GetParam());
  expect_equal_to_reference(c, GetParam());
}

TEST_P(CudaGradCam, OfNothingIsNothing) { expect_equal_to_reference(grad_cam({0, 4, 4, 8}, GetParam()), GetParam()); }

}  // namespace
}  // namespace mirilla::test
