// SPDX-License-Identifier: MIT
#include "kernels/emulate/coverage.h"
#include "kernels/emulate/names.h"
#include "kernels/emulate/runtime.h"

#include <algorithm>
#include <cstdio>

namespace mirilla::emulate {

using ptx::u64;

namespace {

std::string line_of(const ptx::Counts::Kernel& kernel, std::string_view name) {
  const ptx::Count& total = kernel.total;
  return fmt::format("{:>9}{:>15}{:>16}{:>13}{:>13}{:>13}{:>12}{:>15}  {}", kernel.launches, total.warp_instructions,
                     total.lane_instructions, total.divergent_branches, total.sectors, total.sectors_needed, total.shared_conflicts,
                     total.tensor_products, name);
}

void print_counts(const ptx::Counts& counts) {
  std::vector<std::pair<std::string_view, const ptx::Counts::Kernel*>> kernels;
  for (const auto& [name, kernel] : counts.kernels) kernels.emplace_back(name, &kernel);
  std::stable_sort(kernels.begin(), kernels.end(),
                   [](const auto& a, const auto& b) { return a.second->total.warp_instructions > b.second->total.warp_instructions; });
  std::fputs("emulated GPU: counts\n", stderr);
  const std::string head = fmt::format("{:>9}{:>15}{:>16}{:>13}{:>13}{:>13}{:>12}{:>15}  {}\n", "launches", "warp instr.", "lane instr.",
                                       "divergent", "sectors", "needed", "conflicts", "products", "kernel");
  std::fputs(head.c_str(), stderr);
  for (const auto& [name, kernel] : kernels) std::fputs((line_of(*kernel, readable(std::string(name))) + "\n").c_str(), stderr);
}

}  // namespace

void Runtime::report() const {
  ptx::Work work;
  for (const auto& device : devices) {
    work.blocks += device->work.blocks;
    work.warp_instructions += device->work.warp_instructions;
    work.lane_instructions += device->work.lane_instructions;
  }
  if (settings.summary) {
    print_line(fmt::format("{}, seed {}: {} blocks, {:.1f} M warp instructions, {:.1f} M lane instructions in {:.2f} s, {:.0f} M a second",
                           settings.card->name, settings.seed, work.blocks, static_cast<double>(work.warp_instructions) * 1e-6,
                           static_cast<double>(work.lane_instructions) * 1e-6, seconds_in_kernels,
                           seconds_in_kernels > 0 ? static_cast<double>(work.lane_instructions) * 1e-6 / seconds_in_kernels : 0.0));
    if (seconds_in_libraries > 0) print_line(fmt::format("{:.2f} s in cuDNN and cuBLASLt", seconds_in_libraries));
  }
  if (settings.calls) {
    for (const auto& [name, number] : calls) print_line(fmt::format("{} calls of {}", number, name));
  }
  if (settings.count) print_counts(counts);
  if (!settings.coverage.empty()) write_coverage(*devices.front(), settings.coverage);
}

}  // namespace mirilla::emulate
