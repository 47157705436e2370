// SPDX-License-Identifier: MIT
#include "kernels/emulate/runtime.h"

#include "kernels/emulate/errors.h"
#include "kernels/emulate/modules.h"
#include "kernels/emulate/names.h"
#include "kernels/emulate/ptx_folder.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace mirilla::emulate {

using ptx::Fault;
using ptx::u64;

namespace {

cudaError_t error_of(const Fault& fault) {
  if (fault.kind == Fault::Kind::kTrap && fault.ptx_text.find("__assertfail") != std::string::npos) return cudaErrorAssert;
  switch (fault.kind) {
    case Fault::Kind::kOutside:
    case Fault::Kind::kFreed:
    case Fault::Kind::kReadOnly: return cudaErrorIllegalAddress;
    case Fault::Kind::kMisaligned: return cudaErrorMisalignedAddress;
    case Fault::Kind::kLanesMissing:
    case Fault::Kind::kDivergentBarrier:
    case Fault::Kind::kDeadlock: return cudaErrorLaunchTimeout;
    case Fault::Kind::kTrap:
    case Fault::Kind::kUnwritten:
    case Fault::Kind::kNotConstant:
    case Fault::Kind::kRace:
    case Fault::Kind::kLimit:
    case Fault::Kind::kOther: break;
  }
  return cudaErrorLaunchFailure;
}

std::unique_ptr<Runtime>& place() {
  static auto& runtime = *std::make_unique<std::unique_ptr<Runtime>>().release();  // never destroyed: tensors in static objects come last
  return runtime;
}

Settings settings_of_environment() {
  try {
    return read_settings([](const char* name) {
      const char* const value = std::getenv(name);
      return std::string(value ? value : "");
    });
  } catch (const Error& error) {
    end_program(error);
  }
}

}  // namespace

void print_line(std::string_view text) {
  std::fflush(stdout);
  std::fprintf(stderr, "emulated GPU: %.*s\n", static_cast<int>(text.size()), text.data());
}

void end_program(const Error& error) {
  print_line(error.what());
  std::fflush(nullptr);
  std::_Exit(1);
}

Device::Device(int number, const Settings& all)
    : index(number),
      settings(all),
      card(all.card_of(number)),
      memory_bytes(all.memory_of(number)),
      legacy(std::make_shared<CUstream_st>(number, false)) {}

void Device::execute(const std::function<void()>& f) {
  if (broken != cudaSuccess) return;
  try {
    f();
  } catch (const Fault& fault) {
    misuse(error_of(fault), readable(fault.what(), fault.kernel));
  }
}

void Device::misuse(cudaError_t error, std::string_view sentence) {
  print_line(sentence);
  if (broken == cudaSuccess) broken = error;
}

void Device::check_reach(const void* address, size_t bytes, std::string_view what) {
  const auto begin = reinterpret_cast<u64>(address);
  const ptx::Allocation* const there = memory.find(begin);
  if (!there)
    throw Fault(Fault::Kind::kOutside, fmt::format("{} of {} bytes at {}: no memory is there when it is done", what, bytes, address),
                "memory of a stream exists from its allocation to its release in the order of that stream");
  if (there->freed) throw Fault(Fault::Kind::kFreed, fmt::format("{} of {} bytes at {}: that memory was freed", what, bytes, address));
  if (begin + bytes > there->end())
    throw Fault(Fault::Kind::kOutside,
                fmt::format("{} of {} bytes at byte {} of an allocation of {} bytes", what, bytes, begin - there->begin, there->bytes));
}

void Device::trim(size_t keep) {
  if (pool_kept <= keep) return;
  used -= pool_kept - keep;
  pool_kept = keep;
}

ptx::Memory::Content Device::content() const {
  return settings.detect.unwritten ? ptx::Memory::Content::kUnwritten : ptx::Memory::Content::kWritten;
}

Runtime::Runtime(Settings wanted) : settings(std::move(wanted)), random(settings.seed) {
  for (int index = 0; index < settings.gpus; ++index) devices.push_back(std::make_unique<Device>(index, settings));
}

int& Runtime::current() {
  static thread_local int device = 0;
  return device;
}

cudaError_t& Runtime::last() {
  static thread_local cudaError_t error = cudaSuccess;
  return error;
}

std::shared_ptr<CUstream_st> Runtime::stream(cudaStream_t handle) {
  if (mistake == Mistake::Kind::kStray) {
    const auto stray = std::make_shared<CUstream_st>(current(), false);
    streams[stray.get()] = stray;
    return stray;
  }
  if (!handle || handle == cudaStreamLegacy) return device().legacy;
  if (handle == cudaStreamPerThread) return stream_of_thread();
  const auto found = streams.find(handle);
  return found == streams.end() ? nullptr : found->second;
}

