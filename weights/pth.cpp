// SPDX-License-Identifier: MIT
#include "weights/pth.h"

#include <algorithm>
#include <array>
#include <optional>

#include "weights/file_bytes.h"
#include "weights/pickle.h"
#include "weights/pth_contents.h"
#include "weights/stored_types.h"

namespace mirilla::weights {
namespace {

using pickle::Kind;
using pickle::Node;

constexpr uint64_t kCopiesPerFileByte = 8;
constexpr uint64_t kSmallFileCopies = 64 << 20;

/// Turns the tensors that a pickle describes into arrays, reading each storage once and only when it is needed.
class TensorReader {
 public:
  explicit TensorReader(const PthContents& file) : file_(file), copies_left_(kCopiesPerFileByte * file.file_size + kSmallFileCopies) {}

  /// Empty for a tensor of a type that is not read.
  std::optional<Array> read(std::string_view name, const Node& tensor) {
    const Node& storage = *tensor.items[0];
    const StoredType* const type = stored_type(type_name(tensor));
    if (type == nullptr) return std::nullopt;
    if (type->convert != nullptr) {
      converted_.emplace(type->torch, fmt::format("{} and others like it were stored as {} and became {}", shown(name), type->torch,
                                                  mirilla::name_of(type->dtype)));
    }
    const Shape shape = shape_of(name, *tensor.items[2]);
    const FileBytes& bytes = bytes_of(name, storage);
    const auto elements = static_cast<int64_t>(bytes.size / type->element_bytes);
    const Placed placed = place(name, tensor, shape, elements);
    const std::byte* const first = bytes.data.get() + (shape.numel() == 0 ? 0 : static_cast<size_t>(placed.offset) * type->element_bytes);
    const bool aligned = reinterpret_cast<uintptr_t>(first) % size_of(type->dtype) == 0;
    if (type->convert == nullptr && aligned && is_dense(shape, placed.strides)) return Array(type->dtype, shape, {bytes.data, first});
    return made_dense(name, *type, shape, placed.strides, first);
  }

  /// "torch.ComplexFloatStorage": the type of a tensor's elements as the file names it.
  static std::string_view type_name(const Node& tensor) {
    return tensor.items.size() > 4 ? tensor.items[4]->text : tensor.items[0]->items[0]->text;
  }

  /// The first tensor of a kind that had to be converted, for a note.
  const std::map<std::string_view, std::string>& converted() const { return converted_; }

 private:
  struct Placed {
    int64_t offset;
    std::vector<int64_t> strides;
  };

  [[noreturn]] void fail(std::string_view name, std::string_view why) const {
    throw WeightsError(fmt::format("{}: tensor {} {}", shown(file_.origin), shown(name), why));
  }

  Shape shape_of(std::string_view name, const Node& sizes) const {
    std::vector<int64_t> extents;
    for (const Node* size : sizes.items) extents.push_back(size->integer);
    try {
      return Shape(std::span<const int64_t>(extents));
    } catch (const ShapeError&) {
      fail(name, fmt::format("has the sizes ({}): {} at most and none negative, and a product that fits", fmt::join(extents, ","),
                             Shape::kMaxRank));
    }
  }

  /// Offset and strides, after the check that no index reaches outside the storage.
  Placed place(std::string_view name, const Node& tensor, const Shape& shape, int64_t storage_elements) const {
    const auto& numbers = tensor.items[3]->items;
    const auto& storage = tensor.items[0]->items;
    if (numbers.size() != static_cast<size_t>(shape.rank()))
      fail(name, fmt::format("has {} sizes and {} strides", shape.rank(), numbers.size()));
    Placed placed{tensor.items[1]->integer, {}};
    bool inside =
        placed.offset >= 0 && (storage.size() == 1 || !__builtin_add_overflow(placed.offset, storage[1]->integer, &placed.offset));
    int64_t last = placed.offset;
    for (int d = 0; d < shape.rank() && inside; ++d) {
      placed.strides.push_back(shape[d] == 1 ? 0 : numbers[static_cast<size_t>(d)]->integer);  // an extent of 1 never uses its stride
      int64_t reach = 0;
      inside = placed.strides.back() >= 0 && !__builtin_mul_overflow(std::max<int64_t>(shape[d] - 1, 0), placed.strides.back(), &reach) &&
               !__builtin_add_overflow(last, reach, &last);
    }
    if (!inside || (shape.numel() > 0 && last >= storage_elements)) {
      fail(name, fmt::format("{} reaches outside its storage of {} elements by its offset or strides", to_string(shape), storage_elements));
    }
    return placed;
  }

