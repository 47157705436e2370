// SPDX-License-Identifier: MIT
#include "tests/kernels/emulate/support.h"

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

// Graphs of nodes, variables of modules, cooperative launches, and what a program asks about a kernel.

extern "C" {
void CUDARTAPI __cudaRegisterVar(void** binary, char* host, char* device, const char* name, int, size_t, int, int);
}

namespace mirilla::emulate {
namespace {

class EmulatedNode : public Emulated {
 protected:
  EmulatedNode() {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&x_), kThreads * 4), cudaSuccess);
    EXPECT_EQ(cudaGraphCreate(&graph_, 0), cudaSuccess);
  }
  cudaGraphNode_t kernel(const void* function, unsigned n, const std::vector<cudaGraphNode_t>& after = {}) {
    cudaGraphNode_t node = nullptr;
    void* arguments[] = {&x_, &n};
    const cudaKernelNodeParams asked = parameters(function, arguments);
    EXPECT_EQ(cudaGraphAddKernelNode(&node, graph_, after.data(), after.size(), &asked), cudaSuccess);
    return node;
  }
  static cudaKernelNodeParams parameters(const void* function, void** arguments) {
    cudaKernelNodeParams asked{};
    asked.func = const_cast<void*>(function);
    asked.gridDim = asked.blockDim = dim3(1);
    asked.blockDim.x = kThreads;
    asked.kernelParams = arguments;
    return asked;
  }
  unsigned result_of(cudaGraphExec_t exec) {
    const cudaStream_t stream = make_stream();
    EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    return word_on(stream, x_);
  }
  cudaGraphExec_t instantiated() {
    cudaGraphExec_t exec = nullptr;
    EXPECT_EQ(cudaGraphInstantiate(&exec, graph_, 0), cudaSuccess);
    return exec;
  }
  unsigned* x_ = nullptr;
  cudaGraph_t graph_ = nullptr;
};

TEST_F(EmulatedNode, RunAfterThoseThatTheyDependOn) {
  const cudaGraphNode_t added = kernel(add(), 5);  // first in the list, and last to run
  const cudaGraphNode_t stored = kernel(store(), 1);
  const cudaGraphNode_t more = kernel(add(), 2, {stored});
  ASSERT_EQ(cudaGraphAddDependencies(graph_, &more, &added, nullptr, 1), cudaSuccess);
  EXPECT_EQ(result_of(instantiated()), 8u);
  size_t count = 2;
  std::array<cudaGraphNode_t, 2> nodes{};
  ASSERT_EQ(cudaGraphGetRootNodes(graph_, nodes.data(), &count), cudaSuccess);
  EXPECT_EQ(nodes, (std::array<cudaGraphNode_t, 2>{stored, nullptr}));
  cudaGraphNodeType type{};
  ASSERT_EQ(cudaGraphNodeGetType(more, &type), cudaSuccess);
  EXPECT_EQ(type, cudaGraphNodeTypeKernel);
}

TEST_F(EmulatedNode, MayNotWaitForEachOther) {
  const cudaGraphNode_t one = kernel(store(), 1);
  const cudaGraphNode_t other = kernel(add(), 2, {one});
  ASSERT_EQ(cudaGraphAddDependencies(graph_, &other, &one, nullptr, 1), cudaSuccess);
  cudaGraphExec_t exec = nullptr;
  EXPECT_EQ(cudaGraphInstantiate(&exec, graph_, 0), cudaErrorInvalidValue);
}

