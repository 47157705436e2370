// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime.h>
#include <cstdio>
#include <cstdlib>
#include <source_location>

// For programs that know nothing of the tree: what is not as expected ends the program with its line.
inline void expect(bool holds, std::source_location where = std::source_location::current()) {
  if (holds) return;
  std::printf("line %u: not as expected\n", where.line());
  std::exit(1);
}
inline void expect(cudaError_t status, std::source_location where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  std::printf("line %u: %s\n", where.line(), cudaGetErrorString(status));
  std::exit(1);
}