  /// A storage's bytes; it says how many elements they are, or, if it has no type of its own, how many bytes.
  const FileBytes& bytes_of(std::string_view name, const Node& storage) {
    auto found = storages_.find(storage.text);
    if (found == storages_.end()) found = storages_.emplace(storage.text, file_.storage(storage.text)).first;
    const StoredType* const type = stored_type(storage.items[0]->text);
    const size_t size = found->second.size, element = type == nullptr ? 1 : type->element_bytes;
    if (size / element != static_cast<size_t>(storage.integer)) {
      fail(name, fmt::format("has a storage of {} elements, and the file keeps {} bytes for it", storage.integer, size));
    }
    return found->second;
  }

  static bool is_dense(const Shape& shape, const std::vector<int64_t>& strides) {
    if (shape.numel() == 0) return true;
    int64_t expected = 1;
    for (int d = shape.rank(); d-- > 0;) {
      if (shape[d] != 1 && strides[static_cast<size_t>(d)] != expected) return false;
      expected *= shape[d];
    }
    return true;
  }

  Array made_dense(std::string_view name, const StoredType& type, const Shape& shape, const std::vector<int64_t>& strides,
                   const std::byte* first) {
    const auto count = static_cast<uint64_t>(shape.numel());
    const size_t element = size_of(type.dtype);
    if (count > copies_left_ / element)
      fail(name, fmt::format("{} would take more memory than the file's size justifies", to_string(shape)));
    copies_left_ -= count * element;
    const auto data = allocate_bytes(count * element);
    std::array<int64_t, Shape::kMaxRank> index{};
    int64_t position = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const std::byte* const from = first + static_cast<size_t>(position) * type.element_bytes;
      if (type.convert != nullptr)
        type.convert(from, data.get() + i * element);
      else
        std::memcpy(data.get() + i * element, from, element);
      for (int d = shape.rank(); d-- > 0;) {  // count up, innermost first
        const auto at = static_cast<size_t>(d);
        position += strides[at];
        if (++index[at] < shape[d]) break;
        position -= strides[at] * shape[d];
        index[at] = 0;
      }
    }
    return {type.dtype, shape, data};
  }

