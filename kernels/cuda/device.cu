// SPDX-License-Identifier: MIT
#include "kernels/cuda/device.h"

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/common.h"

namespace mirilla::MIRILLA_PLATFORM {

namespace {

class Recorded final : public DeviceReplay {
 public:
  Recorded(Replay replay, Stream& stream) : replay_(std::move(replay)), stream_(stream) {}
  void run() override { replay_.run(stream_); }
  size_t size() const override { return replay_.size(); }

 private:
  Replay replay_;
  Stream& stream_;
};

class Mark final : public DeviceMark {
 public:
  Mark(Stream& stream, int index) : event_(std::make_shared<Event>(Event::Timed::no)), index_(index) { event_->record(stream); }
  bool reached() const override { return event_->done(); }
  void wait() const override { event_->synchronize(); }
  const std::shared_ptr<Event>& event() const { return event_; }
  int index() const { return index_; }

 private:
  std::shared_ptr<Event> event_;
  int index_;
};

// The main stream, on which all work runs in the order in which it was started, and a second one for send_ahead. The engine's allocator
// may hand out a block again while the GPU still reads it; this is right only because of that order: the next user comes later
// in the main stream. So a send without a mark waits for all work of the main stream, and memory that is returned while data is
// still being sent to it makes the main stream wait for the send (settle).
class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int index) : index_(index), stream_(index), ahead_(index, Stream::Pace::when_waited_for), backend_(stream_) {}

  std::string_view name() const override { return kDeviceName; }
  int index() const override { return index_; }
  std::string description() const override { return describe_device(index_); }
  Backend& backend() override {
    choose(index_);  // each operation passes here: launchers read the facts of the chosen GPU
    return backend_;
  }

  void* allocate(size_t bytes) override {
    choose(index_);
    return MIRILLA_PLATFORM::allocate(bytes);
  }
  void release(void* address, size_t) noexcept override { MIRILLA_PLATFORM::release(address); }
  size_t free_bytes() override {
    choose(index_);
    return MIRILLA_PLATFORM::free_bytes();
  }
  bool exact_blocks() const override { return !kGpu; }

  bool host_addressable() const override { return !kGpu; }
  void copy_from_host(void* to, const void* from, size_t bytes) override { stream().copy_from_host(to, from, bytes); }
  void copy_to_host(void* to, const void* from, size_t bytes) override { stream().copy_to_host(to, from, bytes); }
  void copy(void* to, const void* from, size_t bytes) override { stream().copy(to, from, bytes); }
  void synchronize() override {
    stream().synchronize();
    ahead_.synchronize();
  }

  bool can_replay() const override { return true; }
  bool recording() const override { return stream_.recording(); }
  std::unique_ptr<DeviceReplay> record(const std::function<void()>& work) override {
    return std::make_unique<Recorded>(Replay::record(stream(), work), stream_);
  }

  void* allocate_pinned(size_t bytes) override {
    choose(index_);
    return MIRILLA_PLATFORM::allocate_pinned(bytes);
  }
  void release_pinned(void* address, size_t) noexcept override { MIRILLA_PLATFORM::release_pinned(address); }
  void copy_from_pinned(void* to, const void* pinned, size_t bytes) override { stream().copy_from_pinned(to, pinned, bytes); }
  void copy_to_pinned(void* pinned, const void* from, size_t bytes) override { stream().copy_to_pinned(pinned, from, bytes); }

  std::unique_ptr<DeviceMark> mark() override {
    refuse_while_recording("a mark was made");
    return std::make_unique<Mark>(stream(), index_);
  }
  std::unique_ptr<DeviceMark> send_ahead(void* to, const void* pinned, size_t bytes, const DeviceMark* after) override;
  void follow(const DeviceMark& mark) override;
  void settle(void* address, size_t bytes) noexcept override;

  bool wants_ranges() const override { return ranges_wanted(); }
  void push_range(std::string_view name) override { MIRILLA_PLATFORM::push_range(name); }
  void pop_range() override { MIRILLA_PLATFORM::pop_range(); }

 private:
  // The last send to a piece of memory for which the main stream does not wait yet.
  struct Sent {
    const std::byte* begin;
    const std::byte* end;
    std::shared_ptr<Event> arrived;
    bool overlaps(const std::byte* from, const std::byte* to) const { return begin < to && from < end; }
  };

