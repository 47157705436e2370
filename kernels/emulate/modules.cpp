// SPDX-License-Identifier: MIT
#include "kernels/emulate/modules.h"

#include "kernels/emulate/fatbin.h"
#include "kernels/emulate/names.h"
#include "kernels/emulate/ptx_folder.h"
#include "kernels/emulate/runtime.h"

#include <deque>
#include <map>
#include <memory>
#include <unordered_map>

namespace mirilla::emulate {

namespace {

struct Binary {
  const void* data = nullptr;
  std::string some_kernel;                              // names it in messages; empty where no kernel is registered
  std::map<int, std::unique_ptr<ptx::Module>> modules;  // by device
  std::vector<std::pair<void**, std::string>> managed;  // __managed__ variables
  std::vector<ptx::u8> ran;                             // on any of them: their instructions are the same
};

struct Registered {
  Binary* binary = nullptr;
  std::string name;
  std::map<int, LoadedKernel> loaded;
};

struct RegisteredVariable {
  Binary* binary = nullptr;
  std::string name;
};

struct Registry {
  std::mutex mutex;
  std::deque<Binary> binaries;
  std::unordered_map<const void*, Registered> kernels;
  std::unordered_map<const void*, RegisteredVariable> variables;
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
    std::string text = find_ptx(binary.data, device.card.capability());
    if (!device.settings.ptx_folder.empty()) text = edited_ptx(device.settings.ptx_folder, std::move(text));
    module = std::make_unique<ptx::Module>(std::move(text), device.memory);
    binary.ran.resize(module->instruction_count());
  } catch (const Error& error) {
    throw DeviceError(fmt::format("the module of {} does not load: {}", readable(binary.some_kernel), error.message()), error.hint());
  }
  // So that copies know them.
  for (const ptx::Variable& variable : module->variables())
    runtime().blocks.add({reinterpret_cast<std::byte*>(variable.data), variable.bytes, device.index, MemoryBlock::Kind::kVariable});
  return *module;
}

}  // namespace

void** register_binary(const void* wrapper) {
  const std::lock_guard lock(registry().mutex);
  Binary& made = registry().binaries.emplace_back();
  made.data = static_cast<const Wrapper*>(wrapper)->data;
  return reinterpret_cast<void**>(&made);
}

void register_kernel(void** binary, const void* host, const char* name) {
  const std::lock_guard lock(registry().mutex);
  auto* const owner = reinterpret_cast<Binary*>(binary);
  owner->some_kernel = name;
  registry().kernels[host] = {owner, name, {}};
}

void register_variable(void** binary, const void* host, const char* name) {
  const std::lock_guard lock(registry().mutex);
  auto* const owner = reinterpret_cast<Binary*>(binary);
  owner->some_kernel = name;
  registry().variables[host] = {owner, name};
}

void register_managed(void** binary, void** host, const char* name) {
  const std::lock_guard lock(registry().mutex);
  auto* const owner = reinterpret_cast<Binary*>(binary);
  owner->managed.emplace_back(host, name);
  registry().variables[host] = {owner, name};
}

void init_module(void** binary) {
  auto* const owner = reinterpret_cast<Binary*>(binary);
  if (owner->managed.empty()) return;
  Runtime& r = runtime();
  if (r.devices.size() > 1)
    end_program(DeviceError("the program has a __managed__ variable, and one that several emulated GPUs share is not emulated"));
  const std::lock_guard lock(r.mutex);
  const std::lock_guard registered(registry().mutex);
  try {
    const ptx::Module& module = module_of(*r.devices[0], *owner);
    for (const auto& [host, name] : owner->managed) {
      if (const ptx::Variable* const variable = module.variable(name)) {
        *host = variable->data;
        r.blocks.add({reinterpret_cast<std::byte*>(variable->data), variable->bytes, 0, MemoryBlock::Kind::kManaged, true});
      }
    }
  } catch (const Error& error) {
    end_program(error);
  }
}

// What is loaded stays: a stream may still have work with its kernels.
void unregister_binary(void** binary) {
  const std::lock_guard lock(registry().mutex);
  reinterpret_cast<Binary*>(binary)->data = nullptr;
  std::erase_if(registry().kernels, [&](const auto& one) { return one.second.binary == reinterpret_cast<Binary*>(binary); });
  std::erase_if(registry().variables, [&](const auto& one) { return one.second.binary == reinterpret_cast<Binary*>(binary); });
}

const ptx::Variable* find_variable(Device& device, const void* host) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().variables.find(host);
  if (found == registry().variables.end()) return nullptr;
  const ptx::Variable* const variable = module_of(device, *found->second.binary).variable(found->second.name);
  if (!variable) throw DeviceError(fmt::format("the variable {} was registered and its module lacks it", found->second.name));
  return variable;
}

const char* name_of_kernel(const void* host) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().kernels.find(host);
  return found == registry().kernels.end() ? nullptr : found->second.name.c_str();
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
  loaded = {&module, kernel, registered.binary->ran.data()};
  return loaded;
}

void each_module(Device& device, const std::function<void(const ptx::Module&, const std::vector<ptx::u8>&)>& f) {
  const std::lock_guard lock(registry().mutex);
  for (Binary& binary : registry().binaries) {
    if (!binary.data || binary.some_kernel.empty()) continue;
    const ptx::Module& module = module_of(device, binary);
    f(module, binary.ran);
  }
}

void each_ptx(int capability, const std::function<void(std::string_view)>& f) {
  const std::lock_guard lock(registry().mutex);
  for (const Binary& binary : registry().binaries) {
    if (binary.data && !binary.some_kernel.empty()) f(find_ptx(binary.data, capability));
  }
}

void forget_modules() {
  const std::lock_guard lock(registry().mutex);
  for (auto& [host, kernel] : registry().kernels) kernel.loaded.clear();
  for (Binary& binary : registry().binaries) {
    binary.modules.clear();
    binary.ran.clear();
  }
}

}  // namespace mirilla::emulate
