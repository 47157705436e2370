// SPDX-License-Identifier: MIT
#include "kernels/emulate/errors.h"
#include "kernels/emulate/modules.h"
#include "kernels/emulate/names.h"
#include "tests/kernels/emulate/support.h"

namespace mirilla::emulate {
namespace {

using testing::HasSubstr;
using EmulatedLaunch = Emulated;

std::string kernel_text(std::string_view name, std::string_view target, unsigned value) {
  return ptx::header(target) + fmt::format(R"(
.visible .entry {}(.param .u64 x)
{{
.reg .b64 %rd<2>;
ld.param.u64 %rd0, [x];
st.global.u32 [%rd0], {};
ret;
}}
)",
                                           name, value);
}

cudaError_t launch_one(const void* kernel, void* x, dim3 grid = 1, dim3 block = 1, size_t shared_bytes = 0) {
  void* arguments[] = {&x};
  return cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, nullptr);
}

TEST_F(EmulatedLaunch, TakesTheNewestPtxThatTheCardCanRun) {
  Registered module({{80, kernel_text("k", "sm_80", 80)}, {120, kernel_text("k", "sm_120", 120)}, {90, kernel_text("k", "sm_90", 90)}});
  const void* const kernel = module.kernel("k");
  for (const auto& [card, expected] : {std::pair{"a100", 80u}, {"rtx4090", 80u}, {"h100", 90u}, {"h200", 90u}, {"rtx5090", 120u}}) {
    start({.card = &find_card(card)});
    unsigned* const x = device_words();
    ASSERT_EQ(launch_one(kernel, x), cudaSuccess);
    EXPECT_EQ(word_on(nullptr, x), expected) << card;
  }
  start({});
}

TEST_F(EmulatedLaunch, RefusesWhatTheCardCannotRun) {
  unsigned* const x = device_words();
  EXPECT_EQ(launch_one(nullptr, x), cudaErrorInvalidDeviceFunction);
  std::string text = printed([&] { EXPECT_EQ(launch(store(), x, 1, nullptr, 1025), cudaErrorInvalidConfiguration); });
  EXPECT_THAT(text, HasSubstr("1025"));
  text = printed([&] { EXPECT_EQ(launch(store(), x, 1, nullptr, 0), cudaErrorInvalidConfiguration); });
  EXPECT_THAT(text, HasSubstr("(0,1,1)"));
  EXPECT_EQ(launch(store(), x, 1), cudaSuccess);  // none of these sticks
}

TEST_F(EmulatedLaunch, GivesMoreSharedMemoryOnlyWhereItWasAskedFor) {
  Registered module({{80, kernel_text("k", "sm_80", 1)}});
  const void* const kernel = module.kernel("k");
  start({.card = &find_card("rtx4090")});
  unsigned* const x = device_words();
  EXPECT_EQ(launch_one(kernel, x, 1, 1, 49152), cudaSuccess);
  EXPECT_EQ(launch_one(kernel, x, 1, 1, 49153), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 99 * 1024 + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 99 * 1024), cudaSuccess);
  EXPECT_EQ(launch_one(kernel, x, 1, 1, 99 * 1024), cudaSuccess);
  start({});
}

TEST_F(EmulatedLaunch, WantsAStreamOfTheCurrentDevice) {
  start({.gpus = 2});
  unsigned* const x = device_words();
  const cudaStream_t stream = make_stream();
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  EXPECT_EQ(launch(store(), x, 1, stream), cudaErrorInvalidResourceHandle);
  ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(launch(store(), x, 1, stream), cudaSuccess);
  start({});
}

TEST_F(EmulatedLaunch, ForgetsKernelsThatWereUnregistered) {
  unsigned* const x = device_words();
  const void* kernel = nullptr;
  {
    Registered module({{90, kernel_text("k", "sm_90", 4)}});
    kernel = module.kernel("k");
    EXPECT_EQ(launch_one(kernel, x), cudaSuccess);
  }
  EXPECT_EQ(word_on(nullptr, x), 4u);
  EXPECT_EQ(launch_one(kernel, x), cudaErrorInvalidDeviceFunction);
}

TEST_F(EmulatedLaunch, CopiesTheArgumentsAtTheCall) {
  unsigned* const x = device_words();
  unsigned n = 1;
  void* address = x;
  void* arguments[] = {&address, &n};
  ASSERT_EQ(cudaLaunchKernel(store(), 1, kThreads, arguments, 0, nullptr), cudaSuccess);
  n = 2;
  address = nullptr;
  EXPECT_EQ(word_on(nullptr, x), 1u);
}

using EmulatedLaunchDeathTest = Emulated;

TEST_F(EmulatedLaunchDeathTest, EndsTheProgramWithASentenceWhereAModuleDoesNotLoad) {
  unsigned* const x = device_words();
  const auto ends = [&](const std::vector<PtxText>& texts, const char* kernel, const char* sentence) {
    EXPECT_EXIT(launch_one(Registered(texts).kernel(kernel), x), testing::ExitedWithCode(1), sentence);
  };
  ends({{90, ptx::header() + ".visible .entry k() { frobnicate; }"}}, "k", "the module of k does not load: .*frobnicate");
  ends({{120, kernel_text("k", "sm_120", 1)}}, "k", "the kernels are PTX for sm_120 and the emulated GPU is sm_90");
  ends({{90, kernel_text("k", "sm_90", 1)}}, "missing", "the kernel missing was registered and its module, with 1 kernels, lacks it");
  ends({{90, "no PTX"}}, "k", "is compressed");
  ends({}, "k", "machine code only");
}