  Stream& stream() {
    choose(index_);
    return stream_;
  }
  void refuse_while_recording(std::string_view what) const {
    if (recording()) throw DeviceError(fmt::format("{} while a replay records", what), "do it before the recording or after it");
  }
  // What has happened already needs no wait between the streams.
  static void let_wait(Stream& stream, const Event& event) {
    if (!event.done()) stream.wait_for(event);
  }
  const Mark& own(const DeviceMark& mark) const {
    const auto* const ours = dynamic_cast<const Mark*>(&mark);
    if (!ours || ours->index() != index_) throw DeviceError(fmt::format("the device '{}' was given another device's mark", kDeviceName));
    return *ours;
  }

  int index_;
  Stream stream_, ahead_;
  std::shared_ptr<Event> ahead_after_;  // the last mark that the second stream waited for
  CudaBackend backend_;
  std::mutex mutex_;  // memory may be returned on any thread
  std::vector<Sent> sent_;
};

std::unique_ptr<DeviceMark> CudaDevice::send_ahead(void* to, const void* pinned, size_t bytes, const DeviceMark* after) {
  refuse_while_recording("something was sent ahead");
  choose(index_);
  const std::lock_guard lock(mutex_);
  if (after) {
    const std::shared_ptr<Event>& event = own(*after).event();
    if (event != ahead_after_) let_wait(ahead_, *event);  // once is enough: the second stream has an order too
    ahead_after_ = event;
  } else {
    Event now(Event::Timed::no);
    now.record(stream_);
    ahead_.wait_for(now);
  }
  ahead_.copy_from_pinned(to, pinned, bytes);
  auto mark = std::make_unique<Mark>(ahead_, index_);
  const auto* const begin = static_cast<const std::byte*>(to);
  // By the same order: once this send has arrived, so have earlier sends to the same memory.
  std::erase_if(sent_, [&](const Sent& s) { return begin <= s.begin && s.end <= begin + bytes; });
  sent_.push_back({begin, begin + bytes, mark->event()});
  return mark;
}

void CudaDevice::follow(const DeviceMark& mark) {
  const std::shared_ptr<Event>& event = own(mark).event();
  refuse_while_recording("the main stream was told to wait");
  let_wait(stream(), *event);
  const std::lock_guard lock(mutex_);
  std::erase_if(sent_, [&](const Sent& s) { return s.arrived == event; });
}

void CudaDevice::settle(void* address, size_t bytes) noexcept {
  const auto* const begin = static_cast<const std::byte*>(address);
  const std::lock_guard lock(mutex_);
  for (const Sent& s : sent_) {
    if (!s.overlaps(begin, begin + bytes)) continue;
    try {
      if (recording())
        s.arrived->synchronize();  // a recording must not wait for work that it did not record
      else
        stream_.wait_for(*s.arrived);
    } catch (const DeviceError&) {
      // The device failed: its next call reports it.
    }
  }
  std::erase_if(sent_, [&](const Sent& s) { return begin <= s.begin && s.end <= begin + bytes; });
}

}  // namespace

// Made at the first use and never destroyed, like the host's devices.
Device& device(int index) {
  if (const std::string why = unavailable(index); !why.empty())
    throw DeviceError(fmt::format("the device '{}' was asked for and {}",
                                  index == 0 ? std::string(kDeviceName) : fmt::format("{}:{}", kDeviceName, index), why),
                      "'cpu' computes on the host");
  static std::mutex mutex;
  static auto& devices = *std::make_unique<std::map<int, std::unique_ptr<CudaDevice>>>().release();
  const std::lock_guard lock(mutex);
  auto& slot = devices[index];
  if (!slot) slot = std::make_unique<CudaDevice>(index);
  return *slot;
}

CudaBackend::CudaBackend(Stream& stream) : stream_(stream) {}

void no_such(DType dtype, std::string_view operation) {
  throw DeviceError(fmt::format("the device '{}' computes {} in f32, f16 and bf16 and got {}", kDeviceName, operation, name_of(dtype)),
                    dtype == DType::f64 ? "f64 exists on the device 'reference' only" : "cast it first");
}

}  // namespace mirilla::MIRILLA_PLATFORM
