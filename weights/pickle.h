// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
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
  number_type
};

/// "a number", "a list": the name of a kind of value in a sentence.
std::string_view name_of(Kind kind);

/// One value that a pickle built. Nodes point at each other, shared and even in circles as pickles allow; all belong to their Result.
struct Node {
  Kind kind = Kind::none;
  int depth = 1;        // levels of nesting from this node down
  int64_t integer = 0;  // boolean, integer; for a storage its number of elements
  double real = 0;
  std::string text;  // text, bytes; for a global "module.name", for a storage its key
  /// list, tuple, set: the elements. dict: key, value, key, value. storage: its type, a global. tensor: storage, offset, sizes, strides.
  std::vector<const Node*> items;
};

struct Result {
  std::deque<Node> nodes;
  const Node* root = nullptr;
};

/// Runs a pickle (protocols 2 to 5) as written by PyTorch, with an interpreter that knows only plain values, plain containers and tensors:
/// the globals collections.OrderedDict, set and frozenset, torch.Size, torch.*Storage, torch._utils._rebuild_tensor_v2 and
/// _rebuild_parameter, and the types in fastai's optimizer state: fastcore's L (a list) and numpy's scalars (after fine_tune, the groups'
/// rates), which become a real of value NaN, since it is not used. A storage is only named here and not read; sizes in the file are not
/// trusted.
///   [Python's Lib/pickletools.py for the opcodes; torch/_weights_only_unpickler.py for the idea]
///
/// Throws WeightsError naming `origin`: for any other global (by its name), for other opcodes, for a pickle that is cut or ill-formed, and
/// past 64 levels of nesting or a million opcodes.
Result unpickle(std::span<const std::byte> pickle, std::string_view origin);

}  // namespace mirilla::weights::pickle
