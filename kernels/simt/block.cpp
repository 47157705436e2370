// SPDX-License-Identifier: MIT
#include "kernels/simt/block.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace mirilla::simt {

namespace {

constexpr int kWarpLanes = 32;
constexpr size_t kSharedAlignment = 128, kSharedGuard = 128;
constexpr std::byte kPoison{0xFF}, kGuardByte{0xFE};

thread_local BlockRunner* t_running = nullptr;

#if defined(__SANITIZE_ADDRESS__)
void forbid(const std::byte* address, size_t bytes) { __asan_poison_memory_region(address, bytes); }
void allow(const std::byte* address, size_t bytes) { __asan_unpoison_memory_region(address, bytes); }
#else
void forbid(const std::byte*, size_t) {}
void allow(const std::byte*, size_t) {}
#endif

std::string text_of(std::source_location where) {
  const std::string_view file = where.file_name();
  return fmt::format("{}:{}", file.substr(file.find_last_of('/') + 1), where.line());
}

bool same_place(std::source_location a, std::source_location b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

}  // namespace

BlockRunner& BlockRunner::of_this_thread() {
  thread_local BlockRunner runner;
  return runner;
}

BlockRunner::~BlockRunner() {
  closing_ = true;  // each fiber's loop ends at its next resume
  for (const auto& fiber : fibers_) fiber->resume();
}

uint64_t BlockRunner::run(const GridCall& call, uint64_t block, uint64_t seed) {
  if (t_running) throw DeviceError(fmt::format("{}: a kernel launched from within {}", call.kernel, position()));
  call_ = &call;
  t_running = this;
  prepare(block, seed);
  try {
    schedule();
  } catch (...) {
    error_ = std::current_exception();
  }
  if (error_) abandon();
  allow(shared_, call.shared_bytes + kSharedGuard);
  if (!error_) check_shared_guard();
  t_running = nullptr;
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  return switches_;
}

void BlockRunner::prepare(uint64_t block, uint64_t seed) {
  const dim3 b = call_->block, g = call_->grid;
  threads_ = static_cast<int>(b.x * b.y * b.z);
  blockDim = b;
  gridDim = g;
  blockIdx = {static_cast<unsigned>(block % g.x), static_cast<unsigned>(block / g.x % g.y), static_cast<unsigned>(block / g.x / g.y)};
  lanes_.assign(static_cast<size_t>(threads_), {});
  order_.resize(static_cast<size_t>(threads_));
  std::iota(order_.begin(), order_.end(), 0);
  shuffled_ = seed != 0;
  if (shuffled_) {
    random_.seed(static_cast<uint32_t>(seed ^ seed >> 32));
    std::shuffle(order_.begin(), order_.end(), random_);
  }
  next_ = 0;
  ready_.clear();
  waiting_ = ended_ = 0;
  meetings_.clear();
  switches_ = 0;

  const size_t wanted = call_->shared_bytes + kSharedAlignment + kSharedGuard;
  if (shared_storage_.size() < wanted) shared_storage_.resize(wanted);
  const auto start = reinterpret_cast<uintptr_t>(shared_storage_.data());
  shared_ = shared_storage_.data() + ((kSharedAlignment - start % kSharedAlignment) % kSharedAlignment);
  std::fill_n(shared_, call_->shared_bytes, kPoison);
  std::fill_n(shared_ + call_->shared_bytes, kSharedGuard, kGuardByte);
  forbid(shared_ + call_->shared_bytes, kSharedGuard);
}

void BlockRunner::check_shared_guard() {
  const std::byte* const end = shared_ + call_->shared_bytes;
  if (std::all_of(end, end + kSharedGuard, [](std::byte b) { return b == kGuardByte; })) return;
  error_ = std::make_exception_ptr(
      DeviceError(fmt::format("{}: a write past the block's {} bytes of dynamic shared memory", position(0), call_->shared_bytes),
                  "the launcher asked for too little"));
}

// Threads whose wait is over run first, so that few stacks are in use at a time; then those that have not started.
void BlockRunner::schedule() {
  while (ended_ < threads_) {
    ++switches_;
    if (!ready_.empty()) {
      const int thread = ready_.back();
      ready_.pop_back();
      enter(thread);
      fibers_[static_cast<size_t>(lanes_[static_cast<size_t>(thread)].fiber)]->resume();
    } else if (next_ < order_.size()) {
      fibers_[idle_fiber()]->resume();
    } else {
      fail_stuck();
    }
    if (error_) return;
  }
}

size_t BlockRunner::idle_fiber() {
  if (idle_.empty()) {
    const size_t number = fibers_.size();
    fibers_.push_back(std::make_unique<Fiber>([this, number] { fiber_loop(number); }));
    return number;
  }
  const size_t number = idle_.back();
  idle_.pop_back();
  return number;
}

void BlockRunner::fiber_loop(size_t fiber) {
  while (!closing_) {
    try {
      run_threads_of(fiber);
    } catch (const Abandoned&) {
    } catch (...) {
      if (!error_) error_ = std::current_exception();
      lanes_[static_cast<size_t>(current_)].state = State::ended;
    }
    idle_.push_back(fiber);
    fibers_[fiber]->suspend();
  }
}

// One thread after the other on this stack. A thread that waits suspends the stack, and another stack takes the next thread.
void BlockRunner::run_threads_of(size_t fiber) {
  while (next_ < order_.size() && ready_.empty()) {
    const int thread = order_[next_++];
    lanes_[static_cast<size_t>(thread)].fiber = static_cast<int>(fiber);
    enter(thread);
    call_->thread();
    lanes_[static_cast<size_t>(thread)].state = State::ended;
    ++ended_;
  }
}

void BlockRunner::enter(int thread) {
  current_ = thread;
  const auto t = static_cast<unsigned>(thread);
  threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
  lanes_[static_cast<size_t>(thread)].state = State::ready;
}

void BlockRunner::wait() {
  const int thread = current_;
  fibers_[static_cast<size_t>(lanes_[static_cast<size_t>(thread)].fiber)]->suspend();
  if (abandoning_) throw Abandoned();
}

int BlockRunner::block_barrier(BarrierKind kind, bool predicate, std::source_location where) {
  const auto thread = static_cast<size_t>(current_);
  Lane& lane = lanes_[thread];
  lane.state = State::at_barrier;
  lane.kind = kind;
  lane.predicate = predicate;
  lane.where = where;
  if (waiting_++ == 0) first_waiting_ = current_;
  const Lane& first = lanes_[static_cast<size_t>(first_waiting_)];
  if (kind != first.kind || !same_place(where, first.where))
    fail(
        fmt::format("the barriers diverge: thread {} waits at {} and this one at {}", first_waiting_, text_of(first.where), text_of(where)),
        "every thread of a block has to reach the same __syncthreads");
  if (waiting_ == threads_) {
    release_barrier();
  } else {
    wait();
  }
  return lanes_[thread].barrier_result;
}

void BlockRunner::release_barrier() {
  const auto count = static_cast<int>(std::count_if(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.predicate; }));
  waiting_ = 0;
  for (size_t i = lanes_.size(); i-- > 0;) {
    Lane& lane = lanes_[i];
    switch (lane.kind) {
      case BarrierKind::plain: break;
      case BarrierKind::count: lane.barrier_result = count; break;
      case BarrierKind::all: lane.barrier_result = count == threads_; break;
      case BarrierKind::any: lane.barrier_result = count > 0; break;
    }
    lane.state = State::ready;
    if (order_[i] != current_) ready_.push_back(order_[i]);  // the last to arrive runs on, without a switch
  }
  if (shuffled_) std::shuffle(ready_.begin(), ready_.end(), random_);
}

