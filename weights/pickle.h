// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace mirilla::weights::pickle {

enum class Kind : uint8_t {
  none,
  boolean,
  integer,
  big_integer,
  real,
  text,
  bytes,
  list,
  tuple,
  set,
  dict,
  global,
  storage,
  tensor,
  foreign
};

/// "a number", "a list": the name of a kind of value in a sentence.
std::string_view name_of(Kind kind);

/// One value that a pickle built. Nodes point at each other, shared and even in circles as pickles allow; all belong to their Result.
struct Node {
  Kind kind = Kind::none;
  uint8_t depth = 1;  // levels of nesting from this node down
  union {
    int64_t integer = 0;  // boolean, integer; for a storage its number of elements
    double real;
  };
  /// text, bytes: a part of the pickle. global and foreign: "module.name". storage: its key.
  std::string_view text;
  /// list, tuple, set: the elements. dict: key, value, key, value. storage: its type, a global, and where its
  /// part of the whole begins if it is one. tensor: storage, offset, sizes, strides,
  /// and the dtype, a global, where the storage's type does not say it.
  std::vector<const Node*> items;
};

struct Result {
  std::deque<Node> nodes;
  std::unordered_set<std::string> names;  // of globals
  const Node* root = nullptr;
  size_t size = 0;  // of the pickle, which may be followed by other bytes
};

/// Runs a pickle (protocols 2 to 5) with an interpreter that knows only plain values, plain containers and tensors: the globals
/// collections.OrderedDict, set and frozenset, torch.Size, torch.*Storage, torch._utils._rebuild_tensor, _v2, _v3, _rebuild_parameter,
/// _rebuild_parameter_with_state and torch._tensor._rebuild_from_type_v2. An object of anything else, of argparse.Namespace say, is a node
/// of kind foreign: nothing is built, what it is made of is not looked at. A storage is only named here and not read; sizes in the file are
/// not trusted. The result refers to the pickle's bytes.
///   [Python's Lib/pickletools.py for the opcodes; torch/_weights_only_unpickler.py for the idea]
///
/// Throws WeightsError naming `origin`: for a global that runs code or commands wherever it stands, such as os.system or builtins.eval, for
/// other opcodes, for a pickle that is cut or ill-formed, and past 64 levels of nesting, 400,000 opcodes, 800,000 values in
/// containers or 10,000 names, so that less than 64 MiB are used whatever the pickle says.
Result unpickle(std::span<const std::byte> pickle, std::string_view origin);

}  // namespace mirilla::weights::pickle
