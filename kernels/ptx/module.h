// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/memory.h"
#include "kernels/ptx/types.h"

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::ptx {

struct Program;  // kernels/ptx/program.h

struct Parameter {
  std::string name;
  size_t offset = 0;  // in the block of parameters that a launch passes
  size_t bytes = 0;
  size_t align = 1;
};

/// An .entry of a module.
struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  size_t parameter_bytes = 0;
  size_t shared_bytes = 0;              // static
  size_t dynamic_offset = 0;            // where the launch's dynamic shared memory begins
  size_t local_bytes = 0;               // per thread
  std::array<u32, 3> max_threads{};     // .maxntid; zeros: not given
  std::array<u32, 3> wanted_threads{};  // .reqntid
  u32 min_blocks = 0;                   // .minnctapersm
  u32 first = 0, last = 0;              // its instructions in the program
  u32 frame_bytes = 0;                  // registers of a warp
};

/// A .global or .const variable: it is in the Memory that the module was loaded into.
struct Variable {
  std::string name;
  Space space = Space::kGlobal;
  size_t bytes = 0;
  size_t align = 1;
  u8* data = nullptr;  // also its address on the device
};

/// PTX made ready to run: PTX ISA 9 text as nvcc 13 writes it for sm_80, sm_90 and sm_120, or written by hand.
///
/// A module belongs to the memory it was loaded into, which holds its variables: a second device loads the text again. Anything that
/// the machine does not know (an instruction, a modifier, a directive, a symbol that is defined nowhere) is an Error here, with the line
/// and its text, and never at a launch.
class Module {
 public:
  Module(std::string text, Memory& memory);
  ~Module();
  Module(Module&&) noexcept;
  Module& operator=(Module&&) = delete;

  const std::vector<Kernel>& kernels() const;
  const std::vector<Variable>& variables() const;
  /// nullptr where there is none of that name.
  const Kernel* kernel(std::string_view name) const;
  const Variable* variable(std::string_view name) const;
  /// "sm_90"; "9.0".
  const std::string& target() const;
  const std::string& version() const;
  size_t instruction_count() const;

  const Program& program() const { return *program_; }
  Memory& memory() const { return *memory_; }

 private:
  Memory* memory_;
  std::unique_ptr<Program> program_;
};

}  // namespace mirilla::ptx
