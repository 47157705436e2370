// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/emulate/cards.h"
#include "kernels/ptx/machine.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::emulate {

/// The n-th call of a function of the runtime, of cuDNN or of cuBLASLt fails.
struct Failure {
  std::string call;
  ptx::u64 number = 1;
  cudaError_t error = cudaErrorUnknown;
  std::string status = {};  // of a library's function, in place of an error: "CUDNN_STATUS_EXECUTION_FAILED"
};

/// The n-th call of a function of the runtime does what a wrong program would do; 0: every call of it.
struct Mistake {
  enum class Kind {
    kNone,
    kDrop,   // does nothing and returns success: the program left the call out
    kStray,  // happens on a stream that nobody waits for
    kShort,  // a copy or fill leaves its last byte out
    kWait,   // comes after a wait for the device, which is forbidden while a stream captures
    kEarly,  // memory is released as soon as it was given out
    kAlter,  // of a library: what it is given is another number, type or address; `call` is the function or the attribute
  };
  Kind kind = Kind::kNone;
  std::string call;
  ptx::u64 number = 1;
};

struct Settings {
  const Card* card = &cards().front();
  size_t memory_bytes = cards().front().memory_bytes;
  int multiprocessors = 0;  // of each card at most; 0: all
  int gpus = 1;
  std::vector<const Card*> each;  // where several were named: of each GPU its card, with the memory of that card or memory_bytes
  bool own_memory = false;        // memory_bytes was given

  const Card& card_of(int gpu) const { return each.empty() ? *card : *each[static_cast<size_t>(gpu)]; }
  int multiprocessors_of(const Card& of) const {
    return multiprocessors == 0 ? of.multiprocessors : std::min(multiprocessors, of.multiprocessors);
  }
  size_t memory_of(int gpu) const { return each.empty() || own_memory ? memory_bytes : card_of(gpu).memory_bytes; }
  ptx::u64 seed = 0;
  unsigned threads = 0;  // host threads that run blocks; 0: one for each core
  ptx::Detectors detect;
  bool count = false;    // print counts per kernel at the end
  bool summary = false;  // print one line at the end
  bool calls = false;    // print at the end how often each function was called
  std::string coverage;  // the file for what ran of every kernel; empty: not written
  std::string ptx_folder;
  std::vector<Failure> failures;
  std::vector<Mistake> mistakes;
};

/// From environment variables, "" where one is not set. Throws UsageError.
///
///   MIRILLA_EMULATE          the card, h200 by default; several of them, comma-separated: h200,h200
///   MIRILLA_EMULATE_MEMORY   its memory: 512M, 2G
///   MIRILLA_EMULATE_MULTIPROCESSORS  fewer than the card has: small work then fills it
///   MIRILLA_EMULATE_GPUS     how many of them, 1 to 16
///   MIRILLA_EMULATE_SEED     not 0: streams, blocks, warps and lanes take turns in another legal order
///   MIRILLA_EMULATE_THREADS  host threads
///   MIRILLA_EMULATE_DETECT   comma-separated: races, unwritten, constant
///   MIRILLA_EMULATE_REPORT   comma-separated, what to print to stderr at the end: summary, calls, count;
///                            coverage:FILE writes which instructions of which kernels ran (coverage.h)
///   MIRILLA_EMULATE_PTX      a folder for the program's PTX, which may be edited (ptx_folder.h)
///   MIRILLA_EMULATE_FAIL     comma-separated CALL:N:ERROR, for example cudaGraphLaunch:3:outofmemory or
///                            cudnnBackendExecute:3:CUDNN_STATUS_EXECUTION_FAILED
///   MIRILLA_EMULATE_MISTAKE  comma-separated KIND:CALL:N, for example drop:cudaStreamWaitEvent:3; N may be `all`; KIND: drop, stray,
///                            short, wait, early, alter (Mistake)
Settings read_settings(const std::function<std::string(const char*)>& variable);

}  // namespace mirilla::emulate
