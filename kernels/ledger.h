// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/device.h"

/// What a GPU would be given, on any machine: a device that computes nothing and keeps an account.
///
/// The launchers of kernels/cuda run as they do for a GPU with these facts, in the order of the program, and each launch is noted in place
/// of being run; so the launches are those of the program and cannot drift from it. Their bytes are derived: each tensor of the call, and
/// each scratch memory, that a launch is given the address of counts once. NVIDIA's libraries are asked by the rules of kernels/cuda/vendor
/// and are assumed to take what they are asked for, in one launch each.
namespace mirilla {

/// One piece of work that a GPU would be given.
struct LedgerEntry {
  enum class Kind : uint8_t {
    kernel,   // of ours
    library,  // a convolution by cuDNN, a product by cuBLASLt
    copy,     // within the device, fills too
    send,     // between the host and the device
  };
  Kind kind = Kind::kernel;
  std::string name;               // "adam_kernel", "cuDNN forward", "copy"
  std::string operation;          // of the table: "adam"; empty outside any
  std::string range;              // the innermost module: "layer1.0.conv1", "the backward of conv2d in layer1.0.conv1"; empty outside any
  int64_t blocks = 0;             // of a kernel; a guess for a library: see libraries.cpp
  int64_t read = 0, written = 0;  // bytes
  double flop = 0;                // of convolutions and products only
  bool halves = false;            // these run on tensor cores, in f16 or bf16
  bool replayed = false;          // a node of a graph
};

/// One call of the table of operations, and the bytes that it moves at least and elsewhere.
struct LedgerCall {
  std::string operation;
  std::string range;
  /// If every tensor of the convolutions, the products and the optimizer moves once, and everything else is fused into these.
  int64_t floor = 0;
  /// If PyTorch computes it eagerly, one kernel per operator; and compiled, where neighbours without a reduction between them are fused.
  int64_t eager = 0, compiled = 0;
};

class LedgerDevice : public Device {
 public:
  struct Work {
    std::vector<LedgerEntry> entries;
    std::vector<LedgerCall> calls;
  };
  /// Everything since the last call.
  virtual Work take() = 0;
};

/// The facts of a GPU by which launchers choose their grids.
struct LedgerOptions {
  std::string name;  // "H200"
  int compute_capability = 90;
  int multiprocessors = 132;
  int threads_per_multiprocessor = 2048;
  size_t memory_bytes = 0;  // what can be allocated; 0: any amount
  bool libraries = true;    // false: our own convolutions and products, as with MIRILLA_VENDOR=off
};
/// A device of its own, called "ledger", which lives as long as the program. It replays, and copies to the host are zeros. One thread may
/// use it at a time.
LedgerDevice& new_ledger_device(const LedgerOptions& options);

}  // namespace mirilla
