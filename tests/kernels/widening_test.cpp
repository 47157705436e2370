// SPDX-License-Identifier: MIT
// Half precision on the host devices: each operation on halves gives exactly what it gives in f32 on the widened inputs, rounded once.
#include "kernels/widening/widening.h"

#include <functional>

#include "kernels/devices.h"
#include "tests/kernels/cpu/support.h"

namespace mirilla::test {
namespace {

enum class Kind { like, f32, bytes, indices };  // `like` is the half type under test

struct Operand {
  Shape shape;
  Kind kind = Kind::like;
};

using In = std::vector<ConstView>;
using Out = std::vector<View>;

struct WidenedCase {
  std::string name;
  std::vector<Operand> inputs, outputs;
  std::function<void(Backend&, const In&, const Out&)> run;
};

std::vector<WidenedCase> elementwise_cases() {
  const Operand x{{2, 3, 3, 5}}, one{{1}}, one_f32{{1}, Kind::f32}, wide{{2, 3, 3, 5}, Kind::f32};
  const auto multiply = [](Backend& b, const In& in, const Out& out) { b.run(op::Multiply{in[0], in[1], out[0]}); };
  const DropoutSpec dropout{.p = 0.3, .key = {.seed = 7}};
  return {
      {"add",
       {x, x},
       {x},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::Add{in[0], in[1], out[0]});
       }},
      {"multiply", {x, x}, {x}, multiply},
      {"multiply_by_one_element", {x, one}, {x}, multiply},
      {"multiply_from_f32_by_one_element", {wide, one_f32}, {x}, multiply},
      {"scale",
       {x},
       {x},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::Scale{in[0], 1.0 / 3, out[0]});
       }},
      {"relu",
       {x},
       {x},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::Relu{in[0], out[0]});
       }},
      {"relu_backward",
       {x, x},
       {x},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::ReluBackward{in[0], in[1], out[0]});
       }},
      {"dropout",
       {x},
       {x},
       [dropout](Backend& b, const In& in, const Out& out) {
         b.run(op::Dropout{in[0], dropout, out[0]});
       }},
      {"concat",
       {{{4, 3}}, {{4, 2}}},
       {{{4, 5}}},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::Concat{in[0], in[1], out[0]});
       }},
      {"split",
       {{{4, 5}}},
       {{{4, 3}}, {{4, 2}}},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::Split{in[0], out[0], out[1]});
       }},
      {"augment",
       {{{2, 8, 8, 3}, Kind::bytes}},
       {{{2, 4, 4, 3}}},
       [](Backend& b, const In& in, const Out& out) {
         const float row[] = {1, 0, 0.1f, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 6, 6, 0.2f, 1.1f};
         Floats rows({2, kAugmentParameters});
         for (size_t i = 0; i < rows.values.size(); ++i) rows.values[i] = row[i % kAugmentParameters];
         b.run(op::Augment{.pictures = in[0],
                           .parameters = std::as_const(rows).view(),
                           .lighting = true,
                           .mean = {0.4f, 0.5f, 0.6f},
                           .std = {0.2f, 0.3f, 0.4f},
                           .y = out[0]});
       }},
  };
}

