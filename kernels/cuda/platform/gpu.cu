// SPDX-License-Identifier: MIT
#include "kernels/cuda/platform/gpu.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

#include "kernels/cuda/device.h"
#include "kernels/device.h"
#include "kernels/error.h"

namespace mirilla::cuda {

namespace {

// The architectures this file was compiled for, each with PTX that newer GPUs translate for themselves: 900 for sm_90.
constexpr std::array kArchitectures{__CUDA_ARCH_LIST__};

std::string architectures() {
  std::string names;
  for (const int architecture : kArchitectures) names += fmt::format("{}sm_{}", names.empty() ? "" : ", ", architecture / 10);
  return names;
}

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

int attribute(cudaDeviceAttr which) {
  int value = 0;
  detail::check(cudaDeviceGetAttribute(&value, which, 0), "cudaDeviceGetAttribute", "ask what the GPU is");
  return value;
}

std::string why_unavailable() {
  int driver = 0, count = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return "this machine has no NVIDIA driver";
  }
  // Within one major version a newer runtime works with an older driver.
  if (driver / 1000 < CUDART_VERSION / 1000)
    return fmt::format("the NVIDIA driver here supports CUDA {} and this build needs {}", version_text(driver),
                       version_text(CUDART_VERSION));
  const cudaError_t counted = cudaGetDeviceCount(&count);
  cudaGetLastError();  // what was asked is answered: no later call should report it again
  if (counted == cudaErrorNoDevice || (counted == cudaSuccess && count == 0))
    return std::getenv("CUDA_VISIBLE_DEVICES") ? "the NVIDIA driver finds no GPU among those that CUDA_VISIBLE_DEVICES names"
                                               : "the NVIDIA driver finds no GPU";
  if (counted != cudaSuccess) return fmt::format("the NVIDIA driver {} says: {}", version_text(driver), cudaGetErrorString(counted));
  int major = 0, minor = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0) != cudaSuccess)
    return fmt::format("the NVIDIA driver {} does not say what its GPU is: {}", version_text(driver),
                       cudaGetErrorString(cudaGetLastError()));
  if (major * 100 + minor * 10 < *std::min_element(kArchitectures.begin(), kArchitectures.end()))
    return fmt::format("the GPU here is sm_{}{} and this build has code for {} and newer", major, minor, architectures());
  return {};
}

// Sizes of what is allocated, for the message when memory runs out.
class Held {
 public:
  void add(void* address, size_t bytes) {
    const std::lock_guard lock(mutex_);
    sizes_[address] = bytes;
    total_ += bytes;
  }
  void remove(void* address) {
    const std::lock_guard lock(mutex_);
    const auto found = sizes_.find(address);
    if (found == sizes_.end()) return;
    total_ -= found->second;
    sizes_.erase(found);
  }
  size_t total() {
    const std::lock_guard lock(mutex_);
    return total_;
  }

 private:
  std::mutex mutex_;
  std::unordered_map<void*, size_t> sizes_;
  size_t total_ = 0;
};

Held& held() {
  static Held& held = *std::make_unique<Held>().release();  // tensors in static objects are released after everything else
  return held;
}