// Called by the first lane to arrive: checks that the others can arrive too.
void BlockRunner::check_new_meeting(int warp, unsigned mask, std::source_location where) const {
  const unsigned self = 1u << (current_ % kWarpLanes);
  if ((mask & self) == 0) fail(fmt::format("a lane calls a warp function with the mask {:#010x}, without itself", mask));
  const int lanes = std::min(kWarpLanes, threads_ - warp * kWarpLanes);
  if (lanes < kWarpLanes && mask >> lanes != 0)
    fail(fmt::format("the mask {:#010x} of a warp function names lane {} and the block has {} threads", mask,
                     std::countr_zero(mask >> lanes) + lanes, threads_));
  constexpr std::string_view kHint = "every lane in the mask has to call the same warp function";
  for (int i = 0; i < lanes; ++i) {
    if ((mask >> i & 1u) == 0) continue;
    const Lane& lane = lanes_[static_cast<size_t>(warp * kWarpLanes + i)];
    if (lane.state == State::ended)
      fail(fmt::format("lane {} of the mask {:#010x} has ended before the warp function at {}", i, mask, text_of(where)), kHint);
    // A lane that waits for this one elsewhere never arrives here. A lane that waits only for others will still arrive.
    if (lane.state == State::at_warp && (lane.mask & self) != 0)
      fail(fmt::format("the warp diverges: lane {} waits at {} with the mask {:#010x}, another at {} with {:#010x}", i, text_of(lane.where),
                       lane.mask, text_of(where), mask),
           kHint);
    if (lane.state == State::at_barrier)
      fail(fmt::format("lane {} of the mask {:#010x} waits at the barrier of {}, another at the warp function of {}", i, mask,
                       text_of(lane.where), text_of(where)),
           kHint);
  }
}

