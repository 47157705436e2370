// SPDX-License-Identifier: MIT
#include "kernels/cuda/platform/gpu.h"

#include <nvtx3/nvToolsExt.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>

#include "kernels/core/error.h"

namespace mirilla::cuda {

namespace {

// An error that occurred where nothing can be thrown.
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

std::string text_of(dim3 d) { return fmt::format("({},{},{})", d.x, d.y, d.z); }

std::string text_of(cudaError_t status) { return fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status)); }

std::string sentence(cudaError_t status, std::string_view call, std::string_view purpose, std::string_view where = {}) {
  return fmt::format("{}, which was to {}{}{}{}, failed: {}", call, purpose, where.empty() ? "" : " (", where, where.empty() ? "" : ")",
                     text_of(status));
}

// "kernels/cuda/platform/gpu.cu:103", relative to the source tree.
std::string place_of(const std::source_location& where) {
  const std::string_view file = where.file_name();
  const size_t start = file.rfind("kernels/cuda/");
  return fmt::format("{}:{}", start == std::string_view::npos ? file : file.substr(start), where.line());
}

bool is_on(const char* variable) {
  const char* const value = std::getenv(variable);
  return value && *value && std::string_view(value) != "0";
}

bool waits_after_launches() {
  static const bool waits = is_on("MIRILLA_CUDA_SYNC");
  return waits;
}

// An error in a kernel is reported by a later call, which is not its cause.
std::string_view hint_for(cudaError_t status) {
  constexpr std::array kOfKernels{
      cudaErrorIllegalAddress,     cudaErrorMisalignedAddress, cudaErrorLaunchFailure, cudaErrorInvalidAddressSpace,
      cudaErrorIllegalInstruction, cudaErrorInvalidPc,         cudaErrorAssert,        cudaErrorHardwareStackError,
      cudaErrorLaunchTimeout};
  if (std::find(kOfKernels.begin(), kOfKernels.end(), status) == kOfKernels.end()) return {};
  return "a kernel started earlier is at fault: MIRILLA_CUDA_SYNC=1 waits after each and names it";
}

void wait_until_done(cudaStream_t stream, std::string_view purpose) {
  const cudaError_t status = cudaStreamSynchronize(stream);
  later().raise();  // first: an error that was kept came before this one, and a lost device repeats its error in every call
  if (status != cudaSuccess) throw DeviceError(sentence(status, "cudaStreamSynchronize", purpose), hint_for(status));
}

cudaError_t start(Stream& stream, const LaunchShape& shape, const void* kernel, void** args) {
  if (!shape.together) return cudaLaunchKernel(kernel, shape.grid, shape.block, args, shape.shared_bytes, stream.native());
  cudaLaunchAttribute together{};
  together.id = cudaLaunchAttributeCooperative;
  together.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream.native();
  config.attrs = &together;
  config.numAttrs = 1;
  return cudaLaunchKernelExC(&config, kernel, args);
}

}  // namespace

namespace detail {

void check(cudaError_t status, std::string_view call, std::string_view purpose, const std::source_location& where) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clear it, or the next launch would report it again
  throw DeviceError(sentence(status, call, purpose, place_of(where)), hint_for(status));
}

