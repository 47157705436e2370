// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/amp/precision.h"
#include "kernels/ledger.h"
#include "nn/inspect/gpus.h"
#include "nn/modules/resnet.h"

namespace mirilla::nn {

struct CostOptions {
  ResNetSpec network = {};
  bool training = false;
  int64_t batch_size = 1;
  int size = 224;    // the network's input
  int resize = 256;  // pictures as they are before augmentation
  amp::Precision precision = amp::Precision::fp16;
  bool input = true;      // with the augmentation that makes the input
  bool libraries = true;  // false: our own convolutions and products
};

/// A sum over pieces of work.
struct CostSum {
  int64_t launches = 0;  // of kernels and libraries, copies and sends
  int64_t read = 0, written = 0;
  double flop = 0;
  double us = 0;        // predicted
  double limit_us = 0;  // if each moved its bytes at the memory's highest rate, or computed at the GPU's, whichever takes longer
  int64_t bytes() const { return read + written; }
  double share_of_limit() const { return us > 0 ? limit_us / us : 0; }
};

struct CostRow {
  std::string name;
  std::string operation;                               // of a kernel; empty for a module
  LedgerEntry::Kind kind = LedgerEntry::Kind::kernel;  // of a kernel
  CostSum sum;
};

/// What one step is given to a GPU, and how long it should take.
struct Cost {
  std::vector<CostRow> modules;  // input, stem, layer1..layer4, head, loss, optimizer, in this order; those that have work
  std::vector<CostRow> kernels;  // the longest first
  CostSum total;
  int64_t floor_bytes = 0;                          // every tensor of convolutions, products and the optimizer moved once
  int64_t eager_bytes = 0, compiled_bytes = 0;      // what PyTorch moves, by formula
  int64_t memory_bytes = 0;                         // the most that tensors take at one time, without the libraries' workspace
  std::vector<LedgerEntry> entries;                 // in order
  double pictures_per_s(int64_t batch_size) const;  // predicted
};

/// Runs three steps of the network, without a seed, on a ledger (kernels/ledger.h): one eagerly, one recorded, and one replayed, which is
/// the answer. Takes a second or two for any batch, since nothing is computed. Throws OutOfMemory if the GPU is too small.
Cost cost_of(const CostOptions& options, const GpuModel& gpu);

/// The same steps on a device, with a network that has a seed: the seconds that each took. The first is eager, the second recorded where
/// the device can. Waits.
std::vector<double> time_steps(const CostOptions& options, Device& device, int steps);

}  // namespace mirilla::nn