// An error met where nothing can be thrown.
class Later {
 public:
  void keep(std::string text) noexcept {
    const std::lock_guard lock(mutex_);
    if (text_.empty()) text_ = std::move(text);
  }
  void raise() {
    const std::lock_guard lock(mutex_);
    if (!text_.empty()) throw DeviceError(std::exchange(text_, {}));
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

Later& later() {
  static Later& later = *std::make_unique<Later>().release();
  return later;
}

// What Scratch is cut from. It keeps what it has: giving memory back at each synchronize would cost more than all else Scratch does.
cudaMemPool_t scratch_pool() {
  static const cudaMemPool_t pool = [] {
    cudaMemPool_t made = nullptr;
    uint64_t keep = UINT64_MAX;
    detail::check(cudaDeviceGetDefaultMemPool(&made, 0), "cudaDeviceGetDefaultMemPool", "find the pool for intermediate results");
    detail::check(cudaMemPoolSetAttribute(made, cudaMemPoolAttrReleaseThreshold, &keep), "cudaMemPoolSetAttribute",
                  "let that pool keep its memory");
    return made;
  }();
  return pool;
}

[[noreturn]] void out_of_memory(size_t bytes) {
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  cudaGetLastError();  // the message is about the first error, whether or not this one came
  throw DeviceError(
      fmt::format("the device 'cuda' has no {} bytes left: {} are held and {} of {} are free", bytes, held().total(), free, total),
      "a smaller batch or smaller pictures take less");
}

std::string text_of(dim3 d) { return fmt::format("({},{},{})", d.x, d.y, d.z); }

std::string text_of(cudaError_t status) { return fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status)); }

std::string sentence(cudaError_t status, std::string_view call, std::string_view purpose) {
  return fmt::format("{}, which was to {}, failed: {}", call, purpose, text_of(status));
}

bool waits_after_launches() {
  static const bool waits = [] {
    const char* const value = std::getenv("MIRILLA_CUDA_SYNC");
    return value && *value && std::string_view(value) != "0";
  }();
  return waits;
}

// What a kernel did wrong is told by whatever call comes next, which is not to blame.
std::string_view hint_for(cudaError_t status) {
  constexpr std::array kOfKernels{
      cudaErrorIllegalAddress,     cudaErrorMisalignedAddress, cudaErrorLaunchFailure, cudaErrorInvalidAddressSpace,
      cudaErrorIllegalInstruction, cudaErrorInvalidPc,         cudaErrorAssert,        cudaErrorHardwareStackError,
      cudaErrorLaunchTimeout};
  if (std::find(kOfKernels.begin(), kOfKernels.end(), status) == kOfKernels.end()) return {};
  return "a kernel started earlier is at fault: MIRILLA_CUDA_SYNC=1 waits after each and names it";
}

void wait_for(cudaStream_t stream, std::string_view purpose) {
  const cudaError_t status = cudaStreamSynchronize(stream);
  if (status != cudaSuccess) throw DeviceError(sentence(status, "cudaStreamSynchronize", purpose), hint_for(status));
  later().raise();
}

}  // namespace

namespace detail {

void check(cudaError_t status, std::string_view call, std::string_view purpose) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // else the next launch would report it again
  throw DeviceError(sentence(status, call, purpose), hint_for(status));
}

void keep_for_later(cudaError_t status, std::string_view call, std::string_view purpose) noexcept {
  if (status == cudaSuccess || status == cudaErrorCudartUnloading) return;  // the latter: the program ends, and its memory with it
  cudaGetLastError();
  later().keep(sentence(status, call, purpose));
}

void allow_shared_bytes(const void* kernel, std::string_view name, size_t bytes) {
  const cudaError_t status = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw DeviceError(fmt::format("{}: {} bytes of dynamic shared memory were asked for and a block here has {}: {}", name, bytes,
                                facts().shared_bytes_per_block, text_of(status)));
}

void launch(Stream& stream, const LaunchShape& shape, const void* kernel, std::string_view name, void** args) {
  cudaError_t status = cudaLaunchKernel(kernel, shape.grid, shape.block, args, shape.shared_bytes, stream.native());
  if (status != cudaSuccess) {
    cudaGetLastError();
    throw DeviceError(fmt::format("{}: CUDA refused a grid of {} blocks of {} threads with {} bytes of shared memory: {}", name,
                                  text_of(shape.grid), text_of(shape.block), shape.shared_bytes, text_of(status)),
                      hint_for(status));
  }
  if (!waits_after_launches() || stream.recording()) return;
  status = cudaStreamSynchronize(stream.native());
  if (status != cudaSuccess)
    throw DeviceError(fmt::format("{}: failed in a grid of {} blocks of {} threads: {}", name, text_of(shape.grid), text_of(shape.block),
                                  text_of(status)));
}

}  // namespace detail

