// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/gemm.h"

#include <algorithm>
#include <map>
#include <set>

#include "kernels/core/backend.h"
#include "kernels/devices.h"
#include "tests/kernels/vendor/fake_cublaslt.h"
#include "tests/kernels/vendor/support.h"

namespace mirilla::test {
namespace {

using cuda::vendor::Epilogue;
using cuda::vendor::Gemm;
using cuda::vendor::GemmTools;
using cuda::vendor::kMostProductWorkspace;
using cuda::vendor::Options;
using cuda::vendor::Product;
using cuda::vendor::product_of;
using cuda::vendor::ProductBuffers;

// Times that the test sets for each algorithm.
class FakeTools final : public GemmTools {
 public:
  explicit FakeTools(FakeCublasLt& library) : library_(library) {}
  cudaStream_t stream() override { return reinterpret_cast<cudaStream_t>(0x5); }
  bool recording() override { return is_recording; }
  void* workspace(size_t bytes) override {
    largest_workspace = std::max(largest_workspace, bytes);
    return bytes == 0 ? nullptr : this;
  }
  double milliseconds(const std::function<void()>& work) override {
    EXPECT_FALSE(is_recording) << "waited while a replay records";
    const size_t before = library_.ran.size();
    work();
    double all = 0;
    for (size_t i = before; i < library_.ran.size(); ++i) all += takes[library_.ran[i]];
    return all;
  }

  bool is_recording = false;
  size_t largest_workspace = 0;
  std::map<uint64_t, double> takes;

 private:
  FakeCublasLt& library_;
};

// Whole numbers small enough that each type holds every sum exactly.
template <class T>
std::vector<T> whole_numbers(int64_t count, int seed) {
  std::vector<T> values;
  uint32_t state = static_cast<uint32_t>(seed) * 2654435761u;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    values.push_back(T(static_cast<float>(static_cast<int>((state >> 16) % 7) - 3)));
  }
  return values;
}

class GemmTest : public ::testing::Test {
 protected:
  std::unique_ptr<Gemm> gemm(const Options& options = {}) { return std::make_unique<Gemm>(table_, plans_, tools_, options); }

  // A product of 2x3 by 3x4 in f32 whose result does not matter.
  bool run(Gemm& gemm, const Product& product = kSmall) { return gemm.run(product, {a_.data(), b_.data(), nullptr, y_.data()}); }

  static constexpr Product kSmall{.m = 2, .n = 4, .k = 3, .alignment = 4};
  std::vector<float> a_ = whole_numbers<float>(6, 1), b_ = whole_numbers<float>(12, 2), y_ = std::vector<float>(8);
  FakeCublasLt library_;
  cuda::vendor::CublasLt table_ = library_.table();
  PlanStore plans_{{}, {"GPU", "13.0", "cuBLASLt", "13.1.0"}};
  FakeTools tools_{library_};
};

template <class T, class R>
void expect_the_references_product(Gemm& gemm, bool transpose_a, bool transpose_b, Epilogue epilogue) {
  constexpr int64_t kM = 5, kN = 16, kK = 24;
  const auto a = whole_numbers<T>(kM * kK, 1), b = whole_numbers<T>(kK * kN, 2);
  const auto bias = whole_numbers<R>(kN, 3);
  std::vector<R> got(kM * kN, R(77.0f));
  const Product product{kM, kN, kK, transpose_a, transpose_b, kDTypeOf<T>, kDTypeOf<R>, epilogue};
  ASSERT_TRUE(gemm.run(product, {a.data(), b.data(), bias.data(), got.data()}));

  const auto widen = [](const auto& values) { return std::vector<float>(values.begin(), values.end()); };
  const std::vector<float> wide_a = widen(a), wide_b = widen(b);
  std::vector<float> want(kM * kN);
  const Shape a_shape = transpose_a ? Shape{kK, kM} : Shape{kM, kK}, b_shape = transpose_b ? Shape{kN, kK} : Shape{kK, kN};
  const View y{want.data(), {kM, kN}, DType::f32, true};
  open_device("reference")
      .backend()
      .run(op::Matmul{{wide_a.data(), a_shape, DType::f32, 0, 0, true},
                      {wide_b.data(), b_shape, DType::f32, 0, 0, true},
                      {transpose_a, transpose_b},
                      y});
  for (int64_t i = 0; i < kM * kN; ++i) {
    float value = want[static_cast<size_t>(i)];
    if (epilogue == Epilogue::bias || epilogue == Epilogue::relu_bias) value += static_cast<float>(bias[static_cast<size_t>(i % kN)]);
    if (epilogue == Epilogue::relu || epilogue == Epilogue::relu_bias) value = std::max(value, 0.0f);
    ASSERT_EQ(static_cast<float>(got[static_cast<size_t>(i)]), value) << to_string(product) << " at " << i;
  }
}

TEST_F(GemmTest, AsksForTheProductThatTheReferenceComputes) {
  const auto multiply = gemm();
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true})
      for (const Epilogue epilogue : {Epilogue::none, Epilogue::relu, Epilogue::bias, Epilogue::relu_bias}) {
        expect_the_references_product<float, float>(*multiply, transpose_a, transpose_b, epilogue);
        expect_the_references_product<Half, Half>(*multiply, transpose_a, transpose_b, epilogue);
        expect_the_references_product<BFloat16, BFloat16>(*multiply, transpose_a, transpose_b, epilogue);
        expect_the_references_product<Half, float>(*multiply, transpose_a, transpose_b, epilogue);
        expect_the_references_product<BFloat16, float>(*multiply, transpose_a, transpose_b, epilogue);
      }
}

