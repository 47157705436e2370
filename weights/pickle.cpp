// SPDX-License-Identifier: MIT
#include "weights/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <unordered_map>

#include "kernels/core/error.h"
#include "weights/file_bytes.h"

namespace mirilla::weights::pickle {
namespace {

constexpr int kMaxDepth = 64;
constexpr int kMaxOpcodes = 1'000'000;          // a ResNet18 takes about 5,000, its optimizer's state the same number again
constexpr int64_t kMaxItems = 4 * kMaxOpcodes;  // in all containers together: a memoised list may be copied many times
constexpr size_t kLongestName = 200;            // of a global's name or a storage's key, which are copied too

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
  GLOBAL = 'c', STACK_GLOBAL = 0x93, INST = 'i', REDUCE = 'R', NEWOBJ = 0x81, BUILD = 'b', BINPERSID = 'Q',
};
// clang-format on

constexpr std::string_view kOrderedDict = "collections.OrderedDict";
constexpr std::string_view kRebuildTensor = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kRebuildParameter = "torch._utils._rebuild_parameter";
constexpr std::string_view kSize = "torch.Size";
constexpr std::string_view kFastcoreList = "fastcore.foundation.L";
constexpr std::string_view kNumpyType = "numpy.dtype";
constexpr std::string_view kNumpyScalar = "numpy._core.multiarray.scalar";
constexpr std::string_view kNumpyScalarBefore2 = "numpy.core.multiarray.scalar";
constexpr std::string_view kEncode = "_codecs.encode";  // bytes, in protocols below 3

bool is_storage_type(std::string_view global) {
  return global.starts_with("torch.") && global.ends_with("Storage") && global.find('.', 6) == global.npos;
}

bool is_set_type(std::string_view global) {
  return global == "builtins.set" || global == "__builtin__.set" || global == "builtins.frozenset" || global == "__builtin__.frozenset";
}

bool is_allowed(std::string_view global) {
  constexpr std::array kAllowed = {kOrderedDict, kRebuildTensor, kRebuildParameter,   kSize,  kFastcoreList,
                                   kNumpyType,   kNumpyScalar,   kNumpyScalarBefore2, kEncode};
  return std::find(kAllowed.begin(), kAllowed.end(), global) != kAllowed.end() || is_storage_type(global) || is_set_type(global);
}

class Machine {
 public:
  Machine(std::span<const std::byte> pickle, std::string_view origin) : rest_(pickle), origin_(origin) {}

  Result run() {
    for (int count = 0; count < kMaxOpcodes; ++count) {
      const auto op = static_cast<Opcode>(number<uint8_t>());
      if (op == STOP) {
        result_.root = pop();
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
    throw WeightsError(fmt::format("{} would build {}, but only tensors and plain containers are supported", shown(origin_), shown(global)),
                       "save a plain state dict: torch.save(model.state_dict(), path)");
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
    parent.depth = std::max(parent.depth, child->depth + 1);
    if (parent.depth > kMaxDepth) fail(fmt::format("it nests deeper than {} levels", kMaxDepth));
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
    attach_all(*top_of(kind), children);
  }

  bool memo(Opcode op) {
    switch (op) {
      case BINPUT: memo_[number<uint8_t>()] = top(); return true;
      case LONG_BINPUT: memo_[number<uint32_t>()] = top(); return true;
      case MEMOIZE: memo_[static_cast<uint32_t>(memo_.size())] = top(); return true;
      case BINGET: recall(number<uint8_t>()); return true;
      case LONG_BINGET: recall(number<uint32_t>()); return true;
      default: return false;
    }
  }

  void recall(uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail(fmt::format("it uses stored value {}, which it never stored", index));
    stack_.push_back(found->second);
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
        refuse(fmt::format("{}.{}", module, line()));
      }
      case STACK_GLOBAL: {
        const auto [module, name] = pop_some<2>();
        if (module->kind != Kind::text || name->kind != Kind::text) fail("it names a global by something other than text");
        global(module->text, name->text);
        return true;
      }
      case REDUCE: {
        const auto [callable, arguments] = pop_some<2>();
        call(*callable, *arguments);
        return true;
      }
      case NEWOBJ: {
        const auto [type, arguments] = pop_some<2>();
        if (type->text != kFastcoreList)
          call(*type, *arguments);
        else
          push(Kind::list);  // filled by BUILD, but never with weights
        return true;
      }
      case BUILD: {
        pop();  // attributes: `_metadata` of a state dict, the items of an L, a number type's byte order
        if (const Kind kind = top()->kind; kind != Kind::dict && kind != Kind::list && kind != Kind::number_type)
          fail(fmt::format("it sets attributes of {}", name_of(kind)));
        return true;
      }
      case BINPERSID: storage(*pop()); return true;
      default: return false;
    }
  }