const DeviceFacts& facts() {
  static const DeviceFacts here = [] {
    DeviceFacts facts{.name = "no GPU", .runtime_version = CUDART_VERSION};
    if (!unavailable().empty()) return facts;
    cudaDeviceProp properties;
    detail::check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties", "ask what the GPU is");
    facts.name = properties.name;
    facts.compute_capability = properties.major * 10 + properties.minor;
    facts.multiprocessors = properties.multiProcessorCount;
    facts.threads_per_multiprocessor = properties.maxThreadsPerMultiProcessor;
    facts.shared_bytes_per_block = static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
    facts.memory_bytes = properties.totalGlobalMem;
    facts.l2_bytes = static_cast<size_t>(properties.l2CacheSize);
    detail::check(cudaDriverGetVersion(&facts.driver_version), "cudaDriverGetVersion", "ask what the driver supports");
    return facts;
  }();
  return here;
}

std::string unavailable() {
  static const std::string why = why_unavailable();
  return why;
}

std::string describe_device() {
  const DeviceFacts& f = facts();
  return fmt::format("cuda: {}, sm_{}, {} multiprocessors, {:.1f} GiB, driver for CUDA {}, runtime {}", f.name, f.compute_capability,
                     f.multiprocessors, static_cast<double>(f.memory_bytes) / 0x1p30, version_text(f.driver_version),
                     version_text(f.runtime_version));
}

std::string version_line() {
  const std::string why = unavailable();
  if (why.empty()) return describe_device();
  return fmt::format("cuda: built for {} with CUDA {}, no device: {}", architectures(), version_text(CUDART_VERSION), why);
}

void* allocate(size_t bytes) {
  void* address = nullptr;
  const size_t wanted = std::max<size_t>(bytes, 1);
  cudaError_t status = cudaMalloc(&address, wanted);
  if (status == cudaErrorMemoryAllocation) {  // what Scratch keeps for its next use may be enough
    cudaGetLastError();
    detail::check(cudaDeviceSynchronize(), "cudaDeviceSynchronize", "wait for intermediate results that are still in use");
    detail::check(cudaMemPoolTrimTo(scratch_pool(), 0), "cudaMemPoolTrimTo", "give memory of intermediate results back");
    status = cudaMalloc(&address, wanted);
  }
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    out_of_memory(bytes);
  }
  detail::check(status, "cudaMalloc", "get memory");
  held().add(address, wanted);
  return address;
}

void release(void* address) noexcept {
  if (!address) return;
  held().remove(address);
  detail::keep_for_later(cudaFree(address), "cudaFree", "give memory back");
}

Stream::Stream() {
  // Without the flag it would wait for, and hold up, whatever a library puts on the default stream.
  detail::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags", "make a stream");
}
Stream::~Stream() { detail::keep_for_later(cudaStreamDestroy(stream_), "cudaStreamDestroy", "end a stream"); }

void Stream::copy_from_host(void* to, const void* from, size_t bytes) {
  if (recording_) throw DeviceError("a copy from the host was started while a replay records");
  if (bytes == 0) return;
  detail::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync", "copy from the host");
  // CUDA has read pageable memory when it returns; pinned memory it reads later.
  cudaPointerAttributes attributes{};
  detail::check(cudaPointerGetAttributes(&attributes, from), "cudaPointerGetAttributes", "ask whether memory is pinned");
  if (attributes.type != cudaMemoryTypeUnregistered) wait_for(stream_, "wait for a copy from pinned memory");
}

void Stream::copy_to_host(void* to, const void* from, size_t bytes) {
  if (recording_) throw DeviceError("a copy to the host was started while a replay records");
  if (bytes > 0) detail::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync", "copy to the host");
  wait_for(stream_, "wait for a copy to the host");
}

void Stream::copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) detail::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "cudaMemcpyAsync", "copy on the GPU");
}

