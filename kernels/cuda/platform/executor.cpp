// SPDX-License-Identifier: MIT
#include "kernels/cuda/platform/executor.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>

#include "kernels/core/device.h"
#include "kernels/core/error.h"
#include "kernels/host/memory.h"
#include "kernels/host/threads.h"

namespace mirilla::simt {

namespace {
thread_local const DeviceFacts* other_facts = nullptr;
}

FactsScope::FactsScope(const DeviceFacts& facts) : outer_(std::exchange(other_facts, &facts)) {}
FactsScope::~FactsScope() { other_facts = outer_; }

const DeviceFacts& facts() {
  if (other_facts) return *other_facts;
  static const DeviceFacts here{.name = "host executor",
                                .compute_capability = 90,
                                .multiprocessors = 4,  // few, so that grid-stride loops go round more than once in tests
                                .threads_per_multiprocessor = 2048,
                                .shared_bytes_per_block = Limits::kSharedBytes,
                                .memory_bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE)),
                                .l2_bytes = size_t{1} << 20};
  return here;
}

std::string unavailable(int index) { return index == 0 ? std::string() : "the executor is one"; }

std::string describe_device(int) {
  return fmt::format("simt: the CUDA kernels on the host's executor, {} thread{}; true and slow", host_threads(),
                     host_threads() == 1 ? "" : "s");
}

std::string version_line() { return "simt: the CUDA kernels on the host"; }

namespace {

// The pinned memory. A copy from or to memory that is not pinned is refused, as a GPU could not run it asynchronously.
class Pinned {
 public:
  void add(std::byte* address, size_t bytes) {
    const std::lock_guard lock(mutex_);
    living_.emplace(address, bytes);
  }
  // Returns the number of its bytes.
  size_t remove(std::byte* address) {
    const std::lock_guard lock(mutex_);
    const auto found = living_.find(address);
    if (found == living_.end()) return 0;
    const size_t bytes = found->second;
    living_.erase(found);
    return bytes;
  }
  void check(const void* address, size_t bytes, std::string_view operation) {
    if (bytes == 0) return;
    const auto* const start = static_cast<const std::byte*>(address);
    const std::lock_guard lock(mutex_);
    const auto after = living_.upper_bound(start);
    if (after != living_.begin()) {
      const auto& [begin, length] = *std::prev(after);
      if (bytes <= length && start - begin <= static_cast<std::ptrdiff_t>(length - bytes)) return;
    }
    throw DeviceError(fmt::format("{} of {} bytes does not lie inside pinned memory of the device 'simt'", operation, bytes),
                      "Device::allocate_pinned gives it out");
  }

 private:
  std::mutex mutex_;
  std::map<const std::byte*, size_t> living_;
};

Pinned& pinned_memory() {
  static Pinned& all = *new Pinned;  // never destroyed, like the tensors' memory
  return all;
}

}  // namespace

void* allocate_pinned(size_t bytes) {
  void* const address = allocate_host(std::max<size_t>(bytes, 1));
  if (!address) throw DeviceError(fmt::format("the device 'simt' has no {} bytes of pinned memory left", bytes));
  pinned_memory().add(static_cast<std::byte*>(address), std::max<size_t>(bytes, 1));
  return address;
}

void release_pinned(void* address) noexcept {
  if (const size_t bytes = pinned_memory().remove(static_cast<std::byte*>(address))) release_host(address, bytes);
}

void Stream::submit(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (recording_here()) return recording_.load()->push_back(std::move(work));
    if (recording())
      throw DeviceError("the device 'simt' was given work while another thread records a replay on it",
                        "let the threads take turns, or switch replay off");
    ++submitted_;
    if (pace_ == Pace::when_waited_for) return waiting_.push_back(std::move(work));
  }
  work();
}

void Stream::advance(uint64_t until) {
  const std::lock_guard lock(mutex_);
  while (done_ < until && !waiting_.empty()) {
    const std::function<void()> work = std::move(waiting_.front());
    waiting_.pop_front();
    ++done_;
    work();
  }
}

void Stream::wait_for(const Event& event) {
  if (recording_) throw DeviceError("a wait for an event was started while a replay records");
  if (event.stream_ && event.stream_ != this) submit([stream = event.stream_, place = event.place_] { stream->advance(place); });
}

void Stream::copy_from_pinned(void* to, const void* pinned, size_t bytes) {
  submit([=] {
    check_range(to, bytes, "a copy from pinned memory");
    pinned_memory().check(pinned, bytes, "a copy");
    if (bytes > 0) std::memcpy(to, pinned, bytes);
  });
}

