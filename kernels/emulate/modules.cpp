// SPDX-License-Identifier: MIT
#include "kernels/emulate/modules.h"

#include "kernels/emulate/fatbin.h"
#include "kernels/emulate/names.h"
#include "kernels/emulate/runtime.h"

#include <deque>
#include <map>
#include <memory>
#include <unordered_map>

namespace mirilla::emulate {

namespace {

struct Binary {
  const void* data = nullptr;
  std::string some_kernel;                              // names it in messages
  std::map<int, std::unique_ptr<ptx::Module>> modules;  // by device
};

struct Registered {
  Binary* binary = nullptr;
  std::string name;
  std::map<int, LoadedKernel> loaded;
};

struct Registry {
  std::mutex mutex;
  std::deque<Binary> binaries;
  std::unordered_map<const void*, Registered> kernels;
};

Registry& registry() {
  static auto& all = *std::make_unique<Registry>().release();  // used before main and after it
  return all;
}

// What nvcc's objects pass to __cudaRegisterFatBinary.
struct Wrapper {
  int magic;
  int version;
  const void* data;
  void* unused;
};

const ptx::Module& module_of(Device& device, Binary& binary) {
  auto& module = binary.modules[device.index];
  if (module) return *module;
  try {
    module = std::make_unique<ptx::Module>(find_ptx(binary.data, device.settings.card->capability()), device.memory);
  } catch (const Error& error) {
    throw DeviceError(fmt::format("the module of {} does not load: {}", readable(binary.some_kernel), error.message()), error.hint());
  }
  return *module;
}

}  // namespace

void** register_binary(const void* wrapper) {
  const std::lock_guard lock(registry().mutex);
  Binary& made = registry().binaries.emplace_back();
  made.data = static_cast<const Wrapper*>(wrapper)->data;
  made.some_kernel = "no kernel";
  return reinterpret_cast<void**>(&made);
}

void register_kernel(void** binary, const void* host, const char* name) {
  const std::lock_guard lock(registry().mutex);
  auto* const owner = reinterpret_cast<Binary*>(binary);
  owner->some_kernel = name;
  registry().kernels[host] = {owner, name, {}};
}

void register_variable(void** binary, const char* name) {
  const std::lock_guard lock(registry().mutex);
  reinterpret_cast<Binary*>(binary)->some_kernel = name;
}

// What is loaded stays: a stream may still have work with its kernels.
void unregister_binary(void** binary) {
  const std::lock_guard lock(registry().mutex);
  std::erase_if(registry().kernels, [&](const auto& one) { return one.second.binary == reinterpret_cast<Binary*>(binary); });
}

LoadedKernel find_kernel(Device& device, const void* host) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().kernels.find(host);
  if (found == registry().kernels.end()) return {};
  Registered& registered = found->second;
  LoadedKernel& loaded = registered.loaded[device.index];
  if (loaded.kernel) return loaded;
  const ptx::Module& module = module_of(device, *registered.binary);
  const ptx::Kernel* const kernel = module.kernel(registered.name);
  if (!kernel)
    throw DeviceError(fmt::format("the kernel {} was registered and its module, with {} kernels, lacks it", readable(registered.name),
                                  module.kernels().size()));
  loaded = {&module, kernel};
  return loaded;
}

void forget_modules() {
  const std::lock_guard lock(registry().mutex);
  for (auto& [host, kernel] : registry().kernels) kernel.loaded.clear();
  for (Binary& binary : registry().binaries) binary.modules.clear();
}

}  // namespace mirilla::emulate
