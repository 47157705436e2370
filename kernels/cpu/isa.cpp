// SPDX-License-Identifier: MIT
#include "kernels/cpu/isa.h"

#include <cstdlib>
#include <string>

#include "kernels/core/error.h"

namespace mirilla::cpu {

namespace {

const Loops& find(std::string_view name) {
  if (name == "baseline") return baseline_loops();
  if (const Loops* wide = wide_loops(std::string(name).c_str())) return *wide;
  std::string known;
  for (const std::string_view each : loop_names()) known += fmt::format("{}{}", known.empty() ? "" : ", ", each);
  throw DeviceError(fmt::format("this machine has no instruction set '{}'", name), fmt::format("MIRILLA_CPU_ISA can be one of {}", known));
}

const Loops*& current() {
  static const Loops* chosen = [] {
    const char* asked = std::getenv("MIRILLA_CPU_ISA");
    return asked && *asked ? &find(asked) : &best_loops();
  }();
  return chosen;
}

}  // namespace

const Loops& loops() { return *current(); }

void use_loops(std::string_view name) { current() = &find(name); }

std::vector<std::string_view> loop_names() {
  std::vector<std::string_view> names{"baseline"};
  for (const char* name : {"avx2", "avx512"}) {
    if (wide_loops(name)) names.emplace_back(name);
  }
  return names;
}

}  // namespace mirilla::cpu