std::vector<WidenedCase> reduction_and_product_cases() {
  const Operand x{{2, 5, 5, 3}}, w{{4, 3, 3, 3}}, y{{2, 3, 3, 4}}, bias{{4}, Kind::f32};
  const Conv2dSpec conv{.stride = 2, .padding = 1};
  const auto sum = [](Backend& b, const In& in, const Out& out) { b.run(op::Sum{in[0], out[0]}); };
  const auto sum_rows = [](Backend& b, const In& in, const Out& out) { b.run(op::SumRows{in[0], out[0]}); };
  const auto matmul = [](Backend& b, const In& in, const Out& out) { b.run(op::Matmul{in[0], in[1], {.transpose_b = true}, out[0]}); };
  const auto weight = [conv](Backend& b, const In& in, const Out& out) { b.run(op::Conv2dBackwardWeight{in[0], in[1], conv, out[0]}); };
  return {{"sum", {x}, {{{}}}, sum},
          {"sum_to_f32", {x}, {{{}, Kind::f32}}, sum},
          {"sum_rows", {x}, {{{3}}}, sum_rows},
          {"sum_rows_to_f32", {x}, {{{3}, Kind::f32}}, sum_rows},
          {"argmax",
           {{{9, 7}}},
           {{{9}, Kind::indices}},
           [](Backend& b, const In& in, const Out& out) {
             b.run(op::Argmax{in[0], out[0]});
           }},
          {"matmul", {{{5, 9}}, {{4, 9}}}, {{{5, 4}}}, matmul},
          {"matmul_to_f32", {{{5, 9}}, {{4, 9}}}, {{{5, 4}, Kind::f32}}, matmul},
          {"add_bias",
           {y, bias},
           {y},
           [](Backend& b, const In& in, const Out& out) {
             b.run(op::AddBias{in[0], in[1], out[0]});
           }},
          {"conv2d",
           {x, w, bias},
           {y},
           [conv](Backend& b, const In& in, const Out& out) {
             b.run(op::Conv2d{in[0], in[1], in[2], conv, out[0]});
           }},
          {"conv2d_without_bias",
           {x, w},
           {y},
           [conv](Backend& b, const In& in, const Out& out) {
             b.run(op::Conv2d{in[0], in[1], {}, conv, out[0]});
           }},
          {"conv2d_backward_data",
           {y, w},
           {x},
           [conv](Backend& b, const In& in, const Out& out) {
             b.run(op::Conv2dBackwardData{in[0], in[1], conv, out[0]});
           }},
          {"conv2d_backward_weight", {x, y}, {w}, weight},
          {"conv2d_backward_weight_to_f32", {x, y}, {{w.shape, Kind::f32}}, weight},
          {"softmax",
           {{{6, 5}}},
           {{{6, 5}}},
           [](Backend& b, const In& in, const Out& out) {
             b.run(op::Softmax{in[0], out[0]});
           }},
          {"cross_entropy",
           {{{6, 3}}},
           {{{6}, Kind::f32}, {{6, 3}, Kind::f32}},
           [](Backend& b, const In& in, const Out& out) {
             Array<int64_t> targets({6});
             for (size_t i = 0; i < 6; ++i) targets.values[i] = static_cast<int64_t>(i % 3);
             b.run(op::CrossEntropy{in[0], std::as_const(targets).view(), out[0], out[1]});
           }},
          {"grad_cam", {x, x}, {{{2, 3}, Kind::f32}, {{2, 5, 5}, Kind::f32}}, [](Backend& b, const In& in, const Out& out) {
             b.run(op::GradCam{in[0], in[1], out[0], out[1]});
           }}};
}

std::vector<WidenedCase> norm_and_pool_cases() {
  const Operand x{{2, 4, 4, 3}}, c{{3}, Kind::f32}, pooled{{2, 2, 2, 3}}, place{{2, 2, 2, 3}, Kind::indices};
  const Pool2dSpec pool;
  return {
      {"batch_norm_statistics",
       {x},
       {c, c},
       [](Backend& b, const In& in, const Out& out) {
         Floats mean({3}, 0.5f), var({3}, 2.0f);
         b.run(op::BatchNormStatistics{
             .x = in[0], .mean = out[0], .inv_std = out[1], .running_mean = mean.view(), .running_var = var.view()});
         EXPECT_NE(mean.values[0], 0.5f);
         EXPECT_NE(var.values[0], 2.0f);
       }},
      {"batch_norm_apply",
       {x, c, c, c, c},
       {x, x},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::BatchNormApply{
             .x = in[0], .mean = in[1], .inv_std = in[2], .weight = in[3], .bias = in[4], .y = out[0], .normalized = out[1]});
       }},
      {"batch_norm_backward",
       {x, x, c, c, c},
       {x, c, c},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::BatchNormBackward{
             .dy = in[0], .x = in[1], .mean = in[2], .inv_std = in[3], .weight = in[4], .dx = out[0], .dweight = out[1], .dbias = out[2]});
       }},
      {"max_pool2d",
       {x},
       {pooled, {pooled.shape, Kind::bytes}},
       [pool](Backend& b, const In& in, const Out& out) {
         b.run(op::MaxPool2d{in[0], pool, out[0], out[1]});
       }},
      {"max_pool2d_backward",
       {pooled},
       {x},
       [pool](Backend& b, const In& in, const Out& out) {
         Array<uint8_t> index({2, 2, 2, 3}, 2);
         b.run(op::MaxPool2dBackward{in[0], std::as_const(index).view(), pool, out[0]});
       }},
      {"adaptive_avg_pool2d",
       {x},
       {pooled},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::AdaptiveAvgPool2d{in[0], out[0]});
       }},
      {"adaptive_avg_pool2d_backward",
       {pooled},
       {x},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::AdaptiveAvgPool2dBackward{in[0], out[0]});
       }},
      {"adaptive_max_pool2d",
       {x},
       {pooled, place},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::AdaptiveMaxPool2d{in[0], out[0], out[1]});
       }},
      {"adaptive_max_pool2d_backward", {pooled}, {x}, [](Backend& b, const In& in, const Out& out) {
         Array<int64_t> index({2, 2, 2, 3}, 5);
         b.run(op::AdaptiveMaxPool2dBackward{in[0], std::as_const(index).view(), out[0]});
       }}};
}

