// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/module.h"
#include "kernels/ptx/types.h"

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::ptx {

struct Instruction;
struct Warp;
using Handler = void (*)(const Instruction&, Warp&);

/// How the schedule treats an instruction.
enum class Step : u8 {
  kPlain,  // runs its handler, then the next instruction
  kBranch,
  kTable,  // brx.idx
  kCall,
  kReturn,  // of a function; in a kernel it becomes kExit
  kExit,
  kMembers,    // waits for the lanes of its member mask, then its handler
  kWholeWarp,  // .aligned: all 32 lanes
  kWarpBarrier,
  kBarrier,
  kSleep,  // ends the warp's turn
};

enum class InstructionClass : u8 {
  kOther,
  kInteger,
  kFloat,
  kHalf,
  kConvert,
  kGlobal,
  kShared,
  kLocal,
  kAtomic,
  kControl,
  kWarp,
  kBarrier,
  kMatrix,
  kClassCount
};

constexpr u32 kNoPlace = 0xffffffffu;

// The place of an operand: a byte offset into a warp's registers or, with kConstantBit, into the program's constants.
constexpr u32 kConstantBit = 0x80000000u;

/// One instruction, decoded. The form's decoder and its handler agree on the order of the places.
struct Instruction {
  Handler run = nullptr;
  Handler inner = nullptr;     // what a handler that only prepares calls
  const u32* place = nullptr;  // operands
  s64 offset = 0;              // of an address
  u32 guard = kNoPlace;        // a predicate
  u32 target = 0;              // where a branch goes, a table's number, ...
  u32 cache = 0;               // number among the instructions that touch memory
  u32 info = 0;
  u32 lookup = 0;  // a small number of the form: a truth table, an index ...
  Step step = Step::kPlain;
  bool guard_not = false;
  u8 count = 1;          // of a vector
  u8 bytes = 0;          // of an element in memory
  u8 width = 0;          // bytes of its register
  u8 address_bytes = 8;  // of the address' register
  Type type = Type::kNone;
  Space space = Space::kGeneric;
  bool store = false;
  bool extend = false;    // signed
  bool constant = false;  // .nc
  bool strong = false;    // volatile, relaxed, acquire, release; atomics
  bool acquire = false;
  bool release = false;
  bool flag = false;                                         // the form's own
  InstructionClass arithmetic = InstructionClass::kInteger;  // for arithmetic: by its type
  u8 cls = 0;                                                // the InstructionClass that it is counted as
};

/// What messages need about an instruction.
struct Info {
  u32 line = 0;      // of the PTX
  u32 location = 0;  // into Program::locations; 0: none
  std::string_view text;
};

struct Location {
  u32 file = 0, line = 0, column = 0;
  std::string function;
  u32 inlined_at = 0;  // another location; 0: none
};

// Special registers that a block sets once, in this order at the beginning of a warp's registers, 128 bytes each.
enum class Special : u8 {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLane,
  kWarp,
  kWarps,
  kLanemaskEq,
  kLanemaskLe,
  kLanemaskLt,
  kLanemaskGe,
  kLanemaskGt,
  kSm,
  kSms,
  kZero,
  kOne,
  kDynamicShared,
  kTotalShared,
  kWorkspaceLow,
  kWorkspaceHigh,
  kCount,
};
constexpr u32 kSpecialBytes = static_cast<u32>(Special::kCount) * 128;

/// Bytes per lane of a variable in .param space inside a function.
constexpr u32 call_stride(u32 bytes) { return (bytes + 7) / 8 * 8; }

struct Callee {
  std::string name;
  u32 first = kNoPlace;
  u32 back = kNoPlace;  // place of the return address, u32 per lane
  struct Formal {
    u32 place = 0, bytes = 0;
  };
  std::vector<Formal> parameters, results;
};

struct Program {
  std::string source;
  std::string version, target;
  std::vector<Kernel> kernels;
  std::vector<Variable> variables;
  std::deque<std::vector<u8>> storage;  // of the variables
  std::vector<Instruction> code;
  std::vector<Info> info;
  std::vector<Location> locations{Location{}};
  std::map<u32, std::string> files;
  std::vector<u32> places;
  std::vector<u32> first_places;  // of each instruction, in places
  u8* constants = nullptr;        // aligned to 64 bytes
  std::vector<u8> constant_room;
  std::vector<std::vector<u32>> tables;
  std::vector<Callee> callees;
  u32 memory_instructions = 0;
  u32 used_specials = 0;  // one bit each

  /// The source lines of a location, innermost first.
  std::vector<const Location*> chain(u32 location) const;
};

}  // namespace mirilla::ptx
