// SPDX-License-Identifier: MIT
#include "kernels/ptx/parser.h"

#include "kernels/core/error.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace mirilla::ptx {

Parser::Parser(Program& program, Memory& memory) : program_(program), memory_(memory), tokens_(read_words(program.source)) {}

void Parser::bad_at(const Token& token, std::string_view what) const {
  const std::string found = token.kind == Token::Kind::kEnd ? "the end of the text" : fmt::format("'{}'", token.text);
  throw Error(fmt::format("PTX line {}: {}, and {} came", token.line, what, found));
}

bool Parser::accept(std::string_view mark) {
  if (!peek().is(mark)) return false;
  next();
  return true;
}

void Parser::expect(std::string_view mark) {
  if (!accept(mark)) bad(fmt::format("'{}' was expected", mark));
}

std::string_view Parser::name() {
  if (peek().kind != Token::Kind::kWord) bad("a name was expected");
  return next().text;
}

u64 Parser::integer() {
  if (peek().kind != Token::Kind::kInteger) bad("a number was expected");
  return next().bits;
}

s64 Parser::signed_integer() {
  const bool minus = accept("-");
  const u64 value = integer();
  return static_cast<s64>(minus ? 0 - value : value);
}

std::string_view Parser::text_between(size_t first, size_t last) const {
  const char* begin = tokens_[first].text.data();
  const std::string_view end = tokens_[last].text;
  return {begin, static_cast<size_t>(end.data() + end.size() - begin)};
}

void Parser::run() {
  while (peek().kind != Token::Kind::kEnd) directive();
  if (program_.version.empty()) bad(".version was expected at the beginning");
  finish();
}

void Parser::directive() {
  bool external = false;
  while (accept(".visible") || accept(".weak") || accept(".common") || peek().is(".extern")) external = accept(".extern") || external;
  const Token& word = next();
  if (word.is(".version")) {
    program_.version = peek().text;
    next();
  } else if (word.is(".target")) {
    program_.target = name();
    while (accept(",")) name();  // texmode, debug
  } else if (word.is(".address_size")) {
    if (integer() != 64) bad("only .address_size 64 is known");
  } else if (word.is(".file")) {
    file();
  } else if (word.is(".section")) {
    section();
  } else if (word.is(".pragma")) {
    while (!accept(";")) next();
  } else if (word.is(".alias")) {
    bad_at(word, ".alias is not known");
  } else if (word.is(".global") || word.is(".const")) {
    variable(word.is(".global") ? Space::kGlobal : Space::kConst, external);
  } else if (word.is(".shared")) {
    module_shared(external);
  } else if (word.is(".entry") || word.is(".func")) {
    function(word.is(".entry"));
  } else if (!word.is(";")) {
    bad_at(word, "a directive of the module was expected");
  }
}

void Parser::file() {
  const u32 number = static_cast<u32>(integer());
  program_.files[number] = next().text;
  while (accept(",")) next();  // time, size
}

// Only .debug_str is read: it holds the names of inlined functions.
void Parser::section() {
  const bool strings = name() == ".debug_str";
  expect("{");
  std::string label;
  for (; !accept("}");) {
    if (peek().kind == Token::Kind::kEnd) bad("'}' was expected");
    const Token& word = next();
    if (word.kind == Token::Kind::kWord && peek().is(":")) {
      label = word.text;
      next();
    } else if (strings && word.kind == Token::Kind::kInteger && word.bits != 0) {
      debug_strings_[label] += static_cast<char>(word.bits);
    }
  }
}

