// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace mirilla::cuda::vendor {

/// How NVIDIA's libraries are to be used. Read once from the environment:
///
///   MIRILLA_VENDOR         on (the default), off, cudnn or cublaslt: only that one; our own kernels do the rest
///   MIRILLA_WORKSPACE      bytes that a call may take beside its operands, with K, M or G for the powers of 1024; 1G
///   MIRILLA_DETERMINISTIC  1: only ways that give the same bits at each run
///   MIRILLA_TF32           1: convolutions in f32 may round what they read to TF32, as PyTorch's do unless told otherwise
struct Options {
  bool cudnn = true;
  bool cublaslt = true;
  size_t workspace_bytes = size_t{1} << 30;
  bool deterministic = false;
  bool tf32 = false;
  bool operator==(const Options&) const = default;
};

/// What the environment says. Throws UsageError naming a variable that says something else.
Options options_from_environment();

/// Those in force: the environment's, until set_options is called. Not while a call is under way.
const Options& options();
void set_options(const Options& wanted);

}  // namespace mirilla::cuda::vendor
