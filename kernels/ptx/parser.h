// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/body.h"
#include "kernels/ptx/lexer.h"
#include "kernels/ptx/program.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::ptx {

/// A declaration: `.shared .align 4 .b8 name[16]`, `.param .u64 name`, `.global .v2 .f32 table[2] = {...}`.
struct Declaration {
  std::string_view name;
  Type type = Type::kB8;
  u32 align = 0;
  u32 vector = 1;
  u64 elements = 1;
  bool array = false;
  bool open = false;  // name[]
  u32 bytes() const { return static_cast<u32>(bytes_of(type) * vector * elements); }
};

/// Parses PTX text to a Program. One pass; references to later definitions are resolved at the end.
class Parser {
 public:
  Parser(Program& program, Memory& memory);
  void run();

  // For bodies.
  struct Shared {
    u32 bytes = 0, align = 1;
    bool dynamic = false;
  };
  const Shared* shared(std::string_view name) const;
  const Variable* variable(std::string_view name) const;
  /// The number of a function in Program::callees, added under its name at the first call.
  u32 function_number(std::string_view name);

  std::map<std::pair<u64, u32>, u32> constants;  // value and bytes -> place

  [[noreturn]] void bad(std::string_view what) const { bad_at(peek(), what); }
  [[noreturn]] void bad_at(const Token& token, std::string_view what) const;

 private:
  // Words.
  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& next() { return tokens_[at_ < tokens_.size() - 1 ? at_++ : at_]; }
  bool accept(std::string_view mark);
  void expect(std::string_view mark);
  std::string_view name();
  u64 integer();
  s64 signed_integer();
  std::string_view text_between(size_t first, size_t last) const;  // of tokens

  // Module scope.
  void directive();
  void file();
  void section();
  void variable(Space space, bool external);
  void module_shared(bool external);
  void initialise(const Declaration& declaration, u8* data);
  void initial_value(Type type, u8* to);
  Declaration declaration();
  void function(bool entry);
  std::vector<Declaration> parameters();
  void kernel_directives(Kernel& kernel);
  void check_calls() const;
  void finish();
  u32 place_functions(u32 kernels_local);

  // Inside a body.
  void body(Body& body);
  void body_directive(Body& body, u32& location);
  void registers(Body& body);
  void location(u32& location);
  Statement statement();
  Operand operand();
  Operand address_operand();

  Program& program_;
  Memory& memory_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  std::map<std::string, Shared, std::less<>> shared_;
  std::map<std::string, size_t, std::less<>> variables_;
  std::map<std::string, u32, std::less<>> functions_;
  std::vector<std::unique_ptr<Body>> bodies_;
  u32 function_local_ = 0;  // local memory of all functions, per thread
  struct Made {
    size_t body;
    int kernel, callee;
  };
  std::vector<Made> made_;
  struct Named {
    u32 location;
    std::string label;
  };
  std::vector<Named> function_names_;  // of locations, as labels into .debug_str
  std::map<std::string, std::string, std::less<>> debug_strings_;
  std::map<std::array<u32, 4>, u32> locations_;  // file, line, column, inlined at -> number
};

/// Whether the machine itself provides this function: vprintf, __assertfail, malloc, free.
bool is_builtin(std::string_view name);

}  // namespace mirilla::ptx
