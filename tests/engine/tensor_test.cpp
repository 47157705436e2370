// SPDX-License-Identifier: MIT
#include "engine/tensor.h"
#include "kernels/devices.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace mirilla {
namespace {

using Floats = std::vector<float>;

class EveryDeviceTensor : public ::testing::TestWithParam<std::string> {
 protected:
  Tensor count(const Shape& shape) {
    Floats values(static_cast<size_t>(shape.numel()));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    return from_host(values, shape, device_);
  }

  Device& device_ = open_device(GetParam());
};

TEST_P(EveryDeviceTensor, KnowsItsShapeDTypeAndDevice) {
  const Tensor x = empty({2, 3, 5}, DType::f16, device_);
  EXPECT_EQ(x.shape(), (Shape{2, 3, 5}));
  EXPECT_EQ(x.size(-1), 5);
  EXPECT_EQ(x.numel(), 30);
  EXPECT_EQ(x.dtype(), DType::f16);
  EXPECT_EQ(&x.device(), &device_);
  EXPECT_EQ(describe(x), "f16 (2,3,5) on " + GetParam());
}

TEST_P(EveryDeviceTensor, SlicesAndReshapesWithoutCopying) {
  const Tensor x = count({4, 3});
  Tensor rows = x.slice(1, 3);
  EXPECT_EQ(rows.shape(), (Shape{2, 3}));
  EXPECT_EQ(rows.offset(), 3);
  EXPECT_EQ(rows.to_vector<float>(), (Floats{3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(rows.slice(1, 2).to_vector<float>(), (Floats{6, 7, 8})) << "a slice of a slice";
  rows.view({6}).slice(0, 1).fill(-1);
  EXPECT_EQ(x.to_vector<float>(), (Floats{0, 1, 2, -1, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(x.slice(4, 4).numel(), 0);
  EXPECT_THROW(x.slice(2, 5), ShapeError);
  EXPECT_THROW(x.slice(-1, 2), ShapeError);
  EXPECT_THROW(x.slice(3, 2), ShapeError);
  EXPECT_THROW(x.view({5}), ShapeError);
}

TEST_P(EveryDeviceTensor, MovesTheVersionOnWritingAndNotOnReading) {
  Tensor x = count({4});
  const Tensor part = x.slice(0, 1);
  const uint64_t before = x.version();
  EXPECT_EQ(x.to_doubles()[3], 3);
  const ConstView read = x;
  EXPECT_EQ(read.version, before);
  EXPECT_EQ(read.storage_id, x.storage()->id());
  EXPECT_EQ(x.version(), before);
  const View written = x;
  EXPECT_TRUE(written.present);
  EXPECT_GT(x.version(), before);
  EXPECT_EQ(part.version(), x.version()) << "the storage counts, so every view of it notices";
  const uint64_t then = x.version();
  x.copy_from(count({4}));
  EXPECT_GT(x.version(), then);
}

TEST_P(EveryDeviceTensor, NeverGivesAStorageIdTwice) {
  std::set<uint64_t> ids;
  for (int i = 0; i < 100; ++i) ids.insert(empty({8}, DType::f32, device_).storage()->id());
  EXPECT_EQ(ids.size(), 100u);
  EXPECT_FALSE(ids.contains(0));
}

TEST_P(EveryDeviceTensor, CopiesHandlesButClonesValues) {
  Tensor x = count({3});
  const Tensor same = x, copy = x.clone();
  EXPECT_TRUE(same.is_same_view(x));
  EXPECT_FALSE(copy.is_same_view(x));
  EXPECT_TRUE(x.detach().is_same_view(x));
  EXPECT_FALSE(x.slice(0, 2).is_same_view(x));
  x.fill(9);
  EXPECT_EQ(same.to_vector<float>(), (Floats{9, 9, 9}));
  EXPECT_EQ(copy.to_vector<float>(), (Floats{0, 1, 2}));
}

TEST_P(EveryDeviceTensor, KnowsWhetherAnybodyElseSeesItsValues) {
  const Tensor x = count({3});
  EXPECT_TRUE(x.is_sole_owner());
  {
    const Tensor slice = x.slice(0, 1);
    EXPECT_FALSE(x.is_sole_owner());
    EXPECT_FALSE(slice.is_sole_owner());
  }
  EXPECT_TRUE(x.is_sole_owner());
  const Tensor copy = x;
  EXPECT_FALSE(x.is_sole_owner());
}

TEST_P(EveryDeviceTensor, TravelsBetweenDevicesAndDTypes) {
  const Tensor x = from_host(Floats{0.1f, -2, 70000}, {3}, device_);
  for (const std::string& name : device_names()) {
    Device& other = open_device(name);
    EXPECT_EQ(x.to(other).to_vector<float>(), x.to_vector<float>()) << name;
    EXPECT_EQ(x.to(other).to(device_).to_vector<float>(), x.to_vector<float>()) << name;
    Tensor halves = empty({3}, DType::f16, other);
    halves.copy_from(x);
    const std::vector<double> values = halves.to_doubles();
    EXPECT_EQ(values[0], static_cast<double>(static_cast<float>(Half(0.1f))));
    EXPECT_EQ(values[1], -2);
    EXPECT_TRUE(std::isinf(values[2]));
  }
  EXPECT_TRUE(x.to(device_).is_same_view(x));
  EXPECT_TRUE(x.to(DType::f32).is_same_view(x));
  EXPECT_THROW(empty({4}, DType::f32, device_).copy_from(x), ShapeError);
}

TEST_P(EveryDeviceTensor, MeetsDoublesOfTheReference) {
  Device& reference = open_device("reference");
  const std::vector<double> fine{0.1, 1 + 0x1p-40, -3};
  Tensor x = empty({3}, DType::f32, device_);
  x.copy_from(from_host(fine, {3}, reference));
  EXPECT_EQ(x.to_vector<float>(), (Floats{0.1f, 1, -3}));
  Tensor wide = empty({3}, DType::f64, reference);
  wide.copy_from(x);
  EXPECT_EQ(wide.to_doubles(), (std::vector<double>{static_cast<double>(0.1f), 1, -3}));
}

TEST_P(EveryDeviceTensor, ReadsEveryDTypeOnTheHost) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::u8, DType::i64})
    EXPECT_EQ(full({2}, 7, dtype, device_).to_doubles(), (std::vector<double>{7, 7})) << name_of(dtype);
  EXPECT_EQ(zeros({}, DType::i64, device_).item(), 0);
  EXPECT_THROW(count({2}).item(), ShapeError);
  EXPECT_THROW(count({2}).to_vector<double>(), ShapeError);
}

TEST_P(EveryDeviceTensor, HoldsNoElementsWithoutFuss) {
  const Tensor none = empty({0, 4}, DType::f32, device_);
  EXPECT_TRUE(none);
  EXPECT_TRUE(static_cast<ConstView>(none).present);
  EXPECT_TRUE(none.to_vector<float>().empty());
  EXPECT_EQ(none.clone().shape(), (Shape{0, 4}));
  EXPECT_EQ(none.view({4, 0}).shape(), (Shape{4, 0}));
  EXPECT_EQ(none.slice(0, 0).numel(), 0);
}

TEST_P(EveryDeviceTensor, TakesAsManyValuesAsItsShapeHas) { EXPECT_THROW(from_host(Floats{1, 2, 3}, {2}, device_), ShapeError); }

INSTANTIATE_TEST_SUITE_P(Here, EveryDeviceTensor, ::testing::ValuesIn(device_names()), [](const auto& which) { return which.param; });

TEST(NoTensor, SaysSoInsteadOfCrashing) {
  Tensor none;
  EXPECT_FALSE(none);
  EXPECT_FALSE(static_cast<bool>(static_cast<ConstView>(none)));
  EXPECT_THROW(none.shape(), Error);
  EXPECT_THROW(none.to_doubles(), Error);
  EXPECT_THROW(none.grad(), Error);
  EXPECT_EQ(describe(none), "no tensor");
}

}  // namespace
}  // namespace mirilla