Declaration Parser::declaration() {
  Declaration made;
  for (;;) {
    if (accept(".align"))
      made.align = static_cast<u32>(integer());
    else if (accept(".v2"))
      made.vector = 2;
    else if (accept(".v4"))
      made.vector = 4;
    else if (accept(".ptr") || accept(".global") || accept(".shared") || accept(".const") || accept(".local"))
      continue;  // about pointers
    else if (accept(".attribute"))
      while (!accept(")")) next();
    else
      break;
  }
  const Token& type = next();
  made.type = type.text.front() == '.' ? parse_type(type.text.substr(1)) : Type::kNone;
  if (made.type == Type::kNone) bad_at(type, "a type was expected");
  while (accept(".ptr") || accept(".global") || accept(".shared") || accept(".const") || accept(".local") || peek().is(".align")) {
    if (accept(".align")) integer();  // of what a pointer points to
  }
  made.name = name();
  for (; accept("["); expect("]")) {
    made.array = true;
    if (peek().is("]"))
      made.open = true;
    else
      made.elements *= integer();
  }
  if (made.align == 0) made.align = std::max(1u, bytes_of(made.type) * made.vector);
  if (!std::has_single_bit(made.align)) bad("an alignment is a power of two");
  return made;
}

void Parser::module_shared(bool external) {
  const Declaration made = declaration();
  expect(";");
  shared_[std::string(made.name)] = {made.open ? 0 : made.bytes(), made.align, made.open || (external && made.bytes() == 0)};
}

void Parser::variable(Space space, bool external) {
  Declaration made = declaration();
  if (made.open && !external) {  // its size comes from its initialiser
    size_t k = at_;
    u64 count = 0;
    for (; !tokens_[k].is(";") && tokens_[k].kind != Token::Kind::kEnd; ++k) count += tokens_[k].is(",");
    made.elements = count + 1;
  }
  if (external)
    throw Error(fmt::format("PTX line {}: the variable {} is defined in another module", peek().line, made.name),
                "the emulated GPU loads whole programs: link without -rdc");
  const size_t bytes = made.bytes();
  program_.storage.emplace_back(bytes + std::max(made.align, 256u));
  u8* room = program_.storage.back().data();
  Variable variable{std::string(made.name), space, bytes, made.align};
  const u64 align = std::max(made.align, 256u);
  variable.data = reinterpret_cast<u8*>((reinterpret_cast<u64>(room) + align - 1) / align * align);
  variables_[variable.name] = program_.variables.size();
  program_.variables.push_back(variable);
  memory_.add(variable.data, bytes, Memory::Content::kWritten, variable.name);
  memory_.find(reinterpret_cast<u64>(variable.data))->read_only = space == Space::kConst;
  if (accept("=")) initialise(made, variable.data);
  expect(";");
}

void Parser::initialise(const Declaration& made, u8* data) {
  const u32 bytes = bytes_of(made.type);
  const u8* end = data + made.bytes();
  int depth = 0;
  do {
    while (accept("{")) ++depth;
    if (!peek().is("}")) {
      if (data >= end) bad("the initialiser has too many values");
      initial_value(made.type, data);
      data += bytes;
    }
    while (accept("}")) --depth;
    if (depth > 0 || peek().is(",")) {
      if (!accept(",") && depth > 0) bad("',' was expected");
    }
  } while (depth > 0);
}

void Parser::initial_value(Type type, u8* to) {
  const u32 bytes = bytes_of(type);
  u64 bits = 0;
  if (peek().kind == Token::Kind::kWord) {
    const bool generic = accept("generic");
    if (generic) expect("(");
    const Variable* other = variable(name());
    if (!other) bad("the address of an earlier variable was expected");
    if (generic) expect(")");
    bits = reinterpret_cast<u64>(other->data);
    if (peek().is("+") || peek().is("-")) {
      accept("+");
      bits += static_cast<u64>(signed_integer());
    }
  } else {
    const bool minus = accept("-");
    const Token& number = next();
    Operand value;
    bits = number.bits;
    if (number.kind == Token::Kind::kF64 && bytes == 4) {
      bits = std::bit_cast<u32>(static_cast<float>(std::bit_cast<double>(bits)));
      if (minus) bits ^= 0x80000000u;
    } else if (number.kind == Token::Kind::kF64 || number.kind == Token::Kind::kF32) {
      if (minus) bits ^= u64{1} << (8 * bytes - 1);
    } else if (number.kind == Token::Kind::kInteger) {
      if (minus) bits = 0 - bits;
    } else {
      bad_at(number, "a value was expected");
    }
  }
  std::memcpy(to, &bits, bytes);
}