std::shared_ptr<CUstream_st> Runtime::stream_of_thread() {
  static thread_local std::map<std::pair<const Runtime*, int>, std::shared_ptr<CUstream_st>> own;
  auto& stream = own[{this, current()}];
  if (!stream) {
    stream = std::make_shared<CUstream_st>(current(), true);
    streams[stream.get()] = stream;
  }
  return stream;
}

CUevent_st* Runtime::event(cudaEvent_t handle) { return events.contains(handle) ? handle : nullptr; }

const Failure* Runtime::asked_to_fail(std::string_view name) {
  auto found = calls.find(name);
  if (found == calls.end()) found = calls.emplace(name, 0).first;
  const u64 number = ++found->second;
  ++calls_made;
  mistake = Mistake::Kind::kNone;
  for (const Mistake& one : settings.mistakes) {
    if (one.kind != Mistake::Kind::kAlter && one.call == name && (one.number == number || one.number == 0)) mistake = one.kind;
  }
  for (const Failure& failure : settings.failures) {
    if (failure.call == name && failure.number == number) return &failure;
  }
  return nullptr;
}

bool Runtime::altered(std::string_view name) {
  const auto asked = [&](const Mistake& one) { return one.kind == Mistake::Kind::kAlter && one.call == name; };
  const auto found = std::find_if(settings.mistakes.begin(), settings.mistakes.end(), asked);
  if (found == settings.mistakes.end()) return false;
  const u64 number = ++given[found->call];
  return found->number == 0 || found->number == number;
}

cudaError_t Runtime::injected(std::string_view name) {
  const Failure* const failure = asked_to_fail(name);
  if (!failure) return cudaSuccess;
  if (sticks(failure->error) && device().broken == cudaSuccess) device().broken = failure->error;
  return failure->error;
}

cudaError_t Runtime::wait_by_mistake() {
  ++calls["cudaDeviceSynchronize"];
  if (const cudaError_t refused = refuse_device_wide(*this, current())) return refused;
  drain(device());
  return cudaSuccess;
}

void Runtime::wander() {
  constexpr u64 kOneIn = 4, kMost = 4;
  if (settings.seed == 0 || wandering) return;
  wandering = true;
  const auto perhaps = [&](CUstream_st& stream) {
    if (random() % kOneIn != 0) return;
    for (u64 k = 1 + random() % kMost; k > 0 && stream.ready(); --k) stream.advance(*this, stream.done + 1);
  };
  for (const auto& [handle, stream] : std::map(streams)) perhaps(*stream);
  for (const auto& device : devices) perhaps(*device->legacy);
  wandering = false;
}

void Runtime::drain(Device& device) {
  device.legacy->drain(*this);
  for (const auto& stream : std::exchange(orphans, {})) stream->drain(*this);
  for (const auto& [handle, stream] : std::map(streams)) {
    if (stream->device == device.index) stream->drain(*this);
  }
  device.trim(device.pool_threshold);
}

void Runtime::watch() {
  if (std::exchange(watched, true)) return;
  std::thread([this] {
    constexpr auto kQuiet = std::chrono::milliseconds(20);
    u64 before = 0;
    for (;;) {
      std::this_thread::sleep_for(kQuiet);
      const std::lock_guard lock(mutex);
      if (std::exchange(before, calls_made) != calls_made) continue;
      for (const auto& device : devices) drain(*device);
    }
  }).detach();
}

Runtime& runtime() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (place()) return;  // start_over made it
    place() = std::make_unique<Runtime>(settings_of_environment());
    try {
      prepare_ptx_folder(place()->settings);
      // Now: at the end of the program, what reading PTX needs may be gone.
      if (!place()->settings.coverage.empty())
        each_module(*place()->devices.front(), [](const ptx::Module&, const std::vector<ptx::u8>&) {});
    } catch (const Error& error) {
      end_program(error);
    }
    std::atexit([] { place()->report(); });
  });
  return *place();
}

void start_over(Settings settings) {
  if (place()) {
    const std::lock_guard lock(place()->mutex);
    forget_modules();
  }
  place().release();  // not destroyed: handles that a test kept may still be passed
  place() = std::make_unique<Runtime>(std::move(settings));
  Runtime::last() = cudaSuccess;
  Runtime::current() = 0;
}

}  // namespace mirilla::emulate
