// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace mirilla::cuda::vendor {

/// How NVIDIA's libraries are to be used. Read once from the environment:
///
///   MIRILLA_VENDOR         on (the default), off, cudnn or cublaslt: only that one; our own kernels do the rest
///   MIRILLA_WORKSPACE      the most bytes a call may use beside its operands, with K, M or G for the powers of 1024; 1G
///   MIRILLA_DETERMINISTIC  1: only algorithms that give the same bits in each run
///   MIRILLA_TF32           1: convolutions in f32 may round their inputs to TF32, as PyTorch does by default
struct Options {
  bool cudnn = true;
  bool cublaslt = true;
  size_t workspace_bytes = size_t{1} << 30;
  bool deterministic = false;
  bool tf32 = false;
  bool operator==(const Options&) const = default;
};

/// The options from the environment. Throws UsageError naming a variable with an invalid value.
Options options_from_environment();

/// The options in force: the environment's, until set_options is called. Do not set them during a call.
const Options& options();
void set_options(const Options& wanted);

}  // namespace mirilla::cuda::vendor