const Parser::Shared* Parser::shared(std::string_view name) const {
  const auto found = shared_.find(name);
  return found == shared_.end() ? nullptr : &found->second;
}

const Variable* Parser::variable(std::string_view name) const {
  const auto found = variables_.find(name);
  return found == variables_.end() ? nullptr : &program_.variables[found->second];
}

u32 Parser::function_number(std::string_view name) {
  const auto found = functions_.find(name);
  if (found != functions_.end()) return found->second;
  const u32 number = static_cast<u32>(program_.callees.size());
  functions_.emplace(std::string(name), number);
  program_.callees.push_back({.name = std::string(name)});
  return number;
}

std::vector<Declaration> Parser::parameters() {
  std::vector<Declaration> all;
  expect("(");
  while (!accept(")")) {
    if (accept(".reg")) bad("parameters in registers are not known");
    expect(".param");
    all.push_back(declaration());
    if (!peek().is(")")) expect(",");
  }
  return all;
}

void Parser::kernel_directives(Kernel& kernel) {
  const auto three = [&](std::array<u32, 3>& to) {
    to = {1, 1, 1};
    for (u32 k = 0; k < 3; ++k) {
      to[k] = static_cast<u32>(integer());
      if (!accept(",")) break;
    }
  };
  for (;;) {
    if (accept(".maxntid"))
      three(kernel.max_threads);
    else if (accept(".reqntid"))
      three(kernel.wanted_threads);
    else if (accept(".minnctapersm"))
      kernel.min_blocks = static_cast<u32>(integer());
    else if (accept(".maxnreg") || accept(".maxnctapersm"))
      integer();
    else if (accept(".noreturn"))
      continue;
    else if (accept(".pragma"))
      while (!accept(";")) next();
    else
      break;
  }
}

void Parser::function(bool entry) {
  std::vector<Declaration> results;
  if (!entry && peek().is("(")) results = parameters();
  const std::string function_name(name());
  std::vector<Declaration> formals;
  if (peek().is("(")) formals = parameters();
  Kernel kernel;
  kernel.name = function_name;
  kernel_directives(kernel);
  if (accept(";")) return;  // a declaration
  auto made = std::make_unique<Body>(*this, program_, entry);
  Made entry_of{bodies_.size(), -1, -1};
  if (entry) {
    for (const Declaration& formal : formals) {
      kernel.parameter_bytes = (kernel.parameter_bytes + formal.align - 1) / formal.align * formal.align;
      kernel.parameters.push_back({std::string(formal.name), kernel.parameter_bytes, formal.bytes(), formal.align});
      made->declare_placed(formal.name, {Space::kParam, kernel.parameter_bytes, formal.bytes(), false});
      kernel.parameter_bytes += formal.bytes();
    }
    entry_of.kernel = static_cast<int>(program_.kernels.size());
    program_.kernels.push_back(kernel);
  } else {
    entry_of.callee = static_cast<int>(function_number(function_name));
    Callee& callee = program_.callees[static_cast<size_t>(entry_of.callee)];
    if (callee.first != kNoPlace) bad(fmt::format("the function {} is defined twice", function_name));
    made->self = static_cast<u32>(entry_of.callee);
    made->declare_register("%return address", 4);
    made->back = made->find_register("%return address");
    for (const auto* list : {&results, &formals}) {
      for (const Declaration& formal : *list) {
        made->declare_register(formal.name, formal.bytes(), formal.bytes());
        auto& to = list == &results ? callee.results : callee.parameters;
        to.push_back({static_cast<u32>(made->find_register(formal.name)), formal.bytes()});
      }
    }
    callee.first = static_cast<u32>(program_.code.size());
  }
  expect("{");
  if (!entry) made->local_bytes = function_local_;
  bodies_.push_back(std::move(made));
  made_.push_back(entry_of);
  body(*bodies_.back());
  if (!entry) function_local_ = bodies_.back()->local_bytes;
}

