// SPDX-License-Identifier: MIT
#include "tests/kernels/cuda/order.h"

namespace mirilla::test {
namespace {

class CudaConcat : public testing::TestWithParam<DType> {};
INSTANTIATE_TEST_SUITE_P(, CudaConcat, testing::ValuesIn(float_types()), [](const auto& i) { return std::string(name_of(i.param)); });

struct Widths {
  int64_t a, b;
};
// Words of 16, 8, 4 and 2 bytes, in f16 and in f32; an empty row.
const std::vector<Widths> kWidths{{1, 1}, {1, 2}, {2, 6}, {4, 4}, {8, 16}, {3, 5}, {33, 31}, {64, 64}, {32, 257}, {0, 5}, {5, 0}};

Shape widened(std::vector<int64_t> extents, int64_t last) {
  extents.push_back(last);
  return Shape(extents);
}

TEST_P(CudaConcat, JoinsRowsAndSplitsThemAtEveryWidth) {
  for (const auto& [a, b] : kWidths)
    for (const std::vector<int64_t>& outer : {std::vector<int64_t>{1}, std::vector<int64_t>{7}, std::vector<int64_t>{2, 3, 5}}) {
      const Shape first = widened(outer, a), second = widened(outer, b), both = widened(outer, a + b);
      expect_equal_to_reference({.name = "concat " + to_string(first) + " and " + to_string(second),
                                 .in = {uniform(first, 1), uniform(second, 2)},
                                 .out = {room(both)},
                                 .run =
                                     [](Backend& backend, auto in, auto out) {
                                       backend.run(op::Concat{in[0], in[1], out[0]});
                                     }},
                                GetParam());
      expect_equal_to_reference({.name = "split " + to_string(first) + " and " + to_string(second),
                                 .in = {uniform(both, 3)},
                                 .out = {room(first), room(second), room(first), room(second)},
                                 .run =
                                     [](Backend& backend, auto in, auto out) {
                                       backend.run(op::Split{in[0], out[0], out[1]});
                                       backend.run(op::Split{in[0], out[2], View()});
                                       backend.run(op::Split{in[0], View(), out[3]});
                                     }},
                                GetParam());
    }
}

// Each thread has several words, also on a device of one multiprocessor: words of 16, 8, 4 and 2 bytes.
TEST_P(CudaConcat, JoinsAndSplitsMoreWordsThanTheGridHasThreads) {
  const int64_t in_4_bytes = GetParam() == DType::f32 ? 1 : 2;
  for (const int64_t word : {4 * in_4_bytes, 2 * in_4_bytes, in_4_bytes, int64_t{1}}) {
    const int64_t a = 3 * word, b = 2 * word, rows = 8200;
    expect_equal_to_reference({.name = "many words of " + std::to_string(word) + " elements",
                               .in = {uniform({rows, a}, 1), uniform({rows, b}, 2), uniform({rows, a + b}, 3)},
                               .out = {room({rows, a + b}), room({rows, a}), room({rows, b}), room({rows, a}), room({rows, b})},
                               .run =
                                   [](Backend& backend, auto in, auto out) {
                                     backend.run(op::Concat{in[0], in[1], out[0]});
                                     backend.run(op::Split{in[2], out[1], out[2]});
                                     backend.run(op::Split{in[2], out[3], View()});
                                     backend.run(op::Split{in[2], View(), out[4]});
                                   }},
                              GetParam());
  }
}

TEST(CudaConcatOfBytes, JoinsAndSplitsMoreWordsThanTheGridHasThreads) {
  expect_equal_to_reference({.name = "many bytes",
                             .in = {integers({8200, 3}, 1, 256, DType::u8), integers({8200, 2}, 2, 256, DType::u8)},
                             .out = {room({8200, 5}, DType::u8), room({8200, 3}, DType::u8), room({8200, 2}, DType::u8)},
                             .run =
                                 [](Backend& backend, auto in, auto out) {
                                   backend.run(op::Concat{in[0], in[1], out[0]});
                                   backend.run(op::Split{out[0], out[1], out[2]});
                                   backend.run(op::Split{out[0], out[1], View()});
                                   backend.run(op::Split{out[0], View(), out[2]});
                                 }},
                            DType::f32);
}

TEST_P(CudaConcat, WorksOnSlicesThatStartAnywhere) {
  expect_equal_to_reference({.name = "slices",
                             .in = {uniform({5, 8}, 1), uniform({5, 3}, 2), uniform({5, 11}, 3)},
                             .out = {room({5, 11}), room({5, 8}), room({5, 3})},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Concat{without_first_row(in[0]), without_first_row(in[1]), without_first_row(out[0])});
                                   b.run(op::Split{without_first_row(in[2]), without_first_row(out[1]), without_first_row(out[2])});
                                 }},
                            GetParam());
}

TEST_P(CudaConcat, MovesIntegersToo) {
  expect_equal_to_reference({.name = "bytes and labels",
                             .in = {integers({5, 3}, 1, 256, DType::u8), integers({5, 2}, 2, 256, DType::u8), integers({5, 3}, 3, 1000),
                                    integers({5, 1}, 4, 1000)},
                             .out = {room({5, 5}, DType::u8), room({5, 4}, DType::i64)},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Concat{in[0], in[1], out[0]});
                                   b.run(op::Concat{in[2], in[3], out[1]});
                                 }},
                            GetParam());
}

TEST_P(CudaConcat, DoesNotDependOnTheOrderOfThreads) {
  expect_same_in_any_order({.name = "concat",
                            .in = {uniform({40, 24}, 1), uniform({40, 8}, 2)},
                            .out = {room({40, 32})},
                            .run =
                                [](Backend& b, auto in, auto out) {
                                  b.run(op::Concat{in[0], in[1], out[0]});
                                }},
                           GetParam());
}

TEST_P(CudaConcat, OfNothingIsNothing) {
  expect_equal_to_reference({.name = "nothing",
                             .in = {room({0, 4}), room({0, 3})},
                             .out = {room({0, 7}), room({0, 4}), room({0, 3})},
                             .run =
                                 [](Backend& b, auto in, auto out) {
                                   b.run(op::Concat{in[0], in[1], out[0]});
                                   b.run(op::Split{out[0], out[1], out[2]});
                                 }},
                            GetParam());
}

}  // namespace
}  // namespace mirilla::test