// The bias is an address in the operation, and calls with other biases share the operation.
TEST_F(GemmTest, TakesTheBiasOfEachCall) {
  const auto multiply = gemm();
  const Product product{.m = 2, .n = 4, .k = 3, .epilogue = Epilogue::bias, .alignment = 4};
  const std::vector<float> first(4, 10), second(4, 20);
  std::vector<float> one(8), other(8);
  ASSERT_TRUE(multiply->run(product, {a_.data(), b_.data(), first.data(), one.data()}));
  ASSERT_TRUE(multiply->run(product, {a_.data(), b_.data(), second.data(), other.data()}));
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(other[i], one[i] + 10);
}

TEST_F(GemmTest, WantsSumsInF32AndOneRounding) {
  const auto multiply = gemm({.workspace_bytes = size_t{1} << 20});
  for (const DType dtype : {DType::f32, DType::f16}) {
    Product product = kSmall;
    product.operands = product.result = dtype;
    product.alignment = 16;
    std::vector<double> a(12), b(12), y(12);  // large enough for each product
    ASSERT_TRUE(multiply->run(product, {a.data(), b.data(), nullptr, y.data()}));
    EXPECT_EQ(library_.last_compute, CUBLAS_COMPUTE_32F) << "TF32 and sums in halves are other compute types";
    EXPECT_EQ(library_.last_scale, CUDA_R_32F);
    auto& asked = library_.last_preference.attributes;
    EXPECT_EQ(asked[CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK], uint64_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    EXPECT_EQ(asked[CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES], uint64_t{1} << 20);
    for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                 CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      EXPECT_EQ(asked[attribute], 16u);
    EXPECT_EQ(library_.last_stream, tools_.stream());
  }
}

TEST_F(GemmTest, TimesTheGuessesOnceAndRunsTheFastestFromThenOn) {
  library_.guesses = {{.id = 1, .workspace = 64}, {.id = 2}, {.id = 3, .workspace = 4096}};
  tools_.takes = {{1, 3.0}, {2, 1.0}, {3, 2.0}};
  const auto multiply = gemm();
  ASSERT_TRUE(run(*multiply));
  EXPECT_EQ(std::set<uint64_t>(library_.ran.begin(), library_.ran.end()), (std::set<uint64_t>{1, 2, 3}));
  EXPECT_EQ(library_.ran.back(), 2u);
  EXPECT_EQ(plans_.size(), 1u);
  EXPECT_DOUBLE_EQ(plans_.find(to_string(kSmall))->milliseconds, 1.0);
  library_.ran.clear();
  ASSERT_TRUE(run(*multiply));
  EXPECT_EQ(library_.ran, std::vector<uint64_t>{2});
  EXPECT_EQ(library_.heuristics, 1);
}

TEST_F(GemmTest, TakesAStoredPlanWithoutTimingOnceTheLibraryAgrees) {
  library_.guesses = {{.id = 1}, {.id = 2, .workspace = 512}};
  tools_.takes = {{1, 2.0}, {2, 1.0}};
  ASSERT_TRUE(run(*gemm()));
  library_.ran.clear();
  ASSERT_TRUE(run(*gemm()));  // another run of the program, with the same store
  EXPECT_EQ(library_.ran, std::vector<uint64_t>{2});
  EXPECT_EQ(library_.heuristics, 1);
  EXPECT_EQ(library_.checks, 1);
}

TEST_F(GemmTest, ChoosesAnewWhereAStoredPlanIsNone) {
  const std::string key = to_string(kSmall);
  ASSERT_TRUE(run(*gemm()));
  const std::string good = plans_.find(key)->text;
  for (const std::string& text : {std::string(), std::string("plan"), good.substr(0, good.size() / 2), good + " 1", "f" + good.substr(1)}) {
    plans_.put(key, {text, 1});
    const int before = library_.heuristics;
    ASSERT_TRUE(run(*gemm())) << text;
    EXPECT_EQ(library_.heuristics, before + 1) << text;
    EXPECT_EQ(plans_.find(key)->text, good) << text;
  }
  library_.check_status = CUBLAS_STATUS_NOT_SUPPORTED;
  const int before = library_.heuristics;
  ASSERT_TRUE(run(*gemm()));
  EXPECT_EQ(library_.heuristics, before + 1);
}

TEST_F(GemmTest, ChoosesAnewWhereAStoredPlanWantsMoreMemoryThanThisRunMay) {
  library_.guesses = {{.id = 1}, {.id = 2, .workspace = 4096}};
  tools_.takes = {{1, 2.0}, {2, 1.0}};
  ASSERT_TRUE(run(*gemm()));
  EXPECT_EQ(library_.ran.back(), 2u);
  ASSERT_TRUE(run(*gemm({.workspace_bytes = 4095})));
  EXPECT_EQ(library_.ran.back(), 1u);
}

TEST_F(GemmTest, NeverTimesWhileAReplayRecordsAndDoesSoAfterwards) {
  library_.guesses = {{.id = 1}, {.id = 2}};
  tools_.takes = {{1, 2.0}, {2, 1.0}};
  const auto multiply = gemm();
  tools_.is_recording = true;
  ASSERT_TRUE(run(*multiply));
  ASSERT_TRUE(run(*multiply));
  EXPECT_EQ(library_.ran, (std::vector<uint64_t>{1, 1}));  // the first guess, once per call: the recording runs again
  EXPECT_EQ(plans_.size(), 0u);
  EXPECT_EQ(library_.heuristics, 1);
  tools_.is_recording = false;
  ASSERT_TRUE(run(*multiply));
  EXPECT_EQ(library_.ran.back(), 2u);
  EXPECT_EQ(plans_.size(), 1u);
}

TEST_F(GemmTest, TakesTheFirstGuessWhereItMustBeDeterministic) {
  library_.guesses = {{.id = 1}, {.id = 2}};
  tools_.takes = {{1, 2.0}, {2, 1.0}};
  const auto multiply = gemm({.deterministic = true});
  ASSERT_TRUE(run(*multiply));
  ASSERT_TRUE(run(*multiply));
  EXPECT_EQ(library_.ran, (std::vector<uint64_t>{1, 1}));
}

TEST_F(GemmTest, LeavesOutWhatWantsMoreMemoryThanItMay) {
  library_.guesses = {{.id = 1, .workspace = kMostProductWorkspace + 1}, {.id = 2, .workspace = kMostProductWorkspace}};
  ASSERT_TRUE(run(*gemm()));
  EXPECT_EQ(tools_.largest_workspace, kMostProductWorkspace);
  EXPECT_EQ(std::count(library_.ran.begin(), library_.ran.end(), 1u), 0);
}

TEST_F(GemmTest, SaysNoOnceWhereTheLibraryHasNothing) {
  for (const bool by_status : {false, true}) {
    library_.guesses.clear();
    library_.heuristic_status = by_status ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
    library_.heuristics = 0;
    const auto multiply = gemm();
    EXPECT_FALSE(run(*multiply));
    EXPECT_FALSE(run(*multiply));
    EXPECT_EQ(library_.heuristics, 1);
  }
  EXPECT_TRUE(library_.ran.empty());
}

TEST_F(GemmTest, PassesOverAGuessThatFails) {
  library_.guesses = {{.id = 1, .matmul_status = CUBLAS_STATUS_NOT_SUPPORTED}, {.id = 2}};
  ASSERT_TRUE(run(*gemm()));
  EXPECT_EQ(library_.ran.back(), 2u);
}

TEST_F(GemmTest, NamesTheProductThatFails) {
  library_.guesses = {{.id = 1, .matmul_status = CUBLAS_STATUS_EXECUTION_FAILED}};
  const auto multiply = gemm();
  const auto failed = thrown<DeviceError>([&] { run(*multiply); });
  for (const char* part : {"cublasLtMatmul", "2x3", "3x4", "f32", "the text of the status"})
    EXPECT_NE(failed.message().find(part), std::string::npos) << failed.message();
  library_.heuristic_status = CUBLAS_STATUS_INTERNAL_ERROR;
  const auto broken = thrown<DeviceError>([&] { run(*gemm()); });
  EXPECT_NE(broken.message().find("cublasLtMatmulAlgoGetHeuristic"), std::string::npos) << broken.message();
}

TEST_F(GemmTest, LeavesNothingBehindWhereTheLibraryCannotMakeAnObject) {
  const auto multiply = gemm();
  const int before = library_.alive;
  for (int made = 0; made < 4; ++made) {  // the operation and three layouts
    library_.makes = made;
    EXPECT_THROW(run(*multiply), DeviceError);
    EXPECT_EQ(library_.alive, before) << made;
  }
  library_.makes = 1000;
  EXPECT_TRUE(run(*multiply));
}

// The product for the backend's call, or none.
Product product(DType dtype, const Shape& a, const Shape& b, const Shape& y, MatmulSpec spec = {}, size_t address = 0x1000,
                DType result = DType::f64) {
  const auto at = reinterpret_cast<void*>(address);
  return product_of({at, a, dtype, 0, 0, true}, {at, b, dtype, 0, 0, true}, spec.transpose_a, spec.transpose_b,
                    {at, y, result == DType::f64 ? dtype : result, true});
}

TEST(GemmProduct, IsReadFromTheViews) {
  EXPECT_EQ(product(DType::f16, {8, 512}, {1024, 512}, {8, 1024}, {.transpose_b = true}),
            (Product{8, 1024, 512, false, true, DType::f16, DType::f16, Epilogue::none, 256}));
  EXPECT_EQ(product(DType::bf16, {8, 24}, {8, 16}, {24, 16}, {.transpose_a = true}, 0x1010, DType::f32),
            (Product{24, 16, 8, true, false, DType::bf16, DType::f32, Epilogue::none, 16}));
  EXPECT_EQ(product(DType::f32, {3, 5}, {5, 7}, {3, 7}, {}, 0x1080).alignment, 16);
  EXPECT_EQ(product(DType::f32, {3, 5}, {5, 7}, {3, 7}, {}, 0x1004),
            (Product{3, 7, 5, false, false, DType::f32, DType::f32, Epilogue::none, 4}));
}

TEST(GemmProduct, IsNoneWhereHalvesAreNotWholeVectorsOrThereIsNothingToSum) {
  EXPECT_GT(product(DType::f16, {8, 16}, {16, 8}, {8, 8}).m, 0);
  EXPECT_EQ(product(DType::f16, {8, 12}, {12, 8}, {8, 8}).m, 0);                         // rows of a
  EXPECT_EQ(product(DType::f16, {8, 16}, {16, 6}, {8, 6}).m, 0);                         // rows of b and y
  EXPECT_EQ(product(DType::f16, {8, 16}, {6, 16}, {8, 6}, {.transpose_b = true}).m, 0);  // rows of y alone
  EXPECT_EQ(product(DType::f16, {8, 16}, {16, 8}, {8, 8}, {}, 0x1002).m, 0);
  EXPECT_EQ(product(DType::f32, {8, 0}, {0, 8}, {8, 8}).m, 0);
  EXPECT_EQ(product(DType::f64, {8, 8}, {8, 8}, {8, 8}).m, 0);
  EXPECT_EQ(product(DType::f32, {int64_t{1} << 31, 1}, {1, 1}, {int64_t{1} << 31, 1}).m, 0);
}

TEST(GemmProduct, HasAnotherKeyForWhateverAnAlgorithmDependsOn) {
  const Product base{.m = 8, .n = 16, .k = 32};
  std::vector<Product> others(10, base);
  others[0].m = 9;
  others[1].n = 9;
  others[2].k = 9;
  others[3].transpose_a = true;
  others[4].transpose_b = true;
  others[5].operands = DType::f16;
  others[6].result = DType::f16;
  others[7].epilogue = Epilogue::bias;
  others[8].alignment = 256;
  std::set<std::string> keys;
  for (const Product& other : others) keys.insert(to_string(other));
  EXPECT_EQ(keys.size(), 10u);
}

}  // namespace
}  // namespace mirilla::test