void Stream::copy_to_pinned(void* pinned, const void* from, size_t bytes) {
  submit([=] {
    check_range(from, bytes, "a copy to pinned memory");
    pinned_memory().check(pinned, bytes, "a copy");
    if (bytes > 0) std::memcpy(pinned, from, bytes);
  });
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
  if (account_) return account_->copied(to, from, bytes);
  submit([=] {
    check_range(from, bytes, "a copy");
    check_range(to, bytes, "a copy");
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
}

void Stream::fill_bytes(void* to, int value, size_t bytes) {
  if (account_) return account_->filled(to, bytes);
  submit([=] {
    check_range(to, bytes, "a fill");
    if (bytes > 0) std::memset(to, value, bytes);
  });
}

void Stream::synchronize() {
  if (recording_) throw DeviceError("a wait was asked for while a replay records");
  const std::lock_guard lock(mutex_);
  advance(submitted_);
}

void Event::record(Stream& stream) {
  if (stream.pace_ == Stream::Pace::at_once)
    stream.submit([this] {
      const auto now = std::chrono::steady_clock::now().time_since_epoch();
      seconds_ = std::chrono::duration<double>(now).count();
    });
  stream_ = &stream;
  const std::lock_guard lock(stream.mutex_);
  place_ = stream.submitted_;
}

void Event::synchronize() const {
  if (stream_) stream_->advance(place_);
}

// Asking counts as waiting: no time passes here.
bool Event::done() const {
  synchronize();
  return true;
}

double Event::milliseconds_between(const Event& start, const Event& end) { return (end.seconds_ - start.seconds_) * 1e3; }

namespace {

Counters make_counters() {
  const Counters counters(static_cast<unsigned*>(allocate_guarded(kCounters * sizeof(unsigned))),
                          [](unsigned* made) { release_guarded(made); });
  std::fill_n(counters.get(), kCounters, 0);
  return counters;
}

}  // namespace

// By threads and dynamic shared memory, of which a multiprocessor has what one block may ask for and 1 KiB more; each block takes that KiB.
void detail::check_resident(std::string_view kernel, const LaunchShape& shape) {
  constexpr size_t kReserved = 1024;
  const uint64_t blocks = uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z, threads = shape.block.x * shape.block.y * shape.block.z;
  const uint64_t by_threads = static_cast<uint64_t>(facts().threads_per_multiprocessor) / std::max<uint64_t>(threads, 1);
  const uint64_t by_shared = (facts().shared_bytes_per_block + kReserved) / (shape.shared_bytes + kReserved);
  const uint64_t most = std::min(by_threads, by_shared) * static_cast<uint64_t>(facts().multiprocessors);
  if (blocks > most)
    throw DeviceError(fmt::format("{}: {} blocks are to run at the same time and {} can", kernel, blocks, most),
                      "blocks that wait for one another need a smaller grid, or less shared memory");
}

Replay Replay::record(Stream& stream, const std::function<void()>& f) {
  Replay replay;
  replay.counters_ = make_counters();
  {
    const std::lock_guard lock(stream.mutex_);
    if (stream.recording_) throw DeviceError("a replay was started while another one records");
    stream.recorder_ = std::this_thread::get_id();
    stream.recorded_counters_ = replay.counters_;
    stream.recording_ = &replay.work_;
  }
  try {
    f();
  } catch (...) {
    stream.recording_ = nullptr;
    throw;
  }
  stream.recording_ = nullptr;
  return replay;
}

unsigned* Stream::counters() {
  const std::lock_guard lock(mutex_);
  if (recording()) return recorded_counters_.get();
  if (!counters_) counters_ = make_counters();
  return counters_.get();
}

void Replay::run(Stream& stream) const {
  if (stream.recording_) throw DeviceError("a replay was run while another one records");
  for (const auto& work : work_) stream.submit(work);
}

Scratch::Scratch(Stream& stream, size_t bytes)
    : stream_(stream), address_(stream.account() ? stream.account()->take_scratch(bytes) : allocate_guarded(bytes)) {}

// Recorded work still uses the memory, so the last piece of it so far keeps it.
Scratch::~Scratch() {
  if (stream_.account()) {
    stream_.account()->give_scratch(address_);
    return;
  }
  if (!stream_.recording_here()) {
    release_guarded(address_);
    return;
  }
  const std::shared_ptr<void> kept(address_, [](void* address) { release_guarded(address); });
  std::vector<std::function<void()>>& works = *stream_.recording_.load();
  if (!works.empty()) works.back() = [work = std::move(works.back()), kept] { work(); };
}

}  // namespace mirilla::simt
