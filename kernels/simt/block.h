// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <random>
#include <source_location>
#include <string>
#include <vector>

#include "kernels/simt/executor.h"
#include "kernels/simt/fiber.h"

namespace mirilla::simt {

/// Runs one block at a time, on the host thread that owns this object. Its stacks are kept from block to block.
class BlockRunner {
 public:
  static BlockRunner& of_this_thread();

  BlockRunner() = default;
  ~BlockRunner();

  /// Runs block number `block` (x fastest) of the grid and returns the number of stack switches. Threads start in natural order, or in an
  /// order drawn from `seed` if it is not 0. Throws DeviceError.
  uint64_t run(const GridCall& call, uint64_t block, uint64_t seed);

  // What a running CUDA thread calls:
  int block_barrier(BarrierKind kind, bool predicate, std::source_location where);
  void join_warp(unsigned mask, void* mine, void* function, void (*all)(void*, void**), std::source_location where);
  int thread() const { return current_; }
  void* shared_memory() { return shared_; }
  /// "kernel, block (0,0,0), thread (5,0,0)"
  std::string position() const { return position(current_); }

 private:
  enum class State : uint8_t { unstarted, ready, at_barrier, at_warp, ended };
  struct Lane {
    State state = State::unstarted;
    int fiber = -1;
    BarrierKind kind = BarrierKind::plain;
    bool predicate = false;
    int barrier_result = 0;
    unsigned mask = 0;
    std::source_location where;
  };
  /// Lanes of a warp that have arrived at a warp function, until all lanes of its mask have.
  struct Meeting {
    int warp = 0;
    unsigned mask = 0, come = 0;
    std::source_location where;
    std::array<void*, 32> brought{};
  };
  struct Abandoned {};  // thrown in waiting threads once a thread of the block has failed

  void check_shared_guard();
  void prepare(uint64_t block, uint64_t seed);
  void schedule();
  void fiber_loop(size_t fiber);
  void run_threads_of(size_t fiber);
  size_t idle_fiber();
  void enter(int thread);
  void wait();
  void release_barrier();
  Meeting& meeting_of(int warp, unsigned mask, std::source_location where);
  void check_new_meeting(int warp, unsigned mask, std::source_location where) const;
  [[noreturn]] void fail_stuck() const;
  void abandon();
  std::string position(int thread) const;

  const GridCall* call_ = nullptr;
  int threads_ = 0;
  int current_ = 0;
  size_t next_ = 0;         // index in order_ of the next to start
  std::vector<int> order_;  // in which threads start
  bool shuffled_ = false;
  std::minstd_rand random_;
  std::vector<Lane> lanes_;
  std::vector<int> ready_;  // threads whose wait is over, last in first out
  int waiting_ = 0;         // at the barrier
  int first_waiting_ = 0;   // the thread that arrived first
  std::vector<Meeting> meetings_;
  int ended_ = 0;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<size_t> idle_;
  uint64_t switches_ = 0;
  std::exception_ptr error_;
  bool abandoning_ = false, closing_ = false;
  std::vector<std::byte> shared_storage_;
  std::byte* shared_ = nullptr;
};

}  // namespace mirilla::simt