TEST_F(EmulatedNode, TakeOtherParametersInTheExecutableGraphOnly) {
  const cudaGraphNode_t stored = kernel(store(), 1);
  const cudaGraphExec_t exec = instantiated();
  cudaGraph_t clone = nullptr;
  ASSERT_EQ(cudaGraphClone(&clone, graph_), cudaSuccess);
  unsigned n = 7;
  void* arguments[] = {&x_, &n};
  const cudaKernelNodeParams asked = parameters(store(), arguments);
  ASSERT_EQ(cudaGraphExecKernelNodeSetParams(exec, stored, &asked), cudaSuccess);
  EXPECT_EQ(result_of(exec), 7u);
  EXPECT_EQ(result_of(instantiated()), 1u);
  cudaGraphExecUpdateResultInfo info{};
  ASSERT_EQ(cudaGraphExecUpdate(exec, clone, &info), cudaSuccess);
  EXPECT_EQ(result_of(exec), 1u);
  kernel(add(), 1, {stored});
  EXPECT_EQ(cudaGraphExecUpdate(exec, graph_, &info), cudaErrorGraphExecUpdateFailure);
  EXPECT_EQ(info.result, cudaGraphExecUpdateErrorTopologyChanged);
}

TEST_F(EmulatedNode, FillCopyAndCallTheHost) {
  cudaMemsetParams fill{};
  fill.dst = x_;
  fill.elementSize = 4;
  fill.value = 0x01020304;
  fill.width = 2;
  fill.height = 1;
  cudaGraphNode_t filled = nullptr, copied = nullptr, called = nullptr;
  ASSERT_EQ(cudaGraphAddMemsetNode(&filled, graph_, nullptr, 0, &fill), cudaSuccess);
  std::array<unsigned, 2> back{};
  ASSERT_EQ(cudaGraphAddMemcpyNode1D(&copied, graph_, &filled, 1, back.data(), x_, 8, cudaMemcpyDeviceToHost), cudaSuccess);
  static std::atomic<unsigned> told{0};
  told = 0;
  cudaHostNodeParams host{};
  host.fn = [](void* data) { told = *static_cast<unsigned*>(data); };
  host.userData = back.data();
  ASSERT_EQ(cudaGraphAddHostNode(&called, graph_, &copied, 1, &host), cudaSuccess);
  EXPECT_EQ(result_of(instantiated()), 0x01020304u);
  EXPECT_EQ(told, 0x01020304u);
  told = 0;
  ASSERT_EQ(cudaGraphLaunch(instantiated(), make_stream()), cudaSuccess);
  for (int k = 0; k < 2000 && told == 0; ++k) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // without a call
  EXPECT_EQ(told, 0x01020304u);
  fill.elementSize = 3;
  EXPECT_EQ(cudaGraphAddMemsetNode(&filled, graph_, nullptr, 0, &fill), cudaErrorInvalidValue);
}

TEST_F(EmulatedNode, OwnMemoryBetweenTheirAllocationAndItsRelease) {
  cudaMemAllocNodeParams asked{};
  asked.bytesize = kThreads * 4;
  asked.poolProps.location.type = cudaMemLocationTypeDevice;
  cudaGraphNode_t made = nullptr, freed = nullptr, copied = nullptr;
  ASSERT_EQ(cudaGraphAddMemAllocNode(&made, graph_, nullptr, 0, &asked), cudaSuccess);
  unsigned* const result = std::exchange(x_, static_cast<unsigned*>(asked.dptr));
  const cudaGraphNode_t stored = kernel(store(), 6, {made});
  ASSERT_EQ(cudaGraphAddMemcpyNode1D(&copied, graph_, &stored, 1, result, asked.dptr, 4, cudaMemcpyDeviceToDevice), cudaSuccess);
  ASSERT_EQ(cudaGraphAddMemFreeNode(&freed, graph_, &copied, 1, asked.dptr), cudaSuccess);
  x_ = result;
  const cudaGraphExec_t exec = instantiated();
  EXPECT_EQ(result_of(exec), 6u);
  EXPECT_EQ(result_of(exec), 6u);
}

TEST_F(EmulatedNode, MayBeAnotherGraph) {
  kernel(store(), 3);
  const cudaGraph_t child = graph_;
  ASSERT_EQ(cudaGraphCreate(&graph_, 0), cudaSuccess);
  cudaGraphNode_t node = nullptr;
  ASSERT_EQ(cudaGraphAddChildGraphNode(&node, graph_, nullptr, 0, child), cudaSuccess);
  kernel(add(), 1, {node});
  EXPECT_EQ(result_of(instantiated()), 4u);
}