// Functions first, so that each has its own registers and local memory, below those of every kernel.
u32 Parser::place_functions(u32 kernels_local) {
  u32 frame = kSpecialBytes;
  for (const Made& made : made_) {
    if (made.callee < 0) continue;
    Body& body = *bodies_[made.body];
    if (body.shared_bytes > 0)
      throw Error(fmt::format("the function {} has static shared memory of its own, which is not known",
                              program_.callees[static_cast<size_t>(made.callee)].name));
    frame = body.finish(frame, kernels_local);
    Callee& callee = program_.callees[static_cast<size_t>(made.callee)];
    callee.back = body.registers()[static_cast<size_t>(body.back)].place;
    for (auto* list : {&callee.results, &callee.parameters}) {
      for (Callee::Formal& formal : *list) formal.place = body.registers()[formal.place].place;
    }
  }
  return frame;
}

// A function has one set of registers, so the same threads cannot call it again while it runs: no recursion.
void Parser::check_calls() const {
  std::map<u32, std::vector<u32>> calls_of;
  for (const Made& made : made_) {
    for (const Body::Call& call : bodies_[made.body]->calls) {
      const Callee& callee = program_.callees[call.function];
      if (callee.parameters.size() != call.parameters || callee.results.size() != call.results) {
        throw Error(fmt::format("PTX: {} has {} parameters and {} results, and a call has {} and {}", callee.name, callee.parameters.size(),
                                callee.results.size(), call.parameters, call.results));
      }
      if (made.callee >= 0) calls_of[static_cast<u32>(made.callee)].push_back(call.function);
    }
  }
  for (const auto& [function, called] : calls_of) {
    std::vector<u32> open = called, seen;
    while (!open.empty()) {
      const u32 next = open.back();
      open.pop_back();
      if (next == function)
        throw Error(fmt::format("PTX: the function {} calls itself, which is not known", program_.callees[function].name));
      if (std::find(seen.begin(), seen.end(), next) != seen.end()) continue;
      seen.push_back(next);
      const auto further = calls_of.find(next);
      if (further != calls_of.end()) open.insert(open.end(), further->second.begin(), further->second.end());
    }
  }
}

void Parser::finish() {
  for (const Callee& callee : program_.callees) {
    if (callee.first == kNoPlace && !is_builtin(callee.name)) {
      throw Error(fmt::format("PTX: the function {} is called and nowhere defined", callee.name));
    }
  }
  check_calls();
  u32 kernels_local = 0;
  for (const Made& made : made_)
    kernels_local = std::max(kernels_local, made.kernel >= 0 ? (bodies_[made.body]->local_bytes + 15) / 16 * 16 : 0);
  const u32 frame = place_functions(kernels_local);
  for (const Made& made : made_) {
    if (made.kernel < 0) continue;
    Body& body = *bodies_[made.body];
    Kernel& kernel = program_.kernels[static_cast<size_t>(made.kernel)];
    kernel.first = body.first_code;
    kernel.last = body.end_code;
    kernel.shared_bytes = body.shared_bytes;
    kernel.dynamic_offset = (body.shared_bytes + 127) / 128 * 128;
    kernel.local_bytes = (body.local_bytes + 15) / 16 * 16;
    if (function_local_ > 0) kernel.local_bytes = kernels_local + (function_local_ + 15) / 16 * 16;
    kernel.frame_bytes = body.finish(frame, static_cast<u32>(kernel.dynamic_offset));
  }
  for (const Named& named : function_names_) {
    const auto found = debug_strings_.find(named.label);
    program_.locations[named.location].function = found == debug_strings_.end() ? named.label : found->second;
  }
}

}  // namespace mirilla::ptx
