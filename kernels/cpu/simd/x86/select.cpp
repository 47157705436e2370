// SPDX-License-Identifier: MIT
#include <string.h>

#include "kernels/cpu/simd/x86/tables.h"

namespace mirilla::cpu {

namespace {

// The compiler's built-in also checks that the operating system saves the wide registers.
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
}

}  // namespace

const Loops* wide_loops(const char* name) {
  if (strcmp(name, "avx512") == 0 && has_avx512()) return &avx512_loops();
  if (strcmp(name, "avx2") == 0 && has_avx2()) return &avx2_loops();
  return nullptr;
}

const Loops& best_loops() {
  if (has_avx512()) return avx512_loops();
  return has_avx2() ? avx2_loops() : baseline_loops();
}

}  // namespace mirilla::cpu
