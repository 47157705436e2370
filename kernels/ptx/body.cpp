// SPDX-License-Identifier: MIT
#include "kernels/ptx/body.h"

#include "kernels/core/error.h"
#include "kernels/ptx/count.h"
#include "kernels/ptx/forms/form.h"
#include "kernels/ptx/parser.h"
#include "kernels/ptx/registers.h"

#include <cctype>
#include <cstring>

namespace mirilla::ptx {

Body::Body(Parser& the_parser, Program& the_program, bool is_entry)
    : parser(the_parser),
      program(the_program),
      entry(is_entry),
      first_place(static_cast<u32>(program.places.size())),
      first_code(static_cast<u32>(program.code.size())) {
  scopes_.emplace_back();
}

void Body::declare_register(std::string_view name, u32 bytes, u32 room) {
  scopes_.back()[std::string(name)] = static_cast<int>(registers_.size());
  registers_.push_back({room ? 8 : bytes, kNoPlace, room});
}

void Body::declare_range(std::string_view prefix, u32 bytes, u32 count) { ranges_[std::string(prefix)] = {bytes, count}; }

int Body::find_register(std::string_view name) {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->find(name);
    if (found != scope->end()) return found->second;
  }
  size_t digits = name.size();
  while (digits > 0 && std::isdigit(static_cast<unsigned char>(name[digits - 1]))) --digits;
  const auto range = digits == name.size() ? ranges_.end() : ranges_.find(name.substr(0, digits));
  if (range == ranges_.end()) return -1;
  if (std::stoull(std::string(name.substr(digits))) >= range->second.second) return -1;
  const int number = static_cast<int>(registers_.size());
  scopes_.front()[std::string(name)] = number;
  registers_.push_back({range->second.first, kNoPlace, 0});
  return number;
}

u32 Body::scratch(u32 bytes) {
  registers_.push_back({bytes, kNoPlace, 0});
  return static_cast<u32>(registers_.size() - 1) | kRegisterTag;
}

u32 Body::constant(u64 value, u32 bytes) {
  const u64 known = bytes >= 8 ? value : bytes == 0 ? (value ? 1 : 0) : value & ((u64{1} << (8 * bytes)) - 1);
  const auto [entry_of, fresh] = parser.constants.try_emplace({known, bytes}, 0);
  if (fresh) entry_of->second = dynamic_place(known, bytes);
  return entry_of->second;
}

u32 Body::dynamic_constant(u64 offset, u32 bytes) {
  const u32 place = dynamic_place(offset, bytes);
  dynamic_constants_.push_back({place, offset});
  dynamic_bytes_.push_back(bytes);
  return place;
}

u32 Body::dynamic_place(u64 value, u32 bytes) {
  auto& room = program.constant_room;
  const u32 place = static_cast<u32>(room.size());
  room.resize(place + (bytes == 0 ? 64 : bytes * kLanes));
  write_constant(place | kConstantBit, value, bytes);
  return place | kConstantBit;
}

void Body::write_constant(u32 place, u64 value, u32 bytes) {
  u8* to = program.constant_room.data() + (place & ~kConstantBit);
  if (bytes == 0) {
    const u32 all = value ? kAllLanes : 0;
    std::memcpy(to, &all, 4);
    return;
  }
  for (u32 l = 0; l < kLanes; ++l) std::memcpy(to + l * bytes, &value, std::min(bytes, 8u));
}

const Placed* Body::placed(std::string_view name) const {
  const auto found = placed_.find(name);
  return found == placed_.end() ? nullptr : &found->second;
}

u64 Body::address_of(std::string_view symbol, Space* space) {
  if (const Placed* known = placed(symbol)) {
    if (space) *space = known->space;
    return known->address;
  }
  if (const Parser::Shared* shared = parser.shared(symbol)) {
    if (!entry) throw Error(fmt::format("the function uses the shared memory {}, which only kernels may", symbol));
    Placed made{Space::kShared, 0, shared->bytes, shared->dynamic};
    if (!shared->dynamic) {
      made.address = (shared_bytes + shared->align - 1) / shared->align * shared->align;
      shared_bytes = static_cast<u32>(made.address) + shared->bytes;
    }
    declare_placed(symbol, made);
    if (space) *space = Space::kShared;
    return made.address;
  }
  if (const Variable* variable = parser.variable(symbol)) {
    if (space) *space = variable->space;
    return reinterpret_cast<u64>(variable->data);
  }
  throw Error(fmt::format("PTX: the symbol {} is not known", symbol));
}

void Body::use_special(Special special) { program.used_specials |= 1u << static_cast<u32>(special); }

void Body::label(std::string_view name) {
  if (!labels_.emplace(std::string(name), static_cast<u32>(program.code.size())).second)
    parser.bad(fmt::format("the label {} is there twice", name));
}

u32 Body::label_number(std::string_view name) {
  label_uses_.emplace_back(static_cast<u32>(program.code.size()), std::string(name));
  return 0;
}

u32 Body::table(std::string_view name) {
  table_uses_.emplace_back(static_cast<u32>(program.code.size()), std::string(name));
  return 0;
}

u32 Body::function_number(std::string_view name) { return parser.function_number(name); }

void Body::statement(const Statement& statement, u32 location) {
  Instruction made;
  program.first_places.push_back(static_cast<u32>(program.places.size()));
  Form form(*this, statement, made);
  const Decoder decode = decoder_of(form.base());
  if (!decode) form.unknown();
  if (!statement.guard.empty()) {
    const int number = find_register(statement.guard);
    if (number < 0 || registers_[static_cast<size_t>(number)].bytes != 0) form.wrong(fmt::format("{} is not a predicate", statement.guard));
    made.guard = static_cast<u32>(number) | kRegisterTag;
    made.guard_not = statement.guard_not;
  }
  decode(form);
  form.finish();
  made.info = static_cast<u32>(program.info.size());
  made.cls = static_cast<u8>(class_of(form.base(), made));
  made.cache = program.memory_instructions;
  if (made.bytes > 0) ++program.memory_instructions;
  program.info.push_back({statement.line, location, statement.text});
  program.code.push_back(made);
}

u32 Body::finish(u32 frame, u32 dynamic_offset) {
  for (const auto& [at, name] : label_uses_) {
    const auto found = labels_.find(name);
    if (found == labels_.end()) throw Error(fmt::format("PTX line {}: the label {} is not in this function", program.info[at].line, name));
    program.code[at].target = found->second;
  }
  for (const auto& [at, name] : table_uses_) {
    const auto found = tables_.find(name);
    if (found == tables_.end()) throw Error(fmt::format("PTX line {}: there are no .branchtargets {}", program.info[at].line, name));
    std::vector<u32> targets;
    for (std::string_view target : found->second) {
      const auto label_at = labels_.find(target);
      if (label_at == labels_.end())
        throw Error(fmt::format("PTX line {}: the label {} is not in this function", program.info[at].line, target));
      targets.push_back(label_at->second);
    }
    program.code[at].target = static_cast<u32>(program.tables.size());
    program.tables.push_back(std::move(targets));
  }
  for (size_t k = 0; k < dynamic_constants_.size(); ++k) {
    write_constant(dynamic_constants_[k].first, dynamic_constants_[k].second + dynamic_offset, dynamic_bytes_[k]);
  }
  return place_registers(*this, registers_, frame);
}

}  // namespace mirilla::ptx
