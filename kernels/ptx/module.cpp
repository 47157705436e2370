// SPDX-License-Identifier: MIT
#include "kernels/ptx/module.h"

#include "kernels/core/error.h"
#include "kernels/ptx/parser.h"
#include "kernels/ptx/program.h"

#include <cstring>

namespace mirilla::ptx {

namespace {

void check_processor() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    throw DeviceError("the emulated GPU wants a processor with AVX2 and FMA, and this one lacks them");
  }
#endif
}

}  // namespace

Module::Module(std::string text, Memory& memory) : memory_(&memory), program_(std::make_unique<Program>()) {
  check_processor();
  program_->source = std::move(text);
  try {
    Parser(*program_, memory).run();
  } catch (...) {
    for (const Variable& variable : program_->variables) {
      memory.remove(variable.data);
      memory.forget(variable.data);
    }
    throw;
  }
  Program& made = *program_;
  const size_t constant_bytes = made.constant_room.size();
  made.constant_room.resize(constant_bytes + 64);  // extra room to align the start
  const u64 begin = reinterpret_cast<u64>(made.constant_room.data());
  made.constants = made.constant_room.data() + ((begin + 63) / 64 * 64 - begin);
  std::memmove(made.constants, made.constant_room.data(), constant_bytes);
  for (size_t k = 0; k < made.code.size(); ++k) made.code[k].place = made.places.data() + made.first_places[k];
}

Module::Module(Module&&) noexcept = default;

Module::~Module() {
  if (!program_) return;
  for (const Variable& variable : program_->variables) memory_->forget(variable.data);
}

const std::vector<Kernel>& Module::kernels() const { return program_->kernels; }
const std::vector<Variable>& Module::variables() const { return program_->variables; }

const Kernel* Module::kernel(std::string_view name) const {
  for (const Kernel& kernel : program_->kernels) {
    if (kernel.name == name) return &kernel;
  }
  return nullptr;
}

const Variable* Module::variable(std::string_view name) const {
  for (const Variable& variable : program_->variables) {
    if (variable.name == name) return &variable;
  }
  return nullptr;
}

const std::string& Module::target() const { return program_->target; }
const std::string& Module::version() const { return program_->version; }
size_t Module::instruction_count() const { return program_->code.size(); }

}  // namespace mirilla::ptx
