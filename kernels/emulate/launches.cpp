// SPDX-License-Identifier: MIT
#include "kernels/emulate/launches.h"

#include "kernels/emulate/names.h"

#include <chrono>
#include <cstring>

namespace mirilla::emulate {
using ptx::Dim;
using ptx::Fault;
using ptx::u64;

namespace {

constexpr size_t kWorkspaceWords = 16;

struct Ready {
  LoadedKernel loaded;
  Dim grid, block;
  std::vector<std::byte> parameters;
  size_t shared_bytes = 0;
  bool cooperative = false;
};

std::vector<std::byte> parameters_of(const ptx::Kernel& kernel, void** arguments) {
  std::vector<std::byte> bytes(kernel.parameter_bytes);
  for (size_t k = 0; k < kernel.parameters.size(); ++k)
    std::memcpy(bytes.data() + kernel.parameters[k].offset, arguments[k], kernel.parameters[k].bytes);
  return bytes;
}

// What cooperative_groups' grid.sync() counts in; the driver gives its address, and it is zero when a kernel begins.
u64 fresh_workspace(Device& device) {
  if (!device.workspace) {
    device.workspace = std::make_unique<u64[]>(kWorkspaceWords);
    device.memory.add(device.workspace.get(), kWorkspaceWords * sizeof(u64), ptx::Memory::Content::kWritten, "the grid's barrier");
  }
  std::fill_n(device.workspace.get(), kWorkspaceWords, u64{0});
  return reinterpret_cast<u64>(device.workspace.get());
}

void carry_out(Runtime& r, Device& device, const Ready& launch) {
  ptx::Options options;
  options.seed = r.settings.seed ? r.random() | 1 : 0;
  options.detect = r.settings.detect;
  options.threads = r.settings.threads;
  options.limits.shared = device.card.shared_per_block;
  options.counts = r.settings.count ? &r.counts : nullptr;
  options.ran = r.settings.coverage.empty() ? nullptr : launch.loaded.ran;
  options.print = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); };
  options.cooperative = launch.cooperative;
  if (launch.cooperative) options.workspace = fresh_workspace(device);
  const auto start = std::chrono::steady_clock::now();
  const ptx::Work work = device.machine.launch(*launch.loaded.module, *launch.loaded.kernel, launch.grid, launch.block, launch.parameters,
                                               launch.shared_bytes, options);
  r.seconds_in_kernels += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  device.work.blocks += work.blocks;
  device.work.warp_instructions += work.warp_instructions;
  device.work.lane_instructions += work.lane_instructions;
}

size_t shared_allowed(const Device& device, const void* function) {
  const auto found = device.shared_allowed.find(function);
  return found == device.shared_allowed.end() ? kSharedWithoutOptIn : found->second;
}

}  // namespace

int blocks_per_multiprocessor(const Card& card, const ptx::Kernel& kernel, int threads, size_t dynamic_shared) {
  const int warps = (threads + static_cast<int>(ptx::kLanes) - 1) / static_cast<int>(ptx::kLanes);
  const size_t shared = (dynamic_shared ? kernel.dynamic_offset + dynamic_shared : kernel.shared_bytes) + kSharedReserved;
  if (warps == 0 || shared > card.shared_per_block + kSharedReserved) return 0;
  const int by_threads = card.threads_per_multiprocessor / static_cast<int>(ptx::kLanes) / warps;
  return std::min({card.blocks_per_multiprocessor, by_threads, static_cast<int>(card.shared_per_multiprocessor / shared)});
}

cudaError_t make_launch(Runtime& r, const Launch& asked, Work* work) {
  Device& device = r.device();
  const LoadedKernel loaded = find_kernel(device, asked.function);
  if (!loaded.kernel) return cudaErrorInvalidDeviceFunction;
  if (asked.shared_bytes > shared_allowed(device, asked.function)) return cudaErrorInvalidValue;
  const auto launch = std::make_shared<Ready>(Ready{loaded,
                                                    {asked.grid.x, asked.grid.y, asked.grid.z},
                                                    {asked.block.x, asked.block.y, asked.block.z},
                                                    parameters_of(*loaded.kernel, asked.arguments),
                                                    asked.shared_bytes,
                                                    asked.cooperative});
  try {
    ptx::Limits limits;
    limits.shared = device.card.shared_per_block;
    check_launch(*loaded.kernel, launch->grid, launch->block, launch->parameters.size(), launch->shared_bytes, limits);
  } catch (const Fault& fault) {
    print_line(readable(fault.what(), fault.kernel));
    return cudaErrorInvalidConfiguration;
  }
  if (launch->cooperative) {
    const int blocks =
        blocks_per_multiprocessor(device.card, *loaded.kernel, static_cast<int>(launch->block.count()), launch->shared_bytes);
    if (launch->grid.count() > static_cast<u64>(blocks) * static_cast<u64>(device.settings.multiprocessors_of(device.card)))
      return cudaErrorCooperativeLaunchTooLarge;
  }
  *work = work_of([&r, &device, launch] { device.execute([&] { carry_out(r, device, *launch); }); });
  work->type = cudaGraphNodeTypeKernel;
  return cudaSuccess;
}

}  // namespace mirilla::emulate
