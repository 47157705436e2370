// SPDX-License-Identifier: MIT
#include "weights/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <span>
#include <string_view>

#include "kernels/core/error.h"
#include "weights/file_bytes.h"
#include "weights/pickle_names.h"

namespace mirilla::weights::pickle {
namespace {

constexpr int kMaxDepth = 64;
constexpr int kMaxOpcodes = 400'000;            // a ResNet18 takes about 5,000, its optimizer's state the same number again
constexpr int64_t kMaxItems = 2 * kMaxOpcodes;  // in all containers together: a memoised list may be copied many times
static_assert(sizeof(Node) <= 56, "40 bytes more would be 16 MB more for the largest pickle");
constexpr size_t kMostNames = 10'000;
constexpr size_t kLongestName = 200;  // of a global, which is copied

/// The opcodes that PyTorch's files use, by Python's names.   [Lib/pickle.py]
// clang-format off
enum Opcode : uint8_t {
  MARK = '(', STOP = '.', POP = '0', POP_MARK = '1', DUP = '2', PROTO = 0x80, FRAME = 0x95,
  NONE = 'N', NEWTRUE = 0x88, NEWFALSE = 0x89,
  BININT = 'J', BININT1 = 'K', BININT2 = 'M', LONG1 = 0x8a, LONG4 = 0x8b, BINFLOAT = 'G',
  BINSTRING = 'T', SHORT_BINSTRING = 'U', BINUNICODE = 'X', SHORT_BINUNICODE = 0x8c, BINUNICODE8 = 0x8d,
  BINBYTES = 'B', SHORT_BINBYTES = 'C', BINBYTES8 = 0x8e, BYTEARRAY8 = 0x96,
  EMPTY_LIST = ']', APPEND = 'a', APPENDS = 'e', LIST = 'l',
  EMPTY_TUPLE = ')', TUPLE = 't', TUPLE1 = 0x85, TUPLE2 = 0x86, TUPLE3 = 0x87,
  EMPTY_DICT = '}', DICT = 'd', SETITEM = 's', SETITEMS = 'u',
  EMPTY_SET = 0x8f, ADDITEMS = 0x90, FROZENSET = 0x91,
  BINGET = 'h', LONG_BINGET = 'j', BINPUT = 'q', LONG_BINPUT = 'r', MEMOIZE = 0x94,
  GLOBAL = 'c', STACK_GLOBAL = 0x93, INST = 'i', OBJ = 'o', REDUCE = 'R', NEWOBJ = 0x81, NEWOBJ_EX = 0x92, BUILD = 'b', BINPERSID = 'Q',
};
// clang-format on

class Machine {
 public:
  Machine(std::span<const std::byte> pickle, std::string_view origin) : rest_(pickle), size_(pickle.size()), origin_(origin) {}

  Result run() {
    for (int count = 0; count < kMaxOpcodes; ++count) {
      const auto op = static_cast<Opcode>(number<uint8_t>());
      if (op == STOP) {
        result_.root = pop();
        result_.size = size_ - rest_.size();
        return std::move(result_);
      }
      if (!(scalar(op) || text(op) || container(op) || memo(op) || stack(op) || object(op))) {
        fail(fmt::format("its opcode 0x{:02x} is not one that PyTorch writes", static_cast<unsigned>(op)));
      }
    }
    fail(fmt::format("it has more than {} opcodes", kMaxOpcodes));
  }

 private:
  // --- reading

  std::span<const std::byte> take(uint64_t count) {
    if (count > rest_.size()) fail("it ends in the middle");
    const auto taken = rest_.first(static_cast<size_t>(count));
    rest_ = rest_.subspan(static_cast<size_t>(count));
    return taken;
  }

  template <class T>
  T number() {  // little-endian
    uint64_t value = 0;
    int shift = 0;
    for (const std::byte b : take(sizeof(T))) {
      value |= uint64_t{std::to_integer<uint8_t>(b)} << shift;
      shift += 8;
    }
    return static_cast<T>(value);
  }

