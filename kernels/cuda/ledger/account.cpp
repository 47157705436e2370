// SPDX-License-Identifier: MIT
#include "kernels/cuda/ledger/account.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/core/error.h"

namespace mirilla::simt {

namespace {

constexpr uintptr_t kFirstAddress = uintptr_t{0x7A6B} << 32;  // unlike any other value that a kernel is given
constexpr size_t kAlignment = 256;

// What a launch is given and does not touch: of one argument, the tensors of more than so many bytes.
struct Untouched {
  std::string_view kernel;
  size_t argument;
  int64_t more_than;
};
constexpr Untouched kUntouched[]{
    {"count_steps_kernel", 0, 8},  // the table of all tensors: of each only its count of steps, an i64
};

// What a block may ask for.                                                       [CUDA C++ Programming Guide, Compute Capabilities]
size_t shared_bytes_of(int compute_capability) {
  constexpr size_t kKiB = 1024;
  if (compute_capability == 80 || compute_capability == 87) return 163 * kKiB;
  if (compute_capability == 86 || compute_capability == 89 || compute_capability >= 120) return 99 * kKiB;
  return compute_capability >= 90 ? 227 * kKiB : 64 * kKiB;
}

int64_t most_bytes(std::string_view kernel, size_t argument) {
  for (const Untouched& one : kUntouched)
    if (kernel.starts_with(one.kernel) && argument == one.argument) return one.more_than;
  return std::numeric_limits<int64_t>::max();
}

}  // namespace

LedgerAccount::LedgerAccount(const LedgerOptions& options)
    : gpu_{.name = options.name,
           .compute_capability = options.compute_capability,
           .multiprocessors = options.multiprocessors,
           .threads_per_multiprocessor = options.threads_per_multiprocessor,
           .shared_bytes_per_block = shared_bytes_of(options.compute_capability),
           .memory_bytes = options.memory_bytes},
      libraries_(options.libraries),
      next_(kFirstAddress) {}

void* LedgerAccount::allocate(size_t bytes) {
  const size_t most = gpu_.memory_bytes;
  if (most > 0 && held_ + bytes > most) throw OutOfMemory(gpu_.name, {.wanted = bytes, .held = held_, .free = most - held_, .total = most});
  void* const address = reinterpret_cast<void*>(next_);
  next_ += (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  living_.emplace(address, bytes);
  held_ += bytes;
  return address;
}

void LedgerAccount::release(void* address) noexcept {
  const auto found = living_.find(address);
  if (found == living_.end()) return;
  held_ -= found->second;
  living_.erase(found);
}

void LedgerAccount::begin_call(std::string_view operation, double flop, bool halves) {
  operation_ = operation;
  flop_ = flop;
  halves_ = halves;
}

void LedgerAccount::tensor(const void* address, int64_t bytes, bool read, bool written) {
  if (address && bytes > 0) regions_.push_back({static_cast<const std::byte*>(address), bytes, read, written});
}

void LedgerAccount::end_call() {
  operation_.clear();
  flop_ = 0;
  regions_.clear();
}

void LedgerAccount::note(LedgerCall call) {
  if (!ranges_.empty()) call.range = ranges_.back();
  into_->calls.push_back(std::move(call));
}

void* LedgerAccount::take_scratch(size_t bytes) {
  void* const address = allocate(bytes);
  regions_.push_back({static_cast<const std::byte*>(address), static_cast<int64_t>(bytes), true, true, true});
  return address;
}

// Scratch inside a value that no later launch was given, the launch that filled it also read: its last block merges what others left.
void LedgerAccount::give_scratch(void* address) noexcept {
  std::erase_if(regions_, [&](const Region& region) {
    const bool given = region.scratch && region.begin == address;
    if (given && region.filled_by) into_->entries[*region.filled_by].read += region.bytes;
    return given;
  });
  release(address);
}

LedgerEntry& LedgerAccount::add(LedgerEntry::Kind kind, std::string_view name, int64_t read, int64_t written) {
  return into_->entries.emplace_back(LedgerEntry{.kind = kind,
                                                 .name = std::string(name),
                                                 .operation = operation_,
                                                 .range = ranges_.empty() ? std::string() : ranges_.back(),
                                                 .read = read,
                                                 .written = written});
}

// A tensor that begins there, else one that it lies in: a slice of scratch memory.
LedgerAccount::Region* LedgerAccount::region_of(const void* address) {
  const auto* const at = static_cast<const std::byte*>(address);
  Region* around = nullptr;
  for (Region& region : regions_) {
    if (region.begin == at) return &region;
    if (region.begin < at && at < region.begin + region.bytes) around = &region;
  }
  return around;
}

// A pointer says by its type whether the kernel reads or writes. Of one inside a value, as in a table of tensors, the call knows it. A
// table may hold pointers that an earlier call left on the stack, so each tensor counts once per launch.
void LedgerAccount::count(const Argument& argument, int64_t most, LedgerEntry& entry) {
  for (size_t at = 0; at + sizeof(void*) <= argument.size; at += sizeof(void*)) {
    const void* address = nullptr;
    std::memcpy(&address, static_cast<const std::byte*>(argument.bytes) + at, sizeof address);
    Region* const region = region_of(address);
    if (!region || region->bytes > most) continue;
    const bool value = argument.kind == Argument::Kind::value;
    // What a launch is given of scratch memory inside a value, it fills if nothing did before, and reads if something did.
    const bool reads = value ? (region->scratch ? !region->written : region->read) : argument.kind == Argument::Kind::read;
    const bool writes = value ? region->written : argument.kind == Argument::Kind::written;
    if (reads && !region->counted_read) entry.read += region->bytes;
    if (writes && !region->counted_written) entry.written += region->bytes;
    region->counted_read |= reads;
    region->counted_written |= writes;
    region->in_value |= value;
  }
}

void LedgerAccount::launched(std::string_view kernel, const LaunchShape& shape, std::span<const Argument> arguments) {
  LedgerEntry& entry = add(LedgerEntry::Kind::kernel, kernel, 0, 0);
  entry.blocks = int64_t{shape.grid.x} * shape.grid.y * shape.grid.z;
  entry.read += shape.read_again_bytes;
  for (Region& region : regions_) region.counted_read = region.counted_written = region.in_value = false;
  for (size_t i = 0; i < arguments.size(); ++i) count(arguments[i], most_bytes(kernel, i), entry);
  for (Region& region : regions_) {
    if (!region.scratch) continue;
    if (region.counted_read) region.filled_by.reset();
    if (!region.counted_written) continue;
    region.written = false;
    if (region.in_value) region.filled_by = into_->entries.size() - 1;
  }
  if (kernel.starts_with("product_kernel")) {  // our own convolutions and products
    entry.flop = flop_;
    entry.halves = halves_;
  }
}

void LedgerAccount::library_called(std::string_view name, int64_t read, int64_t written, int64_t blocks) {
  LedgerEntry& entry = add(LedgerEntry::Kind::library, name, read, written);
  entry.blocks = blocks;
  entry.flop = flop_;
  entry.halves = halves_;
}

void LedgerAccount::copied(void*, const void*, size_t bytes) {
  add(LedgerEntry::Kind::copy, "copy", static_cast<int64_t>(bytes), static_cast<int64_t>(bytes));
}

void LedgerAccount::filled(void*, size_t bytes) { add(LedgerEntry::Kind::copy, "fill", 0, static_cast<int64_t>(bytes)); }

void LedgerAccount::sent(std::string_view name, int64_t read, int64_t written) { add(LedgerEntry::Kind::send, name, read, written); }

}  // namespace mirilla::simt