  const PthContents& file_;
  uint64_t copies_left_;
  std::map<std::string_view, FileBytes> storages_;
  std::map<std::string_view, std::string> converted_;
};

size_t count_tensors(const Node& dict) {
  size_t count = 0;
  for (size_t i = 1; i < dict.items.size(); i += 2) count += dict.items[i]->kind == Kind::tensor ? 1 : 0;
  return count;
}

/// The text for a key in a note.
std::string label(const Node& key) { return key.kind == Kind::text ? shown(key.text) : std::string(pickle::name_of(key.kind)); }

std::string description(const Node& value) {
  if (value.kind == Kind::foreign) return fmt::format("an object of {}", shown(value.text));
  return std::string(pickle::name_of(value.kind));
}

/// Averaged weights, which evaluate better than those that training ended with; timm prefers them too.   [timm/models/_helpers.py]
constexpr std::string_view kAveraged[] = {"state_dict_ema", "model_ema", "ema_state_dict", "model_state_dict_ema", "ema_model",
                                          "params_ema",     "ema"};
constexpr std::string_view kUsual[] = {"state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"};
constexpr int kMostWrappers = 3;  // dicts around the state dict

/// The value under a text, or null.
const Node* value_of(const Node& dict, std::string_view name) {
  for (size_t i = 0; i < dict.items.size(); i += 2)
    if (dict.items[i]->kind == Kind::text && dict.items[i]->text == name) return dict.items[i + 1];
  return nullptr;
}

/// A state dict and the names that lead to it: {"model", "state_dict"}.
struct Choice {
  const Node* dict = nullptr;
  std::vector<const Node*> around;  // the dicts that hold it, the outermost first
  std::string name;                 // empty: the whole file is the state dict
};

/// The state dict in a dict of the usual form.
std::optional<Choice> usual_state_dict(const Node& dict, int wrappers) {
  for (const std::span<const std::string_view> names :
       {std::span<const std::string_view>(kAveraged), std::span<const std::string_view>(kUsual)}) {
    for (const std::string_view name : names) {
      const Node* const value = value_of(dict, name);
      if (value == nullptr || value->kind != Kind::dict) continue;
      auto inside = wrappers < kMostWrappers ? usual_state_dict(*value, wrappers + 1) : std::nullopt;
      if (!inside && count_tensors(*value) == 0) continue;
      if (!inside) inside = Choice{value, {}, {}};
      inside->around.insert(inside->around.begin(), &dict);
      inside->name = fmt::format("{}{}{}", name, inside->name.empty() ? "" : ".", inside->name);
      return inside;
    }
  }
  return std::nullopt;
}

[[noreturn]] void refuse_object(const PthContents& file, const Node& object, std::string_view access) {
  throw WeightsError(
      fmt::format("{} holds a whole Python object of {}, which is not built, and no state dict", shown(file.origin), shown(object.text)),
      fmt::format("in Python: torch.save(torch.load('{}', weights_only=False){}.state_dict(), 'new.pth')",
                  std::filesystem::path(file.origin).filename().string(), access));
}

/// The dict of named tensors that a file is meant to hold: see read_pth.
Choice obvious_state_dict(const PthContents& file) {
  const Node& root = *file.pickled.root;
  if (root.kind == Kind::foreign) refuse_object(file, root, "");
  if (root.kind != Kind::dict) {
    throw WeightsError(fmt::format("{} contains {}, expected a dict of named tensors", shown(file.origin), pickle::name_of(root.kind)),
                       "in Python: torch.save(model.state_dict(), path)");
  }
  if (auto usual = usual_state_dict(root, 1)) return *usual;
  if (count_tensors(root) > 0) return {&root, {}, {}};
  std::vector<std::pair<const Node*, const Node*>> nested;
  for (size_t i = 0; i < root.items.size(); i += 2) {
    const Node& value = *root.items[i + 1];
    if (value.kind == Kind::dict && count_tensors(value) > 0) nested.emplace_back(root.items[i], &value);
  }
  if (nested.size() == 1) return {nested[0].second, {&root}, label(*nested[0].first)};
  for (const std::span<const std::string_view> names :
       {std::span<const std::string_view>(kUsual), std::span<const std::string_view>(kAveraged)})
    for (const std::string_view name : names)
      if (const Node* const value = value_of(root, name); nested.empty() && value != nullptr && value->kind == Kind::foreign)
        refuse_object(file, *value, fmt::format("['{}']", name));
  std::string choice;
  for (const auto& [key, dict] : nested) choice += (choice.empty() ? ": " : ", ") + label(*key);
  throw WeightsError(fmt::format("{} contains {} dicts of tensors{}, but none with a usual name", shown(file.origin), nested.size(),
                                 choice.substr(0, 200)),
                     "save only the intended one: torch.save(model.state_dict(), path)");
}

void note_passed_over(StateDict& state, const Node& dict, const Node* taken) {
  constexpr size_t kMostNotes = 8;
  size_t more = 0;
  for (size_t i = 0; i < dict.items.size(); i += 2) {
    const Node& value = *dict.items[i + 1];
    if (&value == taken || (taken == nullptr && value.kind == Kind::tensor)) continue;
    if (state.notes.size() < kMostNotes) {
      state.notes.push_back(fmt::format("{} is {} and was skipped", label(*dict.items[i]), description(value)));
    } else {
      ++more;
    }
  }
  if (more > 0) state.notes.push_back(fmt::format("and {} more like this", more));
}

void note_choice(StateDict& state, const Choice& choice) {
  for (const std::string_view averaged : kAveraged)
    if (choice.name.starts_with(averaged)) state.notes.push_back(fmt::format("'{}', averaged weights, were taken", choice.name));
  for (size_t i = 0; i < choice.around.size(); ++i)
    note_passed_over(state, *choice.around[i], i + 1 < choice.around.size() ? choice.around[i + 1] : choice.dict);
  note_passed_over(state, *choice.dict, nullptr);
}

PthContents contents_of(const std::filesystem::path& path) {
  const std::string start = first_bytes(path, 32);
  if (is_legacy(start)) return legacy_contents(path);
  if (start.starts_with('\x80'))
    throw WeightsError(fmt::format("{} is a plain Python pickle, which is not supported", shown(path.string())),
                       "save the weights with torch.save(model.state_dict(), path)");
  return zip_contents(path);
}

}  // namespace

StateDict read_pth(const std::filesystem::path& path) {
  const PthContents file = contents_of(path);
  const Choice choice = obvious_state_dict(file);
  StateDict state;
  note_choice(state, choice);
  TensorReader reader(file);
  const auto& items = choice.dict->items;
  for (size_t i = 0; i < items.size(); i += 2) {
    const Node& key = *items[i];
    const Node& value = *items[i + 1];
    if (value.kind != Kind::tensor) continue;
    if (key.kind != Kind::text) {
      throw WeightsError(
          fmt::format("{} has a tensor under the key {}, which is not a name", shown(file.origin), pickle::name_of(key.kind)));
    }
    if (auto array = reader.read(key.text, value))
      state.add(std::string(key.text), std::move(*array));
    else
      state.notes.push_back(
          fmt::format("{} is of type {}, which is not read, and was skipped", shown(key.text), shown(TensorReader::type_name(value))));
  }
  for (const auto& [type, note] : reader.converted()) state.notes.push_back(note);
  return state;
}

}  // namespace mirilla::weights
