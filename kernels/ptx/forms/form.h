// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/ptx/body.h"
#include "kernels/ptx/program.h"

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::ptx {

/// One instruction during decoding. A family's decoder takes the modifiers it knows, says which operand is what, and sets the handler;
/// a modifier that was not taken is an error.
class Form {
 public:
  Form(Body& body, const Statement& statement, Instruction& out);

  const std::string& base() const { return base_; }  // "add"

  // Modifiers. take() is true where the instruction has it.
  bool take(std::string_view modifier);
  /// Takes the first of these that is there; -1 for none.
  int take_one(std::initializer_list<std::string_view> modifiers);
  /// Takes the next modifier that is a type. Throws where there is none.
  Type take_type();
  std::optional<Type> take_type_if_any();
  /// Drops .sem, .scope, cache operators and hints, which change no result here; records what the race detector needs.
  void take_memory_order();
  void take_cache_hints();
  /// Throws if a modifier is left.
  void finish() const;

  // Operands.
  size_t operands() const { return statement_.operands.size(); }
  const Operand& operand(size_t k) const;
  void wants_operands(size_t least, size_t most) const;
  bool is_vector(size_t k) const { return operand(k).kind == Operand::Kind::kVector; }

  /// Adds the place of a destination operand to the instruction's list.
  void to(size_t k, Type type) { to(operand(k), type); }
  void from(size_t k, Type type) { from(operand(k), type); }
  void to(const Operand& operand, Type type);
  void from(const Operand& operand, Type type);
  /// A source that may be a wider register than its type (ld, st, cvt); returns the register's bytes.
  u32 from_wide(const Operand& operand, Type type);
  u32 to_wide(const Operand& operand, Type type);
  /// A predicate; `negated` is set for "!p". Where the operand may be missing, -1 gives all true.
  void from_predicate(const Operand& operand, bool* negated = nullptr);
  void to_predicate(const Operand& operand);
  void from_value(u64 value, Type type);  // a constant, as if it were the operand
  void to_nowhere(Type type);             // a result that is not used
  void address(size_t k) { address(operand(k), space); }
  void address(const Operand& operand, Space where);                                   // adds the place; sets offset and address_bytes
  void call_room(int variable) { add(static_cast<u32>(variable) | kRegisterTag, 0); }  // a variable in .param space
  void swap_last_two();
  bool is_predicate(size_t k) const;
  void keeps_destination() { keeps_ = true; }  // it writes only some lanes: no definition for register allocation
  /// The operand's value; it must be a number.
  s64 literal(size_t k) const;

  void sets(Handler handler) { out.run = handler; }
  /// "unknown instruction", with the line.
  [[noreturn]] void unknown(std::string_view why = {}) const;
  [[noreturn]] void wrong(std::string_view why) const;

  Instruction& out;
  Space space = Space::kGeneric;
  Body& body;

 private:
  void add(u32 place, u8 role);
  void dynamic(u64 offset, u32 bytes);  // the last place is an address that becomes known later
  const Statement& statement_;
  std::string base_;
  std::vector<std::string_view> modifiers_;
  bool keeps_ = false;
};

using Decoder = void (*)(Form&);

/// The decoder of a family, by the word before the first dot; nullptr for none.
Decoder decoder_of(std::string_view base);

// The families' tables: each adds its own.
using Families = std::map<std::string_view, Decoder>;
void add_integer_forms(Families& families);
void add_carry_forms(Families& families);
void add_bit_forms(Families& families);
void add_move_forms(Families& families);
void add_float_forms(Families& families);
void add_compare_forms(Families& families);
void add_convert_forms(Families& families);
void add_memory_forms(Families& families);
void add_async_forms(Families& families);
void add_atomic_forms(Families& families);
void add_warp_forms(Families& families);
void add_barrier_forms(Families& families);
void add_matrix_forms(Families& families);
void add_wmma_forms(Families& families);
void add_control_forms(Families& families);

}  // namespace mirilla::ptx
