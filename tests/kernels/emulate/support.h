// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/emulate/fatbin.h"
#include "kernels/emulate/runtime.h"
#include "tests/kernels/ptx/launch.h"

#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

// nvcc's objects call these before main.
extern "C" {
void** CUDARTAPI __cudaRegisterFatBinary(void* wrapper);
void CUDARTAPI __cudaUnregisterFatBinary(void** binary);
void CUDARTAPI __cudaRegisterFunction(void** binary, const char* host, char* device, const char* name, int threads, uint3*, uint3*, dim3*,
                                      dim3*, int*);
}

namespace mirilla::emulate {

constexpr unsigned kThreads = 256;

/// A module as nvcc's objects register it. Its kernels are launched by any unique address.
class Registered {
 public:
  explicit Registered(const std::vector<PtxText>& texts) : bytes_(make_fat_binary(texts)) {
    wrapper_ = {0x466243b1, 1, bytes_.data(), nullptr};
    binary_ = __cudaRegisterFatBinary(&wrapper_);
  }
  ~Registered() { __cudaUnregisterFatBinary(binary_); }
  Registered(const Registered&) = delete;
  Registered& operator=(const Registered&) = delete;

  void** binary() const { return binary_; }
  const void* kernel(const char* name) {
    const char* const host = handles_.emplace_back(std::make_unique<char>()).get();
    __cudaRegisterFunction(binary_, host, nullptr, name, -1, nullptr, nullptr, nullptr, nullptr, nullptr);
    return host;
  }

 private:
  struct Wrapper {
    int magic, version;
    const void* data;
    void* unused;
  };
  std::vector<unsigned char> bytes_;
  Wrapper wrapper_{};
  void** binary_ = nullptr;
  std::vector<std::unique_ptr<char>> handles_;
};

/// add(u32* x, u32 n): x[t] += n for each thread. store(u32* x, u32 n): x[t] = n. Of one dimension.
inline std::string text_of_kernels(std::string_view target = "sm_90") {
  const auto entry = [](std::string_view name, std::string_view before, std::string_view value) {
    return fmt::format(R"(
.visible .entry {}(.param .u64 x, .param .u32 n)
{{
.reg .b32 %r<9>;
.reg .b64 %rd<4>;
mov.u32 %r0, %tid.x;
mov.u32 %r1, %ctaid.x;
mov.u32 %r2, %ntid.x;
mad.lo.s32 %r3, %r1, %r2, %r0;
ld.param.u64 %rd0, [x];
ld.param.u32 %r4, [n];
mul.wide.u32 %rd1, %r3, 4;
add.s64 %rd2, %rd0, %rd1;
{}
st.global.u32 [%rd2], {};
ret;
}}
)",
                       name, before, value);
  };
  return ptx::header(target) + entry("add", "ld.global.u32 %r5, [%rd2];\nadd.s32 %r5, %r5, %r4;", "%r5") + entry("store", "", "%r4");
}

/// Each test has a fresh GPU with these two kernels.
class Emulated : public testing::Test {
 protected:
  Emulated() { start({}); }

  static void start(Settings settings) { start_over(std::move(settings)); }

  static const void* add() {
    static const void* const kernel = module().kernel("add");
    return kernel;
  }
  static const void* store() {
    static const void* const kernel = module().kernel("store");
    return kernel;
  }

  static cudaError_t launch(const void* kernel, void* x, unsigned n, cudaStream_t stream = nullptr, unsigned threads = kThreads) {
    void* arguments[] = {&x, &n};
    return cudaLaunchKernel(kernel, dim3(1), dim3(threads), arguments, 0, stream);
  }
  static unsigned* device_words(size_t count = kThreads) {
    void* address = nullptr;
    EXPECT_EQ(cudaMalloc(&address, count * 4), cudaSuccess);
    return static_cast<unsigned*>(address);
  }
  static unsigned* pinned_words(size_t count = kThreads) {
    void* address = nullptr;
    EXPECT_EQ(cudaHostAlloc(&address, count * 4, cudaHostAllocPortable), cudaSuccess);
    return static_cast<unsigned*>(address);
  }
  static cudaStream_t make_stream(unsigned flags = cudaStreamNonBlocking) {
    cudaStream_t stream = nullptr;
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, flags), cudaSuccess);
    return stream;
  }
  static cudaEvent_t make_event() {
    cudaEvent_t event = nullptr;
    EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
    return event;
  }
  /// The first word, copied on that stream, which is waited for.
  static unsigned word_on(cudaStream_t stream, const unsigned* from) {
    unsigned word = 0;
    EXPECT_EQ(cudaMemcpyAsync(&word, from, 4, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    return word;
  }
  /// What f prints to stderr.
  static std::string printed(const std::function<void()>& f) {
    testing::internal::CaptureStderr();
    f();
    return testing::internal::GetCapturedStderr();
  }

 private:
  static Registered& module() {
    static auto& registered = *std::make_unique<Registered>(std::vector<PtxText>{{90, text_of_kernels()}}).release();
    return registered;
  }
};

}  // namespace mirilla::emulate
