// SPDX-License-Identifier: MIT
#include "kernels/cuda/platform/executor.h"

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>

#include "kernels/device.h"
#include "kernels/error.h"

namespace mirilla::simt {

const DeviceFacts& facts() {
  static const DeviceFacts here{.name = "host executor",
                                .compute_capability = 90,
                                .multiprocessors = 4,  // few, so that grid-stride loops go round more than once in tests
                                .threads_per_multiprocessor = 2048,
                                .shared_bytes_per_block = Limits::kSharedBytes,
                                .memory_bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE)),
                                .l2_bytes = size_t{1} << 20};
  return here;
}

std::string unavailable() { return {}; }

std::string describe_device() {
  return fmt::format("simt: the CUDA kernels on the host's executor, {} thread{}; true and slow", host_threads(),
                     host_threads() == 1 ? "" : "s");
}

std::string version_line() { return "simt: the CUDA kernels on the host"; }

void Stream::submit(std::function<void()> work) {
  if (recording_)
    recording_->push_back(std::move(work));
  else
    work();
}

void Stream::copy_from_host(void* to, const void* from, size_t bytes) {
  if (recording_) throw DeviceError("a copy from the host was started while a replay records");
  check_range(to, bytes, "a copy from the host");
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void Stream::copy_to_host(void* to, const void* from, size_t bytes) {
  if (recording_) throw DeviceError("a copy to the host was started while a replay records");
  check_range(from, bytes, "a copy to the host");
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void Stream::copy(void* to, const void* from, size_t bytes) {
  submit([=] {
    check_range(from, bytes, "a copy");
    check_range(to, bytes, "a copy");
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
}

void Stream::fill_bytes(void* to, int value, size_t bytes) {
  submit([=] {
    check_range(to, bytes, "a fill");
    if (bytes > 0) std::memset(to, value, bytes);
  });
}

void Stream::synchronize() {
  if (recording_) throw DeviceError("a wait was asked for while a replay records");
}

void Event::record(Stream& stream) {
  stream.submit([this] {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    seconds_ = std::chrono::duration<double>(now).count();
  });
}

double Event::milliseconds_between(const Event& start, const Event& end) { return (end.seconds_ - start.seconds_) * 1e3; }

Replay Replay::record(Stream& stream, const std::function<void()>& f) {
  if (stream.recording_) throw DeviceError("a replay was started while another one records");
  Replay replay;
  stream.recording_ = &replay.work_;
  try {
    f();
  } catch (...) {
    stream.recording_ = nullptr;
    throw;
  }
  stream.recording_ = nullptr;
  return replay;
}

void Replay::run(Stream& stream) const {
  for (const auto& work : work_) stream.submit(work);
}

Scratch::Scratch(Stream& stream, size_t bytes) : stream_(stream), address_(allocate_guarded(bytes)) {}

// What was recorded still uses the memory, so it goes where the record goes.
Scratch::~Scratch() {
  if (!stream_.recording_) {
    release_guarded(address_);
    return;
  }
  const std::shared_ptr<void> kept(address_, [](void* address) { release_guarded(address); });
  stream_.recording_->push_back([kept] {});
}

}  // namespace mirilla::simt