std::vector<WidenedCase> fused_cases() {
  const Operand x{{2, 4, 4, 3}}, c{{3}, Kind::f32}, w{{3, 3, 3, 3}}, pooled{{2, 1, 1, 6}}, place{{2, 1, 1, 3}, Kind::indices};
  return {
      {"batch_norm_add_relu",
       {x, c, c, c, c, x},
       {x},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::BatchNormApply{
             .x = in[0], .mean = in[1], .inv_std = in[2], .weight = in[3], .bias = in[4], .residual = in[5], .relu = true, .y = out[0]});
       }},
      {"batch_norm_add_relu_backward",
       {x, x, c, c, c, x},
       {x, x, c, c},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::BatchNormBackward{.dy = in[0],
                                     .x = in[1],
                                     .mean = in[2],
                                     .inv_std = in[3],
                                     .weight = in[4],
                                     .y = in[5],
                                     .relu = true,
                                     .dx = out[0],
                                     .dresidual = out[1],
                                     .dweight = out[2],
                                     .dbias = out[3]});
       }},
      {"conv2d_bias_add_relu",
       {x, w, c, x},
       {x},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::Conv2dBiasAddRelu{
             .x = in[0], .w = in[1], .bias = in[2], .residual = in[3], .relu = true, .spec = {.padding = 1}, .y = out[0]});
       }},
      {"adaptive_concat_pool2d",
       {x},
       {pooled, place},
       [](Backend& b, const In& in, const Out& out) {
         b.run(op::AdaptiveConcatPool2d{in[0], out[0], out[1]});
       }},
      {"adaptive_concat_pool2d_backward", {pooled}, {x}, [](Backend& b, const In& in, const Out& out) {
         Array<int64_t> index({2, 1, 1, 3}, 9);
         b.run(op::AdaptiveConcatPool2dBackward{in[0], std::as_const(index).view(), out[0]});
       }}};
}

struct Bytes {
  Operand operand;
  DType dtype;
  std::vector<std::byte> values;
  View view() { return {values.data(), operand.shape, dtype, true}; }
  ConstView read() const { return {values.data(), operand.shape, dtype, 0, 0, true}; }
};

DType dtype_of(Kind kind, DType like) {
  return kind == Kind::like ? like : kind == Kind::f32 ? DType::f32 : kind == Kind::bytes ? DType::u8 : DType::i64;
}

Bytes room(const Operand& operand, DType like) {
  const DType dtype = dtype_of(operand.kind, like);
  return {operand, dtype, std::vector<std::byte>(static_cast<size_t>(operand.shape.numel()) * size_of(dtype), std::byte{0xFF})};
}

Bytes cast_like(Backend& backend, const Bytes& x, DType like) {
  Bytes y = room(x.operand, like);
  backend.run(op::Cast{x.read(), y.view()});
  return y;
}

