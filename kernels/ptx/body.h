// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/lexer.h"
#include "kernels/ptx/program.h"

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mirilla::ptx {

struct Operand {
  enum class Kind : u8 { kWord, kNumber, kVector, kAddress, kList };
  Kind kind = Kind::kWord;
  std::string_view word;    // a register, a symbol, a label
  std::string_view second;  // of p|q
  bool negated = false;     // !p, -symbol
  Token::Kind number = Token::Kind::kInteger;
  u64 value = 0;               // of a number
  s64 offset = 0;              // word + offset
  std::vector<Operand> parts;  // of a vector or a list
};

struct Statement {
  std::string_view guard;  // without @ and !
  bool guard_not = false;
  std::string_view opcode;
  std::vector<Operand> operands;
  std::string_view text;
  u32 line = 0;
};

/// A register or a variable of .param space inside a function.
struct Register {
  u32 bytes = 0;  // 0: a predicate
  u32 place = kNoPlace;
  u32 room = 0;  // of a variable in .param space: bytes per lane; it shares its place with no other
};

/// A variable at a fixed address within a space: shared memory, local memory, parameters of a kernel.
struct Placed {
  Space space = Space::kShared;
  u64 address = 0;
  u32 bytes = 0;
  bool dynamic = false;  // .extern .shared: after all static variables
};

// In Program::places until a function's registers are placed: marks a register's number.
constexpr u32 kRegisterTag = 0x40000000u;

class Parser;

/// A function's body during decoding: names, registers, labels, and the instructions so far.
class Body {
 public:
  Body(Parser& parser, Program& program, bool entry);

  void open() { scopes_.emplace_back(); }
  void close() { scopes_.pop_back(); }
  void declare_register(std::string_view name, u32 bytes, u32 room = 0);
  void declare_range(std::string_view prefix, u32 bytes, u32 count);
  void declare_placed(std::string_view name, const Placed& placed) { placed_[std::string(name)] = placed; }
  void declare_table(std::string_view name, std::vector<std::string_view> labels) { tables_[std::string(name)] = std::move(labels); }
  void label(std::string_view name);
  void statement(const Statement& statement, u32 location);

  // For the decoders of forms.
  /// The number of the register, or -1.
  int find_register(std::string_view name);
  u32 bytes_of_register(int number) const { return registers_[static_cast<size_t>(number)].bytes; }
  u32 room_of_register(int number) const { return registers_[static_cast<size_t>(number)].room; }
  u32 constant(u64 value, u32 bytes);
  u32 scratch(u32 bytes);  // a new register, to be used as an operand
  /// The address of a symbol of any space, as mov sees it. Throws where there is none.
  u64 address_of(std::string_view symbol, Space* space = nullptr);
  const Placed* placed(std::string_view name) const;
  void use_special(Special special);
  u32 label_number(std::string_view name);
  u32 table(std::string_view name);
  u32 function_number(std::string_view name);
  /// An address after all static shared memory; its value is known once the whole kernel has been read.
  u32 dynamic_constant(u64 offset, u32 bytes);

  /// Resolves labels and the addresses of dynamic shared memory, and places the registers from byte `frame` of a warp's registers
  /// on. Returns where they end.
  u32 finish(u32 frame, u32 dynamic_offset);
  int register_number(std::string_view name) { return find_register(name); }
  const std::vector<Register>& registers() const { return registers_; }

  Parser& parser;
  Program& program;
  const bool entry;
  std::vector<u8> roles;  // of program.places from first_place on: 1 written, 2 read, 4 kept in part
  u32 first_place = 0, first_code = 0, end_code = 0;
  u32 local_bytes = 0;   // per thread
  u32 shared_bytes = 0;  // static
  u32 shared_align = 16;
  struct Call {
    u32 function, parameters, results;
  };
  std::vector<Call> calls;
  int back = -1;  // a function's return address
  u32 self = 0;   // a function's number

 private:
  u32 dynamic_place(u64 value, u32 bytes);
  void write_constant(u32 place, u64 value, u32 bytes);
  std::vector<std::map<std::string, int, std::less<>>> scopes_;
  std::map<std::string, std::pair<u32, u32>, std::less<>> ranges_;  // prefix -> bytes, count
  std::vector<Register> registers_;
  std::map<std::string, Placed, std::less<>> placed_;
  std::map<std::string, u32, std::less<>> labels_;
  std::vector<std::pair<u32, std::string>> label_uses_;
  std::map<std::string, std::vector<std::string_view>, std::less<>> tables_;
  std::vector<std::pair<u32, std::string>> table_uses_;
  std::vector<std::pair<u32, u64>> dynamic_constants_;  // place, offset
  std::vector<u32> dynamic_bytes_;
};

}  // namespace mirilla::ptx
