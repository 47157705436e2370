// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/error.h"
#include "kernels/ptx/memory.h"
#include "kernels/ptx/module.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace mirilla::ptx {

struct Counts;  // kernels/ptx/count.h

struct Dim {
  u32 x = 1, y = 1, z = 1;
  u64 count() const { return u64{x} * y * z; }
  bool operator==(const Dim&) const = default;
};

/// A place in the source, from .loc; `function` where the line is inside an inlined function.
struct SourceLine {
  std::string file;
  u32 line = 0;
  u32 column = 0;
  std::string function;
};

/// What a kernel did wrong, and where.
class Fault : public DeviceError {
 public:
  enum class Kind {
    kOutside,  // no memory there, or past its end
    kFreed,    // memory that was freed
    kMisaligned,
    kReadOnly,     // a write to .const memory or to the parameters
    kUnwritten,    // a read of unwritten memory
    kNotConstant,  // an .nc load of memory that the same launch writes
    kRace,
    kLanesMissing,  // at a shuffle, a vote, an mma ...
    kDivergentBarrier,
    kDeadlock,  // all threads wait
    kTrap,
    kLimit,  // the launch asks for more than the device has
    kOther,
  };

  Fault(Kind what, std::string_view message, std::string_view advice = {}) : DeviceError(message, advice), kind(what) {}

  Kind kind;
  std::string kernel;
  Dim block{0, 0, 0};
  Dim thread{0, 0, 0};
  u32 ptx_line = 0;
  std::string ptx_text;
  std::vector<SourceLine> source;  // the position, then where that was inlined, and so on outwards
};

std::string_view name_of(Fault::Kind kind);

struct Limits {
  u64 threads = 1024;
  Dim block{1024, 1024, 64};
  Dim grid{0x7fffffff, 65535, 65535};
  size_t static_shared = 48 * 1024;
  size_t shared = 227 * 1024;       // static and dynamic together, with the opt-in
  size_t registers = 65536;         // of a block
  size_t registers_per_thread = 0;  // of this kernel as ptxas allocates them; 0: unknown, not checked
};

/// Bounds, alignment, lanes missing, divergent barriers and launch limits are always checked. These checks cost time:
struct Detectors {
  bool unwritten = false;  // reads of global, shared and local memory that was not written before
  bool races = false;      // shared memory between barriers, global memory between blocks
  bool constant = false;   // .nc loads of what the same launch writes
};

struct Options {
  /// 0: lowest program counter first, warp after warp, block after block on each host thread. Any other seed gives another legal order:
  /// warps, lanes and blocks take turns at random, and lanes that could run together are split.
  u64 seed = 0;
  Detectors detect;
  /// Host threads that run blocks; 0: as many as the processor has. One where a seed, a detector or counts are asked for.
  unsigned threads = 0;
  /// All blocks of the grid run at the same time, as a cooperative launch requires.
  bool cooperative = false;
  /// The grid's barrier of a cooperative launch, in the device's memory: what the kernel finds in %envreg1 and %envreg2.
  u64 workspace = 0;
  /// The most warp instructions of a block, after which the launch ends with a Fault; 0: no limit.
  u64 patience = 0;
  Limits limits;
  Counts* counts = nullptr;
  /// One per instruction of the module (Module::instruction_count): set to 1 once a lane has executed it, or reached it as a branch.
  u8* ran = nullptr;
  /// Where printf goes; if empty, nowhere.
  std::function<void(std::string_view)> print;
  /// Receives what a detector found, and the kernel goes on. If empty, the first finding is thrown.
  std::function<void(const Fault&)> found;
};

struct Work {
  u64 blocks = 0;
  u64 warp_instructions = 0;
  u64 lane_instructions = 0;
};

/// Throws Fault where the launch asks for more than the device or the kernel allows.
void check_launch(const Kernel& kernel, Dim grid, Dim block, size_t parameters, size_t dynamic_shared, const Limits& limits);

class Worker;

/// Runs kernels of modules, one launch after another; keeps host threads and their buffers between launches.
class Machine {
 public:
  Machine();
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  /// Runs the kernel to its end. `parameters` are the bytes of all parameters as Kernel::parameters lays them out; `dynamic_shared` bytes
  /// of shared memory follow the static ones. Throws Fault. After a fault, memory keeps what the kernel wrote so far.
  Work launch(const Module& module, const Kernel& kernel, Dim grid, Dim block, std::span<const std::byte> parameters,
              size_t dynamic_shared = 0, const Options& options = {});

 private:
  std::vector<std::unique_ptr<Worker>> workers_;
  u32 launches_ = 0;
};

}  // namespace mirilla::ptx