void keep_for_later(cudaError_t status, std::string_view call, std::string_view purpose) noexcept {
  if (status == cudaSuccess || status == cudaErrorCudartUnloading) return;  // the latter: the program ends, which frees its memory
  cudaGetLastError();
  // A recording breaks off, here or before, and says so at its end. Nothing is wrong with the device, and what was recorded is void: steps
  // go on eagerly.
  if (status >= cudaErrorStreamCaptureUnsupported && status <= cudaErrorStreamCaptureWrongThread) return;
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
  choose(stream.index());
  cudaError_t status = start(stream, shape, kernel, args);
  if (status != cudaSuccess) {
    cudaGetLastError();
    if (status == cudaErrorCooperativeLaunchTooLarge)
      throw DeviceError(fmt::format("{}: a grid of {} blocks of {} threads with {} bytes of shared memory is to run at the same time and "
                                    "does not fit the GPU: {}",
                                    name, text_of(shape.grid), text_of(shape.block), shape.shared_bytes, text_of(status)),
                        "blocks that wait for one another need a smaller grid, or less shared memory");
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

void library_called(Stream& stream, std::string_view purpose) {
  if (waits_after_launches() && !stream.recording()) wait_until_done(stream.native(), purpose);
}

}  // namespace detail

namespace {
thread_local int chosen_index = -1;  // none yet: CUDA starts with 0
std::atomic<int> recording_count{0};
}  // namespace

int detail::recordings() { return recording_count; }

bool ranges_wanted() {
  // The variable with which a tool names the library that NVTX loads.
  static const bool wanted = is_on("MIRILLA_NVTX") || std::getenv("NVTX_INJECTION64_PATH");
  return wanted;
}
void push_range(std::string_view name) { nvtxRangePushA(std::string(name).c_str()); }
void pop_range() { nvtxRangePop(); }

void choose(int index) {
  if (index == chosen_index) return;
  detail::check(cudaSetDevice(index), "cudaSetDevice", "turn to another GPU");
  chosen_index = index;
}

int chosen() { return std::max(chosen_index, 0); }

Stream::Stream(int index, Pace) : index_(index) {
  choose(index);
  // Without the flag it would synchronise with work that a library puts on the default stream.
  detail::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags", "make a stream");
}
Stream::~Stream() { detail::keep_for_later(cudaStreamDestroy(stream_), "cudaStreamDestroy", "end a stream"); }

void Stream::copy_from_host(void* to, const void* from, size_t bytes) {
  if (recording_) throw DeviceError("a copy from the host was started while a replay records");
  if (bytes == 0) return;
  detail::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync", "copy from the host");
  // CUDA has read pageable memory when the call returns; it reads pinned memory later.
  cudaPointerAttributes attributes{};
  detail::check(cudaPointerGetAttributes(&attributes, from), "cudaPointerGetAttributes", "ask whether memory is pinned");
  if (attributes.type != cudaMemoryTypeUnregistered) wait_until_done(stream_, "wait for a copy from pinned memory");
}

void Stream::copy_to_host(void* to, const void* from, size_t bytes) {
  if (recording_) throw DeviceError("a copy to the host was started while a replay records");
  if (bytes > 0) detail::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync", "copy to the host");
  wait_until_done(stream_, "wait for a copy to the host");
}

void Stream::copy_from_pinned(void* to, const void* pinned, size_t bytes) {
  if (bytes > 0)
    detail::check(cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync", "copy from pinned memory");
}

void Stream::copy_to_pinned(void* pinned, const void* from, size_t bytes) {
  if (bytes > 0)
    detail::check(cudaMemcpyAsync(pinned, from, bytes, cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync", "copy to pinned memory");
}

void Stream::copy(void* to, const void* from, size_t bytes) {
  if (bytes > 0) detail::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "cudaMemcpyAsync", "copy on the GPU");
}

void Stream::fill_bytes(void* to, int value, size_t bytes) {
  if (bytes > 0) detail::check(cudaMemsetAsync(to, value, bytes, stream_), "cudaMemsetAsync", "fill memory");
}

void Stream::synchronize() {
  if (recording_) throw DeviceError("a wait was asked for while a replay records");
  wait_until_done(stream_, "wait for the GPU");
}

void Stream::wait_for(const Event& event) {
  if (recording_) throw DeviceError("a wait for an event was started while a replay records");
  detail::check(cudaStreamWaitEvent(stream_, event.native(), 0), "cudaStreamWaitEvent", "let a stream wait for another");
}

Event::Event(Timed timed) {
  const unsigned flags = timed == Timed::yes ? cudaEventDefault : cudaEventDisableTiming;
  detail::check(cudaEventCreateWithFlags(&event_, flags), "cudaEventCreateWithFlags", "make an event");
}
Event::~Event() { detail::keep_for_later(cudaEventDestroy(event_), "cudaEventDestroy", "end an event"); }

void Event::record(Stream& stream) {
  // A plain record would only order the graph's own work; an external one is recorded each time the graph runs.
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
  Replay replay;
  replay.counters_ = detail::make_counters(stream);
  detail::check(cudaStreamSynchronize(stream.stream_), "cudaStreamSynchronize",
                "clear a replay's counters");  // it may run on another stream
  replay.arena_ = std::make_unique<ScratchArena>(stream.most_scratch_bytes_);
  // Relaxed: an allocation during recording is a normal allocation, as on the executor.
  detail::check(cudaStreamBeginCapture(stream.stream_, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture", "record a replay");
  const auto set_recording = [&](bool on) {
    if (on) stream.recorded_counters_ = replay.counters_;  // before another thread can see that the stream records
    stream.arena_ = on ? replay.arena_.get() : nullptr;
    stream.recording_ = on;
    recording_count += on ? 1 : -1;
  };
  set_recording(true);
  cudaGraph_t recorded = nullptr;
  // A stream that is left recording refuses everything else. What ending it says does not matter: another error is about to be thrown.
  const auto give_up = [&] {
    cudaStreamEndCapture(stream.stream_, &recorded);
    if (recorded) cudaGraphDestroy(recorded);
    cudaGetLastError();
  };
  try {
    f();
  } catch (...) {
    set_recording(false);
    give_up();
    throw;
  }
  set_recording(false);
  const cudaError_t ended = cudaStreamEndCapture(stream.stream_, &recorded);
  if (ended != cudaSuccess) give_up();
  detail::check(ended, "cudaStreamEndCapture", "end the recording of a replay");
  const auto destroy = [](cudaGraph_t graph) { detail::keep_for_later(cudaGraphDestroy(graph), "cudaGraphDestroy", "end a recording"); };
  const std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, decltype(destroy)> graph(recorded, destroy);
  cudaGraphExec_t executable = nullptr;
  detail::check(cudaGraphGetNodes(graph.get(), nullptr, &replay.size_), "cudaGraphGetNodes", "count what was recorded");
  detail::check(cudaGraphInstantiate(&executable, graph.get(), 0), "cudaGraphInstantiate", "make a recording runnable");
  replay.graph_.reset(executable);
  return replay;
}

void Replay::run(Stream& stream) const {
  if (stream.recording()) throw DeviceError("a replay was run while another one records");
  if (!graph_) return;
  choose(stream.index());
  // It allocates nothing, but the driver may, for the graph itself.
  cudaError_t status = cudaGraphLaunch(graph_.get(), stream.native());
  if (status == cudaErrorMemoryAllocation && detail::give_scratch_back()) status = cudaGraphLaunch(graph_.get(), stream.native());
  if (status == cudaErrorMemoryAllocation) detail::out_of_memory(0);
  detail::check(status, "cudaGraphLaunch", "run a replay");
  if (waits_after_launches()) wait_until_done(stream.native(), "wait for a replay");
}

}  // namespace mirilla::cuda