  void global(std::string_view module, std::string_view name) {
    if (module.size() + name.size() > kLongestName)
      refuse(fmt::format("{}.{}", module.substr(0, kLongestName), name.substr(0, kLongestName)));
    std::string full = fmt::format("{}.{}", module, name);
    if (!is_allowed(full)) refuse(full);
    push(Kind::global).text = std::move(full);
  }

  void call(const Node& callable, const Node& arguments) {
    if (callable.kind != Kind::global) fail(fmt::format("it calls {}", name_of(callable.kind)));
    if (arguments.kind != Kind::tuple) fail(fmt::format("it calls {} with {}", callable.text, name_of(arguments.kind)));
    const auto& given = arguments.items;
    if (callable.text == kRebuildTensor) return tensor(given);
    if (callable.text == kRebuildParameter) {
      if (given.empty() || given[0]->kind != Kind::tensor) fail("a parameter is made of something other than a tensor");
      return same_again(*given[0]);
    }
    if (callable.text == kOrderedDict) return ordered_dict(given);
    if (is_set_type(callable.text)) return sequence(Kind::set, callable.text, given);
    if (callable.text == kSize) return sequence(Kind::tuple, callable.text, given);
    if (callable.text == kFastcoreList) return sequence(Kind::list, callable.text, given);
    if (callable.text == kNumpyType) return number_type(given);
    if (callable.text == kNumpyScalar || callable.text == kNumpyScalarBefore2) return numpy_scalar(given);
    if (callable.text == kEncode) return encoded(given);
    refuse(callable.text);
  }

  void number_type(const std::vector<const Node*>& given) {
    if (given.empty() || given[0]->kind != Kind::text) fail("a number's type is not named by a text");
    push(Kind::number_type);
  }

  void numpy_scalar(const std::vector<const Node*>& given) {
    if (given.size() != 2 || given[0]->kind != Kind::number_type || given[1]->kind != Kind::bytes)
      fail("a number of numpy's is not made of its type and its bytes");
    push(Kind::real).real = std::numeric_limits<double>::quiet_NaN();
  }

  void encoded(const std::vector<const Node*>& given) {
    if (given.size() != 2 || given[0]->kind != Kind::text || given[1]->kind != Kind::text)
      fail("bytes are made of something other than text");
    push(Kind::bytes);  // a numpy number, whose value is ignored
  }

  void same_again(const Node& node) {
    const Node copy = node;
    Node& made = push(copy.kind);
    made.items = copy.items;
    made.depth = copy.depth;
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

  /// (storage, offset, sizes, strides, requires_grad, hooks[, metadata])
  void tensor(const std::vector<const Node*>& given) {
    const bool fits = given.size() >= 4 && given.size() <= 7 && given[0]->kind == Kind::storage && given[1]->kind == Kind::integer &&
                      given[2]->kind == Kind::tuple && given[3]->kind == Kind::tuple;
    if (!fits) fail("a tensor is not made of a storage, an offset, sizes and strides");
    for (const Node* numbers : {given[2], given[3]}) {
      for (const Node* extent : numbers->items) {
        if (extent->kind != Kind::integer) fail(fmt::format("a tensor has {} among its sizes and strides", name_of(extent->kind)));
      }
    }
    if (given.size() == 7 && given[6]->kind == Kind::dict && !given[6]->items.empty()) {
      fail("a tensor has a negation or a conjugation pending; save it with .resolve_neg().resolve_conj()");
    }
    attach_all(push(Kind::tensor), std::span(given).first(4));
  }

  /// ('storage', type, key, location, elements)
  void storage(const Node& id) {
    const auto& given = id.items;
    const bool fits = id.kind == Kind::tuple && given.size() == 5 && given[0]->kind == Kind::text && given[0]->text == "storage" &&
                      given[1]->kind == Kind::global && is_storage_type(given[1]->text) && given[2]->kind == Kind::text &&
                      given[2]->text.size() <= kLongestName && given[4]->kind == Kind::integer && given[4]->integer >= 0;
    if (!fits) fail("a storage is not named by type, key, location and size");
    Node& made = push(Kind::storage);
    made.text = given[2]->text;
    made.integer = given[4]->integer;
    attach(made, given[1]);
  }

  std::span<const std::byte> rest_;
  std::string_view origin_;
  Result result_;
  std::vector<Node*> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, Node*> memo_;
  int64_t items_ = 0;
};

}  // namespace

std::string_view name_of(Kind kind) {
  constexpr std::string_view kKindNames[] = {"None",   "a boolean", "a number",  "a number", "a number",
                                             "a text", "bytes",     "a list",    "a tuple",  "a set",
                                             "a dict", "a class",   "a storage", "a tensor", "a type of numbers"};
  return kKindNames[static_cast<size_t>(kind)];
}

Result unpickle(std::span<const std::byte> pickle, std::string_view origin) { return Machine(pickle, origin).run(); }

}  // namespace mirilla::weights::pickle