TEST_F(EmulatedLaunch, FailsTheCallThatWasAskedFor) {
  start({.failures = {{"cudaMalloc", 2, cudaErrorMemoryAllocation}, {"cudaLaunchKernel", 1, cudaErrorIllegalAddress}}});
  void* x = nullptr;
  EXPECT_EQ(cudaMalloc(&x, 4096), cudaSuccess);
  void* y = nullptr;
  EXPECT_EQ(cudaMalloc(&y, 4096), cudaErrorMemoryAllocation);
  EXPECT_EQ(y, nullptr);
  EXPECT_EQ(cudaMalloc(&y, 4096), cudaSuccess);
  EXPECT_EQ(launch(store(), x, 1), cudaErrorIllegalAddress);
  EXPECT_EQ(launch(store(), x, 1), cudaErrorIllegalAddress);  // it sticks
  start({});
}

TEST(EmulateNames, AreThoseOfTheSource) {
  EXPECT_EQ(readable("_Z4reluPfi"), "relu(float*, int)");
  EXPECT_EQ(readable("store"), "store");
  EXPECT_EQ(readable("_Z4reluPfi: a race", "_Z4reluPfi"), "relu(float*, int): a race");
}

// Settings.

Settings settings_of(const std::map<std::string, std::string>& variables) {
  return read_settings([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::string() : found->second;
  });
}

TEST(EmulateSettings, AreReadFromTheEnvironment) {
  EXPECT_EQ(settings_of({}).card->name, "NVIDIA H200");
  const Settings settings = settings_of({{"MIRILLA_EMULATE", "rtx4090"},
                                         {"MIRILLA_EMULATE_MEMORY", "512M"},
                                         {"MIRILLA_EMULATE_GPUS", "2"},
                                         {"MIRILLA_EMULATE_MULTIPROCESSORS", "3"},
                                         {"MIRILLA_EMULATE_SEED", "7"},
                                         {"MIRILLA_EMULATE_DETECT", "races,unwritten"},
                                         {"MIRILLA_EMULATE_REPORT", "summary"},
                                         {"MIRILLA_EMULATE_FAIL",
                                          "cudaGraphLaunch:3:outofmemory,cudaFree:1:cudaErrorUnknown,"
                                          "cudnnCreate:2:CUDNN_STATUS_INTERNAL_ERROR"}});
  EXPECT_EQ(settings.card->capability(), 89);
  EXPECT_EQ(settings.memory_bytes, size_t{512} << 20);
  EXPECT_EQ(settings.gpus, 2);
  EXPECT_EQ(settings.multiprocessors, 3);
  EXPECT_EQ(settings.seed, 7u);
  EXPECT_TRUE(settings.detect.races && settings.detect.unwritten && !settings.detect.constant);
  EXPECT_TRUE(settings.summary && !settings.count);
  ASSERT_EQ(settings.failures.size(), 3u);
  EXPECT_EQ(settings.failures[0].call, "cudaGraphLaunch");
  EXPECT_EQ(settings.failures[0].number, 3u);
  EXPECT_EQ(settings.failures[0].error, cudaErrorMemoryAllocation);
  EXPECT_EQ(settings.failures[1].error, cudaErrorUnknown);
  EXPECT_EQ(settings.failures[2].call, "cudnnCreate");
  EXPECT_EQ(settings.failures[2].status, "CUDNN_STATUS_INTERNAL_ERROR");
}

TEST(EmulateSettings, AreRefusedWithASentence) {
  const auto message = [](const char* name, const char* value) {
    try {
      settings_of({{name, value}});
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(message("MIRILLA_EMULATE", "h300"), HasSubstr("there is no GPU 'h300' to emulate\n  hint: MIRILLA_EMULATE takes h200, h100"));
  EXPECT_THAT(message("MIRILLA_EMULATE_MEMORY", "lots"), HasSubstr("MIRILLA_EMULATE_MEMORY is 'lots' and should be a number of bytes"));
  EXPECT_THAT(message("MIRILLA_EMULATE_GPUS", "0"), HasSubstr("a number from 1 to 16"));
  EXPECT_THAT(message("MIRILLA_EMULATE_MULTIPROCESSORS", "133"), HasSubstr("a number from 1 to 132"));
  EXPECT_THAT(message("MIRILLA_EMULATE_DETECT", "race"), HasSubstr("races, unwritten or constant"));
  EXPECT_THAT(message("MIRILLA_EMULATE_FAIL", "cudaFree:1"), HasSubstr("CALL:N:ERROR"));
  EXPECT_THAT(message("MIRILLA_EMULATE_FAIL", "cudaFree:0:unknown"), HasSubstr("a number from 1"));
  EXPECT_THAT(message("MIRILLA_EMULATE_FAIL", "cudaFree:1:nonsense"), HasSubstr("one of CUDA's errors"));
  EXPECT_THAT(message("MIRILLA_EMULATE_FAIL", "cublasLtMatmul:1:CUDNN_STATUS_BAD_PARAM"), HasSubstr("one of the errors CUBLAS_STATUS_..."));
}

TEST(EmulateSettings, KnowErrorsByNameAndText) {
  EXPECT_EQ(find_error("outofmemory"), cudaErrorMemoryAllocation);
  EXPECT_EQ(find_error("IllegalAddress"), cudaErrorIllegalAddress);
  EXPECT_EQ(find_error("cudaErrorLaunchFailure"), cudaErrorLaunchFailure);
  EXPECT_EQ(find_error("success"), std::nullopt);
}

}  // namespace
}  // namespace mirilla::emulate
