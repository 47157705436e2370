// SPDX-License-Identifier: MIT
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <vector>

namespace mirilla::simt {

/// The blocks of a grid that are alive at the same time, each on a thread of the host, and wait for flags that others raise.
class Together {
 public:
  /// Of the block that runs on this thread of the host; null where blocks run one after the other.
  static Together* here();

  explicit Together(int blocks) : running_(blocks) {}

  /// Sets the flag to 1. What the block wrote before is visible to those that wait for it.
  void raise(unsigned* flag);
  /// Returns when the flag is not 0. Throws DeviceError where every other block has ended or waits, or one has failed.
  void wait(const unsigned* flag);

  /// Runs block(i) for 0 <= i < blocks, each on a thread of its own, and waits for all. Threads are kept for the next call. Throws
  /// DeviceError where the system does not allow as many. block must not throw, and calls fail() where the block failed.
  static void run(int blocks, const std::function<void(int i, Together& all)>& block);
  void fail();

 private:
  void leave();
  bool stuck() const;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<const unsigned*> waiting_;
  int running_;
  bool failed_ = false;
  bool endless_ = false;  // it failed because all waited
};

}  // namespace mirilla::simt