void Stream::fill_bytes(void* to, int value, size_t bytes) {
  if (bytes > 0) detail::check(cudaMemsetAsync(to, value, bytes, stream_), "cudaMemsetAsync", "fill memory");
}

void Stream::synchronize() {
  if (recording_) throw DeviceError("a wait was asked for while a replay records");
  wait_for(stream_, "wait for the GPU");
}

Event::Event() { detail::check(cudaEventCreate(&event_), "cudaEventCreate", "make an event"); }
Event::~Event() { detail::keep_for_later(cudaEventDestroy(event_), "cudaEventDestroy", "end an event"); }

void Event::record(Stream& stream) {
  // A plain record would only order the graph's own work; an external one is done each time the graph runs.
  const unsigned flags = stream.recording() ? cudaEventRecordExternal : cudaEventRecordDefault;
  detail::check(cudaEventRecordWithFlags(event_, stream.native(), flags), "cudaEventRecordWithFlags", "record an event");
}

void Event::synchronize() const { detail::check(cudaEventSynchronize(event_), "cudaEventSynchronize", "wait for an event"); }

bool Event::done() const {
  const cudaError_t status = cudaEventQuery(event_);
  if (status == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  detail::check(status, "cudaEventQuery", "look at an event");
  return true;
}

double Event::milliseconds_between(const Event& start, const Event& end) {
  float milliseconds = 0;
  detail::check(cudaEventElapsedTime(&milliseconds, start.event_, end.event_), "cudaEventElapsedTime", "tell the time between two events");
  return milliseconds;
}

void Replay::Destroy::operator()(cudaGraphExec_t graph) const noexcept {
  detail::keep_for_later(cudaGraphExecDestroy(graph), "cudaGraphExecDestroy", "end a replay");
}

Replay Replay::record(Stream& stream, const std::function<void()>& f) {
  if (stream.recording_) throw DeviceError("a replay was started while another one records");
  // Relaxed: an allocation while it records is an allocation, as it is on the executor.
  detail::check(cudaStreamBeginCapture(stream.stream_, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture", "record a replay");
  stream.recording_ = true;
  cudaGraph_t recorded = nullptr;
  try {
    f();
  } catch (...) {
    stream.recording_ = false;
    cudaStreamEndCapture(stream.stream_, &recorded);  // its status adds nothing to the error under way
    if (recorded) cudaGraphDestroy(recorded);
    cudaGetLastError();
    throw;
  }
  stream.recording_ = false;
  detail::check(cudaStreamEndCapture(stream.stream_, &recorded), "cudaStreamEndCapture", "end the recording of a replay");
  const auto destroy = [](cudaGraph_t graph) { detail::keep_for_later(cudaGraphDestroy(graph), "cudaGraphDestroy", "end a recording"); };
  const std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, decltype(destroy)> graph(recorded, destroy);
  Replay replay;
  cudaGraphExec_t executable = nullptr;
  detail::check(cudaGraphGetNodes(graph.get(), nullptr, &replay.size_), "cudaGraphGetNodes", "count what was recorded");
  detail::check(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate", "make a recording runnable");
  replay.graph_.reset(executable);
  return replay;
}

void Replay::run(Stream& stream) const {
  if (graph_) detail::check(cudaGraphLaunch(graph_.get(), stream.native()), "cudaGraphLaunch", "run a replay");
}

Scratch::Scratch(Stream& stream, size_t bytes) : stream_(stream) {
  const size_t wanted = std::max<size_t>(bytes, 1);
  const cudaError_t status = cudaMallocFromPoolAsync(&address_, wanted, scratch_pool(), stream.native());
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    out_of_memory(bytes);
  }
  detail::check(status, "cudaMallocFromPoolAsync", "get memory for intermediate results");
}

Scratch::~Scratch() {
  detail::keep_for_later(cudaFreeAsync(address_, stream_.native()), "cudaFreeAsync", "give memory of intermediate results back");
}

}  // namespace mirilla::cuda