  std::string_view characters(uint64_t count) {
    const auto bytes = take(count);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::string_view line() {
    const auto* begin = reinterpret_cast<const char*>(rest_.data());
    const size_t length = std::string_view(begin, rest_.size()).find('\n');
    if (length == std::string_view::npos) fail("it ends in the middle of a name");
    return characters(length + 1).substr(0, length);
  }

  [[noreturn]] void fail(std::string_view why) const {
    throw WeightsError(fmt::format("{} cannot be read, its pickle is not what torch.save writes: {}", shown(origin_), why),
                       "is the file whole? A plain state dict is read: torch.save(model.state_dict(), path)");
  }

  [[noreturn]] void refuse(std::string_view global) const {
    throw WeightsError(fmt::format("{} was made to run {} when Python opens it; nothing of it was run", shown(origin_), shown(global)),
                       "do not open it in Python either; a state dict holds only tensors and plain containers");
  }

  // --- the stack

  Node& push(Kind kind) {
    Node& node = result_.nodes.emplace_back();
    node.kind = kind;
    stack_.push_back(&node);
    return node;
  }

  Node* top() {
    if (stack_.size() <= floor()) fail("it uses a value that does not exist");
    return stack_.back();
  }

  Node* pop() {
    Node* node = top();
    stack_.pop_back();
    return node;
  }

  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  std::vector<Node*> pop_to_mark() {
    if (marks_.empty()) fail("it ends a group that it did not begin");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Node*> group(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return group;
  }

  Node* top_of(Kind kind) {
    Node* node = top();
    if (node->kind != kind) fail(fmt::format("it adds to {} as if it were {}", name_of(node->kind), name_of(kind)));
    return node;
  }

  void attach(Node& parent, const Node* child) {
    if (child->depth >= kMaxDepth) fail(fmt::format("it nests deeper than {} levels", kMaxDepth));
    parent.depth = std::max<uint8_t>(parent.depth, child->depth + 1);
    if (++items_ > kMaxItems) fail(fmt::format("its containers hold more than {} values", kMaxItems));
    parent.items.push_back(child);
  }

  template <class Children>
  void attach_all(Node& parent, const Children& children) {
    if (parent.kind == Kind::dict && children.size() % 2 != 0) fail("a dict has a key without a value");
    for (const Node* child : children) attach(parent, child);
  }

  // --- the opcodes, by kind; each function returns whether it handled the opcode

  bool scalar(Opcode op) {
    switch (op) {
      case NONE: push(Kind::none); return true;
      case NEWTRUE: push(Kind::boolean).integer = 1; return true;
      case NEWFALSE: push(Kind::boolean).integer = 0; return true;
      case BININT: push(Kind::integer).integer = number<int32_t>(); return true;
      case BININT1: push(Kind::integer).integer = number<uint8_t>(); return true;
      case BININT2: push(Kind::integer).integer = number<uint16_t>(); return true;
      case LONG1: long_integer(number<uint8_t>()); return true;
      case LONG4: long_integer(number<uint32_t>()); return true;
      case BINFLOAT: push(Kind::real).real = big_endian_double(); return true;
      default: return false;
    }
  }

  void long_integer(uint32_t size) {  // little-endian two's complement of any length
    const auto bytes = take(size);
    if (size > 8) {
      push(Kind::big_integer);
      return;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) value |= uint64_t{std::to_integer<uint8_t>(bytes[i])} << (8 * i);
    const bool negative = size > 0 && (std::to_integer<uint8_t>(bytes[size - 1]) & 0x80u) != 0;
    if (negative && size < 8) value |= ~uint64_t{0} << (8 * size);
    push(Kind::integer).integer = static_cast<int64_t>(value);
  }

  double big_endian_double() {
    uint64_t bits = 0;
    for (const std::byte b : take(8)) bits = bits << 8 | std::to_integer<uint8_t>(b);
    return std::bit_cast<double>(bits);
  }

  bool text(Opcode op) {
    switch (op) {
      case SHORT_BINSTRING:
      case SHORT_BINUNICODE: push_text(Kind::text, number<uint8_t>()); return true;
      case BINSTRING:
      case BINUNICODE: push_text(Kind::text, number<uint32_t>()); return true;
      case BINUNICODE8: push_text(Kind::text, number<uint64_t>()); return true;
      case SHORT_BINBYTES: push_text(Kind::bytes, number<uint8_t>()); return true;
      case BINBYTES: push_text(Kind::bytes, number<uint32_t>()); return true;
      case BINBYTES8:
      case BYTEARRAY8: push_text(Kind::bytes, number<uint64_t>()); return true;
      default: return false;
    }
  }

  void push_text(Kind kind, uint64_t size) {
    const std::string_view characters_read = characters(size);  // read before making the node, so that a cut file leaves none
    push(kind).text = characters_read;
  }

  bool container(Opcode op) {
    switch (op) {
      case EMPTY_LIST: push(Kind::list); return true;
      case EMPTY_TUPLE: push(Kind::tuple); return true;
      case EMPTY_DICT: push(Kind::dict); return true;
      case EMPTY_SET: push(Kind::set); return true;
      case LIST: gather(Kind::list, pop_to_mark()); return true;
      case TUPLE: gather(Kind::tuple, pop_to_mark()); return true;
      case DICT: gather(Kind::dict, pop_to_mark()); return true;
      case FROZENSET: gather(Kind::set, pop_to_mark()); return true;
      case TUPLE1: gather(Kind::tuple, pop_some<1>()); return true;
      case TUPLE2: gather(Kind::tuple, pop_some<2>()); return true;
      case TUPLE3: gather(Kind::tuple, pop_some<3>()); return true;
      case APPEND: add_to(Kind::list, pop_some<1>()); return true;
      case SETITEM: add_to(Kind::dict, pop_some<2>()); return true;
      case APPENDS: add_to(Kind::list, pop_to_mark()); return true;
      case SETITEMS: add_to(Kind::dict, pop_to_mark()); return true;
      case ADDITEMS: add_to(Kind::set, pop_to_mark()); return true;
      default: return false;
    }
  }

  template <size_t N>
  std::array<Node*, N> pop_some() {
    std::array<Node*, N> nodes;
    for (size_t i = N; i-- > 0;) nodes[i] = pop();
    return nodes;
  }

  template <class Children>
  void gather(Kind kind, const Children& children) {
    attach_all(push(kind), children);
  }

  template <class Children>
  void add_to(Kind kind, const Children& children) {
    if (top()->kind != Kind::foreign) attach_all(*top_of(kind), children);
  }

  bool memo(Opcode op) {
    switch (op) {
      case BINPUT: remember(number<uint8_t>()); return true;
      case LONG_BINPUT: remember(number<uint32_t>()); return true;
      case MEMOIZE: remember(memoised_); return true;
      case BINGET: recall(number<uint8_t>()); return true;
      case LONG_BINGET: recall(number<uint32_t>()); return true;
      default: return false;
    }
  }

  void remember(uint32_t index) {
    if (index >= kMaxOpcodes) fail(fmt::format("it stores a value as number {}, more than it has opcodes", index));
    if (index >= memo_.size()) memo_.resize(index + 1, nullptr);
    if (memo_[index] == nullptr) ++memoised_;
    memo_[index] = top();
  }

  void recall(uint32_t index) {
    if (index >= memo_.size() || memo_[index] == nullptr) fail(fmt::format("it uses stored value {}, which it never stored", index));
    stack_.push_back(memo_[index]);
  }

  bool stack(Opcode op) {
    switch (op) {
      case PROTO:
        if (const int protocol = number<uint8_t>(); protocol > 5)
          fail(fmt::format("its protocol is {}, but 5 is the latest supported", protocol));
        return true;
      case FRAME: number<uint64_t>(); return true;  // only a hint for buffering
      case MARK: marks_.push_back(stack_.size()); return true;
      case POP:
        if (stack_.size() == floor() && !marks_.empty()) {
          marks_.pop_back();  // as in Python: a mark is popped like a value
        } else {
          pop();
        }
        return true;
      case POP_MARK: pop_to_mark(); return true;
      case DUP: stack_.push_back(top()); return true;
      default: return false;
    }
  }

  bool object(Opcode op) {
    switch (op) {
      case GLOBAL: {
        const std::string_view module = line();
        global(module, line());
        return true;
      }
      case INST: {
        const std::string_view module = line();
        const std::string_view type = name_of_global(module, line());
        pop_to_mark();
        foreign(type);
        return true;
      }
      case OBJ: {
        const auto group = pop_to_mark();
        if (group.empty()) fail("it makes an object of no class");
        foreign(group[0]->text);
        return true;
      }
      case STACK_GLOBAL: {
        const auto [module, name] = pop_some<2>();
        if (module->kind != Kind::text || name->kind != Kind::text) fail("it names a global by something other than text");
        global(module->text, name->text);
        return true;
      }
      case REDUCE:
      case NEWOBJ: {
        const auto [callable, arguments] = pop_some<2>();
        call(*callable, *arguments);
        return true;
      }
      case NEWOBJ_EX: {
        const auto [callable, arguments, named] = pop_some<3>();
        foreign(callable->text);
        return true;
      }
      case BUILD: {
        pop();  // attributes: `_metadata` of a state dict, or those of an object that is not built
        if (const Kind kind = top()->kind; kind != Kind::dict && kind != Kind::foreign)
          fail(fmt::format("it sets attributes of {}", name_of(kind)));
        return true;
      }
      case BINPERSID: storage(*pop()); return true;
      default: return false;
    }
  }

  std::string_view name_of_global(std::string_view module, std::string_view name) {
    if (runs_code(module, name)) refuse(fmt::format("{}.{}", module.substr(0, kLongestName), name.substr(0, kLongestName)));
    if (module.size() + name.size() > kLongestName) fail(fmt::format("it names a class with {} characters", module.size() + name.size()));
    if (result_.names.size() == kMostNames) fail(fmt::format("it names more than {} classes", kMostNames));
    return *result_.names.insert(fmt::format("{}.{}", module, name)).first;
  }

  void global(std::string_view module, std::string_view name) { push(Kind::global).text = name_of_global(module, name); }

  /// A value that stands for an object which is not built.
  void foreign(std::string_view type) { push(Kind::foreign).text = type; }

  void call(const Node& callable, const Node& arguments) {
    if (callable.kind == Kind::foreign) return foreign(callable.text);  // a method, or a class made by a call
    if (callable.kind != Kind::global) fail(fmt::format("it calls {}", name_of(callable.kind)));
    if (!is_called_here(callable.text)) return foreign(callable.text);
    if (arguments.kind != Kind::tuple) fail(fmt::format("it calls {} with {}", callable.text, name_of(arguments.kind)));
    const auto& given = arguments.items;
    if (is_tensor_builder(callable.text)) return tensor(given);
    if (is_parameter_builder(callable.text)) {
      if (given.empty()) fail("a parameter is made of nothing");
      return same_again(*given[0]);
    }
    if (callable.text == kRebuildFromType) return of_type(given);
    if (callable.text == kOrderedDict) return ordered_dict(given);
    sequence(is_set_type(callable.text) ? Kind::set : Kind::tuple, callable.text, given);
  }

  /// (function, type, arguments, state): a tensor of a class of its own is a tensor here.
  void of_type(const std::vector<const Node*>& given) {
    if (given.size() != 4 || given[0]->text == kRebuildFromType)
      fail("a tensor of a class of its own is not made of a function and arguments");
    call(*given[0], *given[2]);
  }

  void same_again(const Node& node) {
    if (node.kind == Kind::foreign) return foreign(node.text);
    if (node.kind != Kind::tensor) fail("a parameter is made of something other than a tensor");
    attach_all(push(Kind::tensor), node.items);
  }

  void sequence(Kind kind, std::string_view type, const std::vector<const Node*>& given) {
    Node& made = push(kind);
    if (given.empty()) return;
    const Kind from = given[0]->kind;
    if (given.size() != 1 || (from != Kind::list && from != Kind::tuple && from != Kind::set))
      fail(fmt::format("{} is not made of a sequence", type));
    attach_all(made, given[0]->items);
  }

  void ordered_dict(const std::vector<const Node*>& given) {
    Node& made = push(Kind::dict);
    if (given.empty()) return;
    if (given.size() != 1 || given[0]->kind != Kind::list) fail("an OrderedDict is made of something other than pairs");
    for (const Node* pair : given[0]->items) {
      if (pair->items.size() != 2 || (pair->kind != Kind::list && pair->kind != Kind::tuple))
        fail("an OrderedDict is made of something other than pairs");
      attach_all(made, pair->items);
    }
  }

  /// (storage, offset, sizes, strides[, requires_grad, hooks[, dtype][, metadata]]); the dtype in _rebuild_tensor_v3
  void tensor(const std::vector<const Node*>& given) {
    if (!given.empty() && given[0]->kind == Kind::foreign) return foreign("torch.Tensor");
    const bool fits = given.size() >= 4 && given.size() <= 8 && given[0]->kind == Kind::storage && given[1]->kind == Kind::integer &&
                      given[2]->kind == Kind::tuple && given[3]->kind == Kind::tuple;
    if (!fits) fail("a tensor is not made of a storage, an offset, sizes and strides");
    for (const Node* numbers : {given[2], given[3]}) {
      for (const Node* extent : numbers->items) {
        if (extent->kind != Kind::integer) fail(fmt::format("a tensor has {} among its sizes and strides", name_of(extent->kind)));
      }
    }
    if (given.back()->kind == Kind::dict && given.size() >= 7 && !given.back()->items.empty()) {
      fail("a tensor has a negation or a conjugation pending; save it with .resolve_neg().resolve_conj()");
    }
    Node& made = push(Kind::tensor);
    attach_all(made, std::span(given).first(4));
    if (given.size() >= 7 && given[6]->kind == Kind::global) attach(made, given[6]);
  }

  /// ('storage', type, key, location, elements[, view]), where the form before PyTorch 1.6 has a view of None or (key, offset, elements);
  /// or
  /// ('module', class, file, source) there
  void storage(const Node& id) {
    const auto& given = id.items;
    if (id.kind == Kind::tuple && given.size() == 4 && given[0]->text == "module") {
      push(Kind::global).text = given[1]->text;
      return;
    }
    const bool fits = id.kind == Kind::tuple && (given.size() == 5 || given.size() == 6) && given[0]->kind == Kind::text &&
                      given[0]->text == "storage" && given[1]->kind == Kind::global && is_storage_type(given[1]->text) &&
                      given[2]->kind == Kind::text && given[4]->kind == Kind::integer && given[4]->integer >= 0;
    if (!fits) fail("a storage is not named by type, key, location and size");
    Node& made = push(Kind::storage);
    made.text = given[2]->text;
    made.integer = given[4]->integer;
    attach(made, given[1]);
    if (given.size() == 5 || given[5]->kind == Kind::none) return;
    const auto& view = given[5]->items;
    if (view.size() != 3 || view[1]->kind != Kind::integer || view[1]->integer < 0) fail("a part of a storage is not named by its offset");
    attach(made, view[1]);
  }

  std::span<const std::byte> rest_;
  size_t size_;
  std::string_view origin_;
  Result result_;
  std::vector<Node*> stack_;
  std::vector<size_t> marks_;
  std::vector<Node*> memo_;
  uint32_t memoised_ = 0;  // values in memo_
  int64_t items_ = 0;
};

}  // namespace

std::string_view name_of(Kind kind) {
  constexpr std::string_view kKindNames[] = {"None",    "a boolean", "a number", "a number", "a number",  "a text",   "bytes",    "a list",
                                             "a tuple", "a set",     "a dict",   "a class",  "a storage", "a tensor", "an object"};
  return kKindNames[static_cast<size_t>(kind)];
}

Result unpickle(std::span<const std::byte> pickle, std::string_view origin) { return Machine(pickle, origin).run(); }

}  // namespace mirilla::weights::pickle
