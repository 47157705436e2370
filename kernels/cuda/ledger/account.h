// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/platform/executor.h"
#include "kernels/ledger.h"

namespace mirilla::simt {

/// The account of a ledger's device. Within a call of the table it knows the call's tensors by their addresses.
class LedgerAccount final : public Account {
 public:
  explicit LedgerAccount(const LedgerOptions& options);

  /// Memory: numbers that grow, aligned to 256 as cudaMalloc's. Throws OutOfMemory beyond the GPU's.
  void* allocate(size_t bytes);
  void release(void* address) noexcept;
  size_t held() const { return held_; }

  void launched(std::string_view kernel, const LaunchShape& shape, std::span<const Argument> arguments) override;
  void copied(void* to, const void* from, size_t bytes) override;
  void filled(void* to, size_t bytes) override;
  void* take_scratch(size_t bytes) override;
  void give_scratch(void* address) noexcept override;
  /// A call of one of NVIDIA's libraries, which reads and writes these bytes, by this many blocks.
  void library_called(std::string_view name, int64_t read, int64_t written, int64_t blocks);
  void sent(std::string_view name, int64_t read, int64_t written);

  /// A call begins: what follows until end_call() belongs to it.
  void begin_call(std::string_view operation, double flop, bool halves);
  void tensor(const void* address, int64_t bytes, bool read, bool written);
  void end_call();
  void note(LedgerCall call);

  void push_range(std::string_view name) { ranges_.emplace_back(name); }
  void pop_range() { ranges_.pop_back(); }

  const DeviceFacts& gpu() const { return gpu_; }
  bool libraries() const { return libraries_; }
  /// Where entries go: the work itself, or that of a recording.
  LedgerDevice::Work*& into() { return into_; }

 private:
  struct Region {
    const std::byte* begin;
    int64_t bytes;
    bool read, written;
    bool scratch = false;
    bool counted_read = false, counted_written = false;  // in the running launch
    bool in_value = false;                               // there, by a pointer inside a value
    std::optional<size_t> filled_by = std::nullopt;      // scratch: the entry of the launch that was given it so and filled it
  };
  Region* region_of(const void* address);
  /// Adds the tensors of at most `most` bytes.
  void count(const Argument& argument, int64_t most, LedgerEntry& entry);
  LedgerEntry& add(LedgerEntry::Kind kind, std::string_view name, int64_t read, int64_t written);

  DeviceFacts gpu_;
  bool libraries_;
  uintptr_t next_;
  size_t held_ = 0;
  std::map<const void*, size_t> living_;
  std::vector<std::string> ranges_;
  std::string operation_;
  double flop_ = 0;
  bool halves_ = false;
  std::vector<Region> regions_;
  LedgerDevice::Work* into_ = nullptr;
};

/// The account of a stream that only counts.
inline LedgerAccount* ledger_of(const Stream& stream) { return static_cast<LedgerAccount*>(stream.account()); }

}  // namespace mirilla::simt