// A stream that came into a capture may go once the origin waits for it.
TEST_F(EmulatedNode, MayComeFromAStreamThatIsGone) {
  const cudaStream_t origin = make_stream(), other = make_stream();
  const cudaEvent_t out = make_event(), back = make_event();
  ASSERT_EQ(cudaStreamBeginCapture(origin, cudaStreamCaptureModeRelaxed), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(out, origin), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(other, out, 0), cudaSuccess);
  ASSERT_EQ(launch(store(), x_, 4, other), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(back, other), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(origin, back, 0), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(other), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(origin, &graph_), cudaSuccess);
  EXPECT_EQ(result_of(instantiated()), 4u);
}

constexpr const char* kVariables = R"(
.visible .global .align 4 .b8 table[16];
.visible .entry copy(.param .u64 to)
{
.reg .b32 %r<4>;
.reg .b64 %rd<2>;
ld.param.u64 %rd0, [to];
ld.global.u32 %r0, [table+8];
st.global.u32 [%rd0], %r0;
ret;
}
// Each block adds 1 to the first word; the grid's barrier lies where %envreg1 and 2 say.
.visible .entry meet(.param .u64 to)
{
.reg .pred %p;
.reg .b32 %r<8>;
.reg .b64 %rd<4>;
ld.param.u64 %rd0, [to];
mov.u32 %r0, %envreg2;
mov.u32 %r1, %envreg1;
mov.b64 %rd1, {%r0, %r1};
atom.global.add.u32 %r2, [%rd1+4], 1;
mov.u32 %r3, %nctaid.x;
$wait:
ld.volatile.global.u32 %r4, [%rd1+4];
setp.lt.u32 %p, %r4, %r3;
@%p bra $wait;
red.global.add.u32 [%rd0], 1;
ret;
}
)";

class EmulatedModule : public Emulated {
 protected:
  static Registered& variables() {
    static auto& registered = *std::make_unique<Registered>(std::vector<PtxText>{{90, ptx::header() + kVariables}}).release();
    return registered;
  }
  static const void* table() {
    static char host = 0;
    static const bool once = (__cudaRegisterVar(variables().binary(), &host, nullptr, "table", 0, 16, 0, 0), true);
    return once ? &host : nullptr;
  }
};