/// One case on one device: in the half `like`, and on the plain backend in f32.
void compare(const WidenedCase& tested, Backend& backend, Backend& plain, DType like) {
  std::vector<Bytes> halves, floats, got, want;
  for (size_t i = 0; i < tested.inputs.size(); ++i) {
    const Operand& operand = tested.inputs[i];
    const bool bytes = operand.kind == Kind::bytes;
    const Floats values = random(operand.shape, i + 1, bytes ? 0.f : -2.f, bytes ? 255.f : 2.f);
    Bytes x = room(operand, like);
    plain.run(op::Cast{values.view(), x.view()});
    floats.push_back(cast_like(plain, x, DType::f32));
    halves.push_back(std::move(x));
  }
  for (const Operand& operand : tested.outputs) {
    got.push_back(room(operand, like));
    want.push_back(room(operand, DType::f32));
  }
  const auto reads = [](const std::vector<Bytes>& all) {
    In in;
    for (const Bytes& x : all) in.push_back(x.read());
    return in;
  };
  const auto writes = [](std::vector<Bytes>& all) {
    Out out;
    for (Bytes& y : all) out.push_back(y.view());
    return out;
  };
  tested.run(backend, reads(halves), writes(got));
  tested.run(plain, reads(floats), writes(want));
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_EQ(got[i].values, cast_like(plain, want[i], like).values)
        << tested.name << " output " << i << " in " << name_of(like) << " on " << backend.name();
}

class Widening : public testing::TestWithParam<DType> {
 protected:
  void run(const std::vector<WidenedCase>& cases, std::string_view device) {
    const std::unique_ptr<Backend> plain = device == "cpu" ? std::unique_ptr<Backend>(std::make_unique<CpuBackend>())
                                                           : std::unique_ptr<Backend>(std::make_unique<ReferenceBackend>());
    for (const WidenedCase& tested : cases) compare(tested, open_device(device).backend(), *plain, GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(Halves, Widening, testing::Values(DType::f16, DType::bf16, DType::f32),
                         [](const auto& which) { return std::string(name_of(which.param)); });

TEST_P(Widening, RoundsEachOperationOnceOnCpu) {
  for (const auto& cases : {elementwise_cases(), reduction_and_product_cases(), norm_and_pool_cases(), fused_cases()}) run(cases, "cpu");
}

TEST_P(Widening, RoundsEachOperationOnceOnTheReference) {
  for (const auto& cases : {elementwise_cases(), reduction_and_product_cases(), norm_and_pool_cases()}) run(cases, "reference");
}

TEST_P(Widening, AddsAndScalesInPlace) {
  for (const char* device : {"cpu", "reference"}) {
    Backend& backend = open_device(device).backend();
    const Operand operand{{1000}};
    Bytes x = room(operand, GetParam());
    backend.run(op::Fill{x.view(), 3});
    backend.run(op::Add{x.read(), x.read(), x.view()});
    backend.run(op::Scale{x.read(), 0.5, x.view()});
    Bytes want = room(operand, GetParam());
    backend.run(op::Fill{want.view(), 3});
    EXPECT_EQ(x.values, want.values) << device;
  }
}

TEST(WideningScratch, IsUsedAgainAndGrowsOnlyWhereItMust) {
  widening::ScratchPool pool;
  const widening::ScratchPiece a = pool.take(1000), b = pool.take(10);
  pool.give(a);
  pool.give(b);
  EXPECT_EQ(pool.free_bytes(), 1010u);
  const widening::ScratchPiece small = pool.take(5), large = pool.take(999);
  EXPECT_EQ(small.address, b.address) << "the smallest that fits";
  EXPECT_EQ(large.address, a.address);
  pool.give(small);
  pool.give(large);
  pool.give(pool.take(2000));
  EXPECT_EQ(pool.free_bytes(), 2010u) << "the larger of the two grew";
}

TEST(WideningScratch, SaysHowMuchItWanted) {
  widening::ScratchPool pool;
  EXPECT_THROW(pool.take(size_t{1} << 60), DeviceError);
  EXPECT_EQ(pool.free_bytes(), 0u);
  pool.give(pool.take(8));
  EXPECT_EQ(pool.free_bytes(), 8u);
}

TEST(WideningBackend, SaysWhatItsInnerBackendSays) {
  WideningBackend cpu(std::make_unique<CpuBackend>()), reference(std::make_unique<ReferenceBackend>());
  EXPECT_EQ(cpu.name(), "cpu");
  EXPECT_EQ(reference.name(), "reference");
  EXPECT_TRUE(cpu.has<op::Conv2dBiasAddRelu>());
  EXPECT_FALSE(cpu.has<op::ReluMask>());
  EXPECT_FALSE(reference.has<op::BatchNormAddRelu>());
  EXPECT_THROW(reference.run(op::Conv2dBiasAddRelu{}), DeviceError);
}

}  // namespace
}  // namespace mirilla::test
