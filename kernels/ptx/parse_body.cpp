// SPDX-License-Identifier: MIT
#include "kernels/core/error.h"
#include "kernels/ptx/parser.h"

#include <algorithm>

// Inside the braces of a function.

namespace mirilla::ptx {

void Parser::body(Body& body) {
  u32 location = 0;
  for (int depth = 1; depth > 0;) {
    const Token& word = peek();
    if (word.kind == Token::Kind::kEnd) bad("'}' was expected");
    if (accept("{")) {
      ++depth;
      body.open();
    } else if (accept("}")) {
      if (--depth > 0) body.close();
    } else if (accept(";")) {
      continue;
    } else if (word.kind == Token::Kind::kWord && peek(1).is(":")) {
      next();
      next();
      if (peek().is(".branchtargets")) {
        next();
        std::vector<std::string_view> targets;
        do targets.push_back(name());
        while (accept(","));
        expect(";");
        body.declare_table(word.text, std::move(targets));
      } else if (peek().is(".callprototype") || peek().is(".calltargets")) {
        bad("calls through a pointer are not known");
      } else {
        body.label(word.text);
      }
    } else if (word.kind == Token::Kind::kWord && word.text.front() == '.') {
      body_directive(body, location);
    } else {
      const Statement made = statement();
      try {
        body.statement(made, location);
      } catch (const Error& error) {
        if (error.message().starts_with("PTX line")) throw;
        throw Error(fmt::format("PTX line {}: {} in '{}'", made.line, error.message(), made.text), error.hint());
      }
    }
  }
  body.end_code = static_cast<u32>(program_.code.size());
  if (body.end_code == body.first_code) bad("a function without an instruction");
}

void Parser::body_directive(Body& body, u32& where) {
  const Token& word = next();
  if (word.is(".loc")) return location(where);
  if (word.is(".pragma")) {
    while (!accept(";")) next();
  } else if (word.is(".reg")) {
    registers(body);
  } else if (word.is(".param")) {
    const Declaration made = declaration();
    body.declare_register(made.name, made.bytes(), made.bytes());
    expect(";");
  } else if (word.is(".local")) {
    const Declaration made = declaration();
    body.local_bytes = (body.local_bytes + made.align - 1) / made.align * made.align;
    body.declare_placed(made.name, {Space::kLocal, body.local_bytes, made.bytes(), !body.entry});
    body.local_bytes += made.bytes();
    expect(";");
  } else if (word.is(".shared")) {
    const Declaration made = declaration();
    body.shared_bytes = (body.shared_bytes + made.align - 1) / made.align * made.align;
    body.declare_placed(made.name, {Space::kShared, body.shared_bytes, made.bytes(), false});
    body.shared_bytes += made.bytes();
    expect(";");
  } else if (word.is(".extern")) {
    expect(".shared");
    const Declaration made = declaration();
    body.declare_placed(made.name, {Space::kShared, 0, 0, true});
    expect(";");
  } else if (word.is(".global") || word.is(".const")) {
    variable(word.is(".global") ? Space::kGlobal : Space::kConst, false);
  } else {
    bad_at(word, "a directive of a function was expected");
  }
}

void Parser::registers(Body& body) {
  u32 vector = 1;
  if (accept(".v2")) vector = 2;
  if (accept(".v4")) vector = 4;
  const Token& word = next();
  const Type type = word.text.front() == '.' ? parse_type(word.text.substr(1)) : Type::kNone;
  if (type == Type::kNone) bad_at(word, "a type was expected");
  const u32 bytes = type == Type::kPred ? 0 : std::max(2u, bytes_of(type));
  do {
    const std::string_view declared = name();
    if (accept("<")) {
      body.declare_range(declared, bytes, static_cast<u32>(integer()));
      expect(">");
    } else if (vector == 1) {
      body.declare_register(declared, bytes);
    } else {
      for (u32 k = 0; k < vector; ++k) body.declare_register(fmt::format("{}.{}", declared, "xyzw"[k]), bytes);
    }
  } while (accept(","));
  expect(";");
}

// .loc file line column [, function_name label [+ offset], inlined_at file line column]
void Parser::location(u32& where) {
  Location made;
  made.file = static_cast<u32>(integer());
  made.line = static_cast<u32>(integer());
  made.column = static_cast<u32>(integer());
  std::string label;
  while (accept(",")) {
    if (accept("function_name")) {
      label = name();
      if (accept("+")) integer();
    } else {
      expect("inlined_at");
      const u32 file = static_cast<u32>(integer()), line = static_cast<u32>(integer()), column = static_cast<u32>(integer());
      // The place of inlining is an earlier .loc, which may be inlined itself.
      const auto same = [&](const Location& other) { return other.file == file && other.line == line && other.column == column; };
      const auto found = std::find_if(program_.locations.rbegin(), program_.locations.rend(), same);
      if (found != program_.locations.rend()) {
        made.inlined_at = static_cast<u32>(program_.locations.rend() - found - 1);
      } else {
        program_.locations.push_back({file, line, column, {}, 0});
        made.inlined_at = static_cast<u32>(program_.locations.size() - 1);
      }
    }
  }
  const auto known =
      locations_.try_emplace({made.file, made.line, made.column, made.inlined_at}, static_cast<u32>(program_.locations.size()));
  where = known.first->second;
  if (!known.second) return;
  program_.locations.push_back(made);
  if (!label.empty()) function_names_.push_back({where, label});
}

Statement Parser::statement() {
  Statement made;
  const size_t first = at_;
  made.line = peek().line;
  if (accept("@")) {
    made.guard_not = accept("!");
    made.guard = name();
  }
  made.opcode = name();
  if (!accept(";")) {
    do made.operands.push_back(operand());
    while (accept(","));
    expect(";");
  }
  made.text = text_between(first, at_ - 1);
  return made;
}

Operand Parser::operand() {
  Operand made;
  if (accept("[")) return address_operand();
  if (peek().is("{") || peek().is("(")) {
    const bool vector = next().is("{");
    made.kind = vector ? Operand::Kind::kVector : Operand::Kind::kList;
    const std::string_view end = vector ? "}" : ")";
    if (accept(end)) return made;
    do made.parts.push_back(operand());
    while (accept(","));
    expect(end);
    return made;
  }
  if (accept("!")) made.negated = true;
  const bool minus = accept("-");
  const Token& word = next();
  switch (word.kind) {
    case Token::Kind::kWord: made.word = word.text; break;
    case Token::Kind::kInteger:
    case Token::Kind::kF32:
    case Token::Kind::kF64:
      made.kind = Operand::Kind::kNumber;
      made.number = word.kind;
      made.value = word.bits;
      if (minus)
        made.value =
            word.kind == Token::Kind::kInteger ? 0 - word.bits : word.bits ^ (word.kind == Token::Kind::kF32 ? 0x80000000u : u64{1} << 63);
      return made;
    default: bad_at(word, "an operand was expected");
  }
  if (minus) bad_at(word, "only a number can be negative");
  if (accept("|")) made.second = name();
  if (accept("+")) made.offset = signed_integer();
  return made;
}

Operand Parser::address_operand() {
  Operand made;
  made.kind = Operand::Kind::kAddress;
  if (peek().kind == Token::Kind::kInteger)
    made.value = next().bits;
  else
    made.word = name();
  if (accept("+"))
    made.offset = signed_integer();
  else if (peek().is("-"))
    made.offset = signed_integer();
  expect("]");
  return made;
}

}  // namespace mirilla::ptx