TEST_F(EmulatedModule, VariablesAreReadAndWrittenByTheHostsShadow) {
  const std::array<unsigned, 2> words{11, 12};
  ASSERT_EQ(cudaMemcpyToSymbol(table(), words.data(), 8, 4, cudaMemcpyHostToDevice), cudaSuccess);
  void* to = device_words();
  static const void* const copy = variables().kernel("copy");
  void* arguments[] = {&to};
  ASSERT_EQ(cudaLaunchKernel(copy, dim3(1), dim3(1), arguments, 0, nullptr), cudaSuccess);
  EXPECT_EQ(word_on(nullptr, static_cast<unsigned*>(to)), 12u);
  unsigned back = 0;
  ASSERT_EQ(cudaMemcpyFromSymbol(&back, table(), 4, 4, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(back, 11u);
  EXPECT_EQ(cudaMemcpyFromSymbol(&back, table(), 4, 13, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyToSymbol(table(), &back, 4, 0, cudaMemcpyDeviceToHost), cudaErrorInvalidMemcpyDirection);
  EXPECT_EQ(cudaMemcpyToSymbol(&back, &back, 4, 0, cudaMemcpyHostToDevice), cudaErrorInvalidSymbol);
  void* address = nullptr;
  size_t bytes = 0;
  ASSERT_EQ(cudaGetSymbolAddress(&address, table()), cudaSuccess);
  ASSERT_EQ(cudaGetSymbolSize(&bytes, table()), cudaSuccess);
  EXPECT_EQ(bytes, 16u);
  ASSERT_EQ(cudaMemcpy(&back, static_cast<char*>(address) + 8, 4, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(back, 12u);
  EXPECT_EQ(cudaFree(address), cudaErrorInvalidValue);
}

TEST_F(EmulatedModule, BlocksOfACooperativeLaunchRunTogether) {
  void* to = device_words();
  ASSERT_EQ(cudaMemset(to, 0, 4), cudaSuccess);
  static const void* const meet = variables().kernel("meet");
  void* arguments[] = {&to};
  for (int k = 1; k <= 2; ++k) {  // the barrier begins at zero each time
    ASSERT_EQ(cudaLaunchCooperativeKernel(meet, dim3(9), dim3(1), arguments, 0, nullptr), cudaSuccess);
    EXPECT_EQ(word_on(nullptr, static_cast<unsigned*>(to)), 9u * k);
  }
  int blocks = 0;
  ASSERT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, meet, 1024, 0), cudaSuccess);
  EXPECT_EQ(blocks, 2);  // 2048 threads
  ASSERT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, meet, 32, 100 * 1024), cudaSuccess);
  EXPECT_EQ(blocks, 2);  // 228 KiB
  ASSERT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, meet, 32, 0), cudaSuccess);
  EXPECT_EQ(blocks, 32);
  size_t bytes = 0;
  ASSERT_EQ(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, meet, 2, 32), cudaSuccess);
  EXPECT_EQ(bytes, 113u * 1024);  // 228 KiB by 2, and 1 KiB of each is the system's
  ASSERT_EQ(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, meet, 32, bytes), cudaSuccess);
  EXPECT_EQ(blocks, 2);
  EXPECT_EQ(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, meet, 3, 1024), cudaErrorInvalidValue);
  EXPECT_EQ(cudaLaunchCooperativeKernel(meet, dim3(2 * 132 + 1), dim3(1024), arguments, 0, nullptr), cudaErrorCooperativeLaunchTooLarge);
}

TEST_F(EmulatedModule, KernelsAreDescribed) {
  cudaFuncAttributes attributes{};
  ASSERT_EQ(cudaFuncGetAttributes(&attributes, add()), cudaSuccess);
  EXPECT_EQ(attributes.maxThreadsPerBlock, 1024);
  EXPECT_EQ(attributes.ptxVersion, 90);
  EXPECT_GT(attributes.numRegs, 0);
  const char* name = nullptr;
  ASSERT_EQ(cudaFuncGetName(&name, add()), cudaSuccess);
  EXPECT_STREQ(name, "add");
  EXPECT_EQ(cudaFuncGetAttributes(&attributes, &attributes), cudaErrorInvalidDeviceFunction);
  EXPECT_EQ(cudaFuncSetCacheConfig(add(), cudaFuncCachePreferL1), cudaSuccess);
}

TEST(EmulatedCards, OfAProgramMayDiffer) {
  const auto read = [](const std::string& card, const std::string& gpus = "", const std::string& memory = "") {
    return read_settings([&](const char* name) {
      const std::string_view wanted = name;
      return wanted == "MIRILLA_EMULATE"          ? card
             : wanted == "MIRILLA_EMULATE_GPUS"   ? gpus
             : wanted == "MIRILLA_EMULATE_MEMORY" ? memory
                                                  : "";
    });
  };
  const Settings two = read("a100,rtx5090");
  EXPECT_EQ(two.gpus, 2);
  EXPECT_EQ(two.card_of(1).capability(), 120);
  EXPECT_GT(two.memory_of(0), two.memory_of(1));
  EXPECT_EQ(read("h200,h200", "2").gpus, 2);
  EXPECT_EQ(read("h200,a100", "", "1G").memory_of(1), size_t{1} << 30);
  EXPECT_THROW(read("h200,h200", "3"), UsageError);
  EXPECT_THROW(read("h200,h300"), UsageError);
}

}  // namespace
}  // namespace mirilla::emulate
