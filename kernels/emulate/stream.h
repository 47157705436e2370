// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/types.h"

#include <cuda_runtime_api.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>

namespace mirilla::emulate {

struct Capture;
class Runtime;

/// A place in a stream: reached once the stream has done `at` operations. Without a stream it is always reached.
struct Mark {
  std::shared_ptr<CUstream_st> stream;
  ptx::u64 at = 0;
  std::chrono::steady_clock::time_point when;  // the work before it was done
  bool reached() const;
};

/// Work that is given to a stream or recorded into a graph. `start` is called when the work is given to a stream (each time a graph is
/// launched) and returns what the stream does later: what must hold in between is noted by the first and checked by the second.
struct Work {
  std::function<std::function<void()>(CUstream_st&)> start;
  cudaGraphNodeType type = cudaGraphNodeTypeEmpty;  // of its node in a graph
};
/// Nothing to note.
inline Work work_of(std::function<void()> run) {
  return {[run = std::move(run)](CUstream_st&) { return run; }, cudaGraphNodeTypeEmpty};
}

}  // namespace mirilla::emulate

/// A stream does nothing by itself. Its work is done when somebody waits for it, and no more than is waited for: whatever is not ordered
/// by an event or a wait is seen in the least convenient order. With a seed, streams also advance at random moments.
struct CUstream_st : std::enable_shared_from_this<CUstream_st> {
  explicit CUstream_st(int device_index, bool blocks) : device(device_index), blocking(blocks) {}

  struct Operation {
    std::function<void()> run;
    std::shared_ptr<mirilla::emulate::Mark> wait;  // what it waits for, if it is a wait
  };

  const int device;
  const bool blocking;  // with the default stream
  int priority = 0;
  std::deque<Operation> waiting;
  mirilla::ptx::u64 given = 0, done = 0;
  bool running = false;
  std::shared_ptr<mirilla::emulate::Capture> capture;  // nullptr: not capturing

  /// To be called before work is given: the default stream and blocking streams wait for each other.
  void begin(mirilla::emulate::Runtime& runtime);
  void give(mirilla::emulate::Runtime& runtime, std::function<void()> run);
  void give_wait(std::shared_ptr<mirilla::emulate::Mark> mark);
  /// Does its work up to the n-th operation.
  void advance(mirilla::emulate::Runtime& runtime, mirilla::ptx::u64 n);
  void drain(mirilla::emulate::Runtime& runtime) { advance(runtime, given); }
  /// Whether its next operation can be done without another stream.
  bool ready() const;
  std::shared_ptr<mirilla::emulate::Mark> mark();  // after all work given so far
};

struct CUevent_st {
  unsigned flags = 0;
  int device = 0;
  std::shared_ptr<mirilla::emulate::Mark> mark;       // nullptr: never recorded
  std::weak_ptr<mirilla::emulate::Capture> captured;  // recorded into this capture
  cudaStream_t captured_on = nullptr;
  unsigned asked = 0;
};
