// SPDX-License-Identifier: MIT
#include "kernels/emulate/stream.h"

#include "kernels/emulate/runtime.h"

namespace mirilla::emulate {

bool Mark::reached() const { return !stream || stream->done >= at; }

}  // namespace mirilla::emulate

using mirilla::emulate::Mark;
using mirilla::emulate::Runtime;
using mirilla::ptx::u64;

std::shared_ptr<Mark> CUstream_st::mark() {
  auto made = std::make_shared<Mark>();
  made->stream = shared_from_this();
  made->at = given;
  return made;
}

void CUstream_st::give_wait(std::shared_ptr<Mark> mark) {
  if (mark->reached()) return;
  ++given;
  waiting.push_back({nullptr, std::move(mark)});
}

void CUstream_st::begin(Runtime& runtime) {
  const auto& legacy = runtime.devices[static_cast<size_t>(device)]->legacy;
  if (this == legacy.get()) {
    for (const auto& [handle, other] : runtime.streams) {
      if (other->blocking && other->device == device) give_wait(other->mark());
    }
  } else if (blocking) {
    give_wait(legacy->mark());
  }
}

void CUstream_st::give(Runtime& runtime, std::function<void()> run) {
  ++given;
  waiting.push_back({std::move(run), nullptr});
  runtime.wander();
}

void CUstream_st::advance(Runtime& runtime, u64 n) {
  if (running) return;  // called from its own work: what is waited for came earlier
  running = true;
  while (done < n && !waiting.empty()) {
    const Operation next = std::move(waiting.front());
    waiting.pop_front();
    if (next.wait) {
      if (!next.wait->reached()) next.wait->stream->advance(runtime, next.wait->at);
    } else {
      next.run();
    }
    ++done;
  }
  running = false;
}

bool CUstream_st::ready() const { return !running && !waiting.empty() && (!waiting.front().wait || waiting.front().wait->reached()); }
