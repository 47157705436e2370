// SPDX-License-Identifier: MIT
#include "kernels/ptx/forms/form.h"

#include "kernels/core/error.h"

#include <algorithm>
#include <array>
#include <bit>

namespace mirilla::ptx {

namespace {

std::vector<std::string_view> split_opcode(std::string_view opcode) {
  std::vector<std::string_view> words;
  while (!opcode.empty()) {
    const size_t dot = opcode.find('.');
    words.push_back(opcode.substr(0, dot));
    opcode = dot == std::string_view::npos ? std::string_view{} : opcode.substr(dot + 1);
  }
  return words;
}

constexpr std::array<std::string_view, static_cast<size_t>(Special::kCount)> kSpecials{
    "%tid.x",       "%tid.y",       "%tid.z",    "%ntid.x", "%ntid.y", "%ntid.z",  "%ctaid.x",           "%ctaid.y",         "%ctaid.z",
    "%nctaid.x",    "%nctaid.y",    "%nctaid.z", "%laneid", "%warpid", "%nwarpid", "%lanemask_eq",       "%lanemask_le",     "%lanemask_lt",
    "%lanemask_ge", "%lanemask_gt", "%smid",     "%nsmid",  "%zero",   "%one",     "%dynamic_smem_size", "%total_smem_size", "%envreg2",
    "%envreg1"};

// A launch without clusters: each block is a cluster of its own.
struct Alias {
  std::string_view name, means;
};
constexpr std::array kAliases{
    Alias{"%cluster_ctaid.x", "%zero"},
    Alias{"%cluster_ctaid.y", "%zero"},
    Alias{"%cluster_ctaid.z", "%zero"},
    Alias{"%cluster_nctaid.x", "%one"},
    Alias{"%cluster_nctaid.y", "%one"},
    Alias{"%cluster_nctaid.z", "%one"},
    Alias{"%cluster_ctarank", "%zero"},
    Alias{"%cluster_nctarank", "%one"},
    Alias{"%clusterid.x", "%ctaid.x"},
    Alias{"%clusterid.y", "%ctaid.y"},
    Alias{"%clusterid.z", "%ctaid.z"},
    Alias{"%nclusterid.x", "%nctaid.x"},
    Alias{"%nclusterid.y", "%nctaid.y"},
    Alias{"%nclusterid.z", "%nctaid.z"},
    Alias{"%gridid", "%zero"},
    Alias{"%reserved_smem_offset_1", "%total_smem_size"},  // the system's part of shared memory lies behind the kernel's
};

int special_of(std::string_view name) {
  for (const Alias& alias : kAliases) {
    if (alias.name == name) name = alias.means;
  }
  const auto found = std::find(kSpecials.begin(), kSpecials.end(), name);
  return found == kSpecials.end() ? -1 : static_cast<int>(found - kSpecials.begin());
}

u32 register_bytes(Type type) { return type == Type::kPred ? 0 : std::max(2u, bytes_of(type)); }

// A float constant for an integer register of its size gives its bits, and the reverse. A decimal or 0d number is
// rounded where an f32 is needed.
u64 bits_of(const Operand& number, Type type) {
  if (number.number == Token::Kind::kF64 && bytes_of(type) == 4) {
    return std::bit_cast<u32>(static_cast<float>(std::bit_cast<double>(number.value)));
  }
  if (number.number == Token::Kind::kF32 && bytes_of(type) == 8 && type == Type::kF64) {
    return std::bit_cast<u64>(static_cast<double>(std::bit_cast<float>(static_cast<u32>(number.value))));
  }
  return number.value;
}

}  // namespace

Form::Form(Body& the_body, const Statement& statement, Instruction& instruction)
    : out(instruction), body(the_body), statement_(statement), modifiers_(split_opcode(statement.opcode)) {
  base_ = modifiers_.front();
  modifiers_.erase(modifiers_.begin());
}

bool Form::take(std::string_view modifier) {
  const auto found = std::find(modifiers_.begin(), modifiers_.end(), modifier);
  if (found == modifiers_.end()) return false;
  modifiers_.erase(found);
  return true;
}

int Form::take_one(std::initializer_list<std::string_view> modifiers) {
  int k = 0;
  for (std::string_view modifier : modifiers) {
    if (take(modifier)) return k;
    ++k;
  }
  return -1;
}

std::optional<Type> Form::take_type_if_any() {
  for (auto next = modifiers_.begin(); next != modifiers_.end(); ++next) {
    const Type type = parse_type(*next);
    if (type == Type::kNone) continue;
    modifiers_.erase(next);
    if (type == Type::kF32 || type == Type::kF64) out.arithmetic = InstructionClass::kFloat;
    if (type == Type::kF16 || type == Type::kBf16 || type == Type::kF16x2 || type == Type::kBf16x2)
      out.arithmetic = InstructionClass::kHalf;
    return type;
  }
  return std::nullopt;
}

Type Form::take_type() {
  if (const auto type = take_type_if_any()) return *type;
  wrong("it names no type");
}

void Form::take_memory_order() {
  const int order = take_one({"weak", "relaxed", "acquire", "release", "acq_rel", "sc", "volatile", "mmio"});
  out.strong = out.strong || order > 0;
  out.acquire = order == 2 || order == 4 || order == 5;
  out.release = order == 3 || order == 4 || order == 5;
  take_one({"cta", "cluster", "gpu", "sys", "gl"});
}

void Form::take_cache_hints() {
  take_one({"ca", "cg", "cs", "lu", "cv", "wb", "wt"});
  take_one({"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate"});
  take_one({"L2::evict_normal", "L2::evict_first", "L2::evict_last"});
  take_one({"L2::64B", "L2::128B", "L2::256B"});
  take("L2::cache_hint");
}

void Form::finish() const {
  if (!modifiers_.empty()) unknown(fmt::format("the modifier .{}", modifiers_.front()));
  if (!out.run && (out.step == Step::kPlain || out.step == Step::kMembers || out.step == Step::kWholeWarp)) unknown();
}

const Operand& Form::operand(size_t k) const {
  if (k >= statement_.operands.size()) wrong(fmt::format("operand {} is missing", k + 1));
  return statement_.operands[k];
}

void Form::wants_operands(size_t least, size_t most) const {
  if (operands() < least || operands() > most) wrong(fmt::format("it has {} operands", operands()));
}

void Form::add(u32 place, u8 role) {
  body.program.places.push_back(place);
  body.roles.push_back(role);
}

void Form::to(const Operand& operand, Type type) {
  if (to_wide(operand, type) != register_bytes(type) && operand.word != "_") {
    wrong(fmt::format("{} is not a register of {} bytes", operand.word, register_bytes(type)));
  }
}

u32 Form::to_wide(const Operand& operand, Type type) {
  if (operand.kind == Operand::Kind::kWord && operand.word == "_") {
    to_nowhere(type);
    return register_bytes(type);
  }
  const int number = operand.kind == Operand::Kind::kWord ? body.find_register(operand.word) : -1;
  if (number < 0) wrong(fmt::format("{} is not a register", operand.word));
  const u32 bytes = body.bytes_of_register(number);
  if (bytes == 0 || bytes < register_bytes(type)) wrong(fmt::format("the register {} is too small for .{}", operand.word, name_of(type)));
  add(static_cast<u32>(number) | kRegisterTag, keeps_ ? 3 : 1);
  return bytes;
}

void Form::swap_last_two() {
  auto& places = body.program.places;
  std::swap(places[places.size() - 1], places[places.size() - 2]);
  std::swap(body.roles[body.roles.size() - 1], body.roles[body.roles.size() - 2]);
}

bool Form::is_predicate(size_t k) const {
  const int number = operand(k).kind == Operand::Kind::kWord ? body.find_register(operand(k).word) : -1;
  return number >= 0 && body.bytes_of_register(number) == 0;
}

void Form::to_nowhere(Type type) { add(body.scratch(register_bytes(type)), 1); }

void Form::from(const Operand& operand, Type type) {
  const u32 bytes = from_wide(operand, type);
  if (bytes != register_bytes(type)) wrong(fmt::format("{} is not a register of {} bytes", operand.word, register_bytes(type)));
}

u32 Form::from_wide(const Operand& operand, Type type) {
  const u32 wanted = register_bytes(type);
  if (operand.kind == Operand::Kind::kNumber) {
    from_value(bits_of(operand, type), type);
    return wanted;
  }
  if (operand.kind != Operand::Kind::kWord) wrong("an operand is neither a register nor a number");
  if (operand.word == "WARP_SZ") {
    from_value(kLanes, type);
    return wanted;
  }
  const int number = body.find_register(operand.word);
  if (number >= 0) {
    const u32 bytes = body.bytes_of_register(number);
    if (bytes < wanted || (bytes == 0) != (wanted == 0)) {
      wrong(fmt::format("the register {} does not hold a .{}", operand.word, name_of(type)));
    }
    add(static_cast<u32>(number) | kRegisterTag, 2);
    return bytes;
  }
  if (const int special = special_of(operand.word); special >= 0) {
    if (wanted > 4) wrong(fmt::format("{} has 32 bits", operand.word));
    body.use_special(static_cast<Special>(special));
    add(static_cast<u32>(special) * 128, 0);
    return wanted;
  }
  if (operand.word.front() == '%') unknown(fmt::format("the register {}", operand.word));
  from_value(body.address_of(operand.word) + static_cast<u64>(operand.offset), type);
  if (const Placed* placed = body.placed(operand.word); placed && placed->dynamic) {
    dynamic(placed->address + static_cast<u64>(operand.offset), wanted);
  }
  return wanted;
}

void Form::dynamic(u64 offset, u32 bytes) {
  const u32 place = body.dynamic_constant(offset, bytes);
  body.program.places.back() = place;
}

void Form::from_value(u64 value, Type type) { add(body.constant(value, register_bytes(type)), 0); }

void Form::from_predicate(const Operand& operand, bool* negated) {
  if (operand.kind == Operand::Kind::kNumber) {
    from_value(operand.value ? 1 : 0, Type::kPred);
    return;
  }
  if (operand.negated) {
    if (!negated) wrong("a predicate cannot be negated there");
    *negated = true;
  }
  const int number = body.find_register(operand.word);
  if (number < 0 || body.bytes_of_register(number) != 0) wrong(fmt::format("{} is not a predicate", operand.word));
  add(static_cast<u32>(number) | kRegisterTag, 2);
}

void Form::to_predicate(const Operand& operand) {
  if (operand.word == "_") return to_nowhere(Type::kPred);
  const int number = body.find_register(operand.word);
  if (number < 0 || body.bytes_of_register(number) != 0) wrong(fmt::format("{} is not a predicate", operand.word));
  add(static_cast<u32>(number) | kRegisterTag, keeps_ ? 3 : 1);
}

void Form::address(const Operand& operand, Space where) {
  if (operand.kind != Operand::Kind::kAddress) wrong("an address in [ ] is missing");
  out.offset = operand.offset;
  out.address_bytes = 8;
  if (operand.word.empty()) {  // [number]
    from_value(operand.value, Type::kU64);
    return;
  }
  const int number = body.find_register(operand.word);
  if (number >= 0) {
    const u32 bytes = body.bytes_of_register(number);
    if (bytes != 4 && bytes != 8) wrong(fmt::format("{} holds no address", operand.word));
    out.address_bytes = static_cast<u8>(bytes);
    add(static_cast<u32>(number) | kRegisterTag, 2);
    return;
  }
  Space found = Space::kGeneric;
  u64 value = body.address_of(operand.word, &found);
  if (where == Space::kGeneric) {
    if (found == Space::kShared) value |= kSharedWindow;
    if (found == Space::kLocal) value |= kLocalWindow;
    if (found == Space::kParam) value |= kParamWindow;
  }
  from_value(value, Type::kU64);
  if (const Placed* placed = body.placed(operand.word); placed && placed->dynamic) dynamic(value, 8);
}

s64 Form::literal(size_t k) const {
  const Operand& number = operand(k);
  if (number.kind != Operand::Kind::kNumber || number.number != Token::Kind::kInteger)
    wrong(fmt::format("operand {} is not a number", k + 1));
  return static_cast<s64>(number.value);
}

void Form::unknown(std::string_view why) const {
  throw Error(fmt::format("PTX line {}: {} in '{}' is not known", statement_.line, why.empty() ? "the instruction" : why, statement_.text),
              "the emulated GPU runs PTX ISA 9 for sm_80, sm_90 and sm_120, not all of it: docs/emulated-gpu.md lists what is missing");
}

void Form::wrong(std::string_view why) const {
  throw Error(fmt::format("PTX line {}: '{}' cannot be read: {}", statement_.line, statement_.text, why));
}

Decoder decoder_of(std::string_view base) {
  static const Families families = [] {
    Families all;
    add_integer_forms(all);
    add_carry_forms(all);
    add_bit_forms(all);
    add_move_forms(all);
    add_float_forms(all);
    add_compare_forms(all);
    add_convert_forms(all);
    add_memory_forms(all);
    add_async_forms(all);
    add_atomic_forms(all);
    add_warp_forms(all);
    add_barrier_forms(all);
    add_matrix_forms(all);
    add_wmma_forms(all);
    add_control_forms(all);
    return all;
  }();
  const auto found = families.find(base);
  return found == families.end() ? nullptr : found->second;
}

}  // namespace mirilla::ptx
