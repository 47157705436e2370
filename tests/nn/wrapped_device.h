// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "kernels/devices.h"

namespace mirilla::nn {

/// A device that wraps another under the same name, counts waits and can be told to misbehave. Never destroyed: its allocator lives as long
/// as the program.
class WrappedDevice : public Device {
 public:
  explicit WrappedDevice(std::string_view inner) : inner_(open_device(inner)) {}

  /// How often the host waited for the device, or copied from or to memory that is not pinned.
  int waits = 0;
  /// Of these, how often it copied from memory that is not pinned, which a GPU takes without finishing its work.
  int sends = 0;
  /// If set, the message that the next recordings throw.
  std::string no_recording = {};
  /// If set, each wait throws this message, and so does asking for the operations.
  std::string lost = {};
  /// If set, the device is lost so in a recording that fails.
  std::string lost_by_recording = {};
  /// Replays find no memory.
  bool no_memory_for_replays = false;
  /// How many later marks must be made before a mark is reached.
  size_t late = 0;

  std::string_view name() const override { return inner_.name(); }
  std::string description() const override { return inner_.description(); }
  Backend& backend() override {
    throw_if_lost();
    return inner_.backend();
  }
  void* allocate(size_t bytes) override { return inner_.allocate(bytes); }
  void release(void* address, size_t bytes) noexcept override { inner_.release(address, bytes); }
  bool host_addressable() const override { return inner_.host_addressable(); }
  bool exact_blocks() const override { return inner_.exact_blocks(); }
  void copy_from_host(void* to, const void* from, size_t bytes) override {
    ++waits;
    ++sends;
    inner_.copy_from_host(to, from, bytes);
  }
  void copy_to_host(void* to, const void* from, size_t bytes) override {
    ++waits;
    inner_.copy_to_host(to, from, bytes);
  }
  void copy(void* to, const void* from, size_t bytes) override { inner_.copy(to, from, bytes); }
  void synchronize() override {
    ++waits;
    throw_if_lost();
    inner_.synchronize();
  }

  bool can_replay() const override { return inner_.can_replay(); }
  bool recording() const override { return inner_.recording(); }
  std::unique_ptr<DeviceReplay> record(const std::function<void()>& work) override {
    auto replay = inner_.record([&] {
      work();
      if (no_recording.empty()) return;
      lost = lost_by_recording;
      throw DeviceError(no_recording);
    });
    return std::make_unique<Recorded>(*this, std::move(replay));
  }

  void* allocate_pinned(size_t bytes) override { return inner_.allocate_pinned(bytes); }
  void release_pinned(void* address, size_t bytes) noexcept override { inner_.release_pinned(address, bytes); }
  void copy_from_pinned(void* to, const void* pinned, size_t bytes) override { inner_.copy_from_pinned(to, pinned, bytes); }
  /// Late: the host sees nothing before the mark is reached.
  void copy_to_pinned(void* pinned, const void* from, size_t bytes) override {
    if (late == 0) return inner_.copy_to_pinned(pinned, from, bytes);
    auto values = std::make_shared<std::vector<std::byte>>(bytes);
    inner_.copy_to_pinned(values->data(), from, bytes);
    pending_.push_back({pinned, std::move(values)});
  }
  std::unique_ptr<DeviceMark> mark() override {
    ++marks_;
    return std::make_unique<Mark>(*this, marks_ + late);
  }

 private:
  class Recorded final : public DeviceReplay {
   public:
    Recorded(const WrappedDevice& device, std::unique_ptr<DeviceReplay> replay) : device_(device), replay_(std::move(replay)) {}
    void run() override {
      if (device_.no_memory_for_replays) throw OutOfMemory(device_.name(), {.wanted = 1 << 20});
      replay_->run();
    }
    size_t size() const override { return replay_->size(); }

   private:
    const WrappedDevice& device_;
    std::unique_ptr<DeviceReplay> replay_;
  };
  void throw_if_lost() const {
    if (!lost.empty()) throw DeviceError(lost);
  }
  struct Copy {
    void* to;
    std::shared_ptr<std::vector<std::byte>> values;
  };
  class Mark final : public DeviceMark {
   public:
    Mark(WrappedDevice& device, size_t reached_at) : device_(device), reached_at_(reached_at) {}
    bool reached() const override {
      if (device_.marks_ < reached_at_) return false;
      device_.finish();
      return true;
    }
    void wait() const override {
      if (!reached()) ++device_.waits;
      device_.marks_ = std::max(device_.marks_, reached_at_);
      device_.finish();
    }

   private:
    WrappedDevice& device_;
    size_t reached_at_;
  };
  void finish() {
    for (const Copy& copy : pending_) std::copy(copy.values->begin(), copy.values->end(), static_cast<std::byte*>(copy.to));
    pending_.clear();
  }

  Device& inner_;
  std::deque<Copy> pending_;
  size_t marks_ = 0;
};

}  // namespace mirilla::nn