BlockRunner::Meeting& BlockRunner::meeting_of(int warp, unsigned mask, std::source_location where) {
  for (Meeting& meeting : meetings_)
    if (meeting.warp == warp && meeting.mask == mask && (mask >> (current_ % kWarpLanes) & 1u) != 0 && same_place(meeting.where, where))
      return meeting;
  check_new_meeting(warp, mask, where);
  meetings_.push_back({.warp = warp, .mask = mask, .where = where});
  return meetings_.back();
}

void BlockRunner::join_warp(unsigned mask, void* mine, void* function, void (*all)(void*, void**), std::source_location where) {
  const int warp = current_ / kWarpLanes, self = current_ % kWarpLanes;
  Meeting& meeting = meeting_of(warp, mask, where);
  meeting.come |= 1u << self;
  meeting.brought[static_cast<size_t>(self)] = mine;
  if (meeting.come != mask) {
    Lane& lane = lanes_[static_cast<size_t>(current_)];
    lane.state = State::at_warp;
    lane.mask = mask;
    lane.where = where;
    return wait();
  }
  all(function, meeting.brought.data());
  for (unsigned others = mask & ~(1u << self); others != 0; others &= ~std::bit_floor(others)) {  // the last first: ready_ is a stack
    const int other = warp * kWarpLanes + std::bit_width(others) - 1;
    lanes_[static_cast<size_t>(other)].state = State::ready;
    ready_.push_back(other);
  }
  std::swap(meeting, meetings_.back());
  meetings_.pop_back();
}

void BlockRunner::fail_stuck() const {
  if (!meetings_.empty()) {
    const Meeting& meeting = meetings_.front();
    const int here = std::countr_zero(meeting.come), missing = std::countr_zero(meeting.mask & ~meeting.come);
    const bool ended = lanes_[static_cast<size_t>(meeting.warp * kWarpLanes + missing)].state == State::ended;
    throw DeviceError(fmt::format("{}: waits forever at the warp function of {} with the mask {:#010x}; lane {} {}",
                                  position(meeting.warp * kWarpLanes + here), text_of(meeting.where), meeting.mask, missing,
                                  ended ? "has ended" : "waits elsewhere"),
                      "every lane in the mask has to call it");
  }
  const auto ended = std::find_if(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.state == State::ended; });
  throw DeviceError(fmt::format("{}: waits forever at the barrier of {}; thread {} has ended without it", position(first_waiting_),
                                text_of(lanes_[static_cast<size_t>(first_waiting_)].where), ended - lanes_.begin()),
                    "every thread of a block has to reach the same __syncthreads");
}

// Unwinds the waiting stacks, so that the runner can be used again.
void BlockRunner::abandon() {
  abandoning_ = true;
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const Lane& lane = lanes_[i];
    const bool suspended = lane.state == State::at_barrier || lane.state == State::at_warp ||
                           std::find(ready_.begin(), ready_.end(), static_cast<int>(i)) != ready_.end();
    if (suspended) fibers_[static_cast<size_t>(lane.fiber)]->resume();
  }
  abandoning_ = false;
}

std::string BlockRunner::position(int thread) const {
  const auto t = static_cast<unsigned>(thread);
  const dim3 b = call_->block;
  return fmt::format("{}, block ({},{},{}), thread ({},{},{})", call_->kernel, blockIdx.x, blockIdx.y, blockIdx.z, t % b.x, t / b.x % b.y,
                     t / b.x / b.y);
}

// --- What kernels call -------------------------------------------------------------------------------------------------------------------

namespace {
BlockRunner& runner(std::string_view what) {
  if (!t_running) throw DeviceError(fmt::format("{} was called outside a kernel", what));
  return *t_running;
}
}  // namespace

int block_barrier(BarrierKind kind, bool predicate, std::source_location where) {
  return runner("__syncthreads").block_barrier(kind, predicate, where);
}

void join_warp(unsigned mask, void* mine, void* function, void (*all)(void*, void**), std::source_location where) {
  runner("a warp function").join_warp(mask, mine, function, all, where);
}

int thread_in_block() { return runner("thread_in_block").thread(); }
void* dynamic_shared_memory() { return runner("dynamic_shared_memory").shared_memory(); }

void fail(std::string_view what, std::string_view hint) {
  if (!t_running) throw DeviceError(what, hint);
  throw DeviceError(fmt::format("{}: {}", t_running->position(), what), hint);
}

void device_assert(const char* condition, std::source_location where) {
  fail(fmt::format("the assertion '{}' at {} does not hold", condition, text_of(where)));
}

void fail_misaligned(const void* address, size_t alignment) {
  fail(fmt::format("an access of {} bytes at an address that leaves {} over", alignment, reinterpret_cast<uintptr_t>(address) % alignment),
       "a vector access has to be aligned to its size");
}

}  // namespace mirilla::simt
