// SPDX-License-Identifier: MIT
#include "weights/pth.h"

#include <algorithm>
#include <array>

#include "weights/file_bytes.h"
#include "weights/pickle.h"
#include "weights/pth_archive.h"

namespace mirilla::weights {
namespace {

using pickle::Kind;
using pickle::Node;

constexpr uint64_t kCopiesPerFileByte = 8;
constexpr uint64_t kSmallFileCopies = 64 << 20;

/// The element type of a torch storage, and the dtype in which we keep it.
struct StorageType {
  std::string_view name;
  size_t element_bytes;
  DType dtype;
  bool converted;
};
constexpr StorageType kStorageTypes[] = {
    {"torch.FloatStorage", 4, DType::f32, false},     {"torch.DoubleStorage", 8, DType::f64, false},
    {"torch.HalfStorage", 2, DType::f16, false},      {"torch.ByteStorage", 1, DType::u8, false},
    {"torch.BFloat16Storage", 2, DType::bf16, false}, {"torch.LongStorage", 8, DType::i64, false},
    {"torch.BoolStorage", 1, DType::u8, true},        {"torch.CharStorage", 1, DType::i64, true},
    {"torch.ShortStorage", 2, DType::i64, true},      {"torch.IntStorage", 4, DType::i64, true},
};

template <class T>
int64_t widened(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

/// Copies one element, widening the integers that the engine has no dtype for.
void copy_element(const StorageType& type, const std::byte* from, std::byte* to) {
  if (type.dtype == DType::i64 && type.converted) {
    const int64_t value = type.element_bytes == 1   ? widened<int8_t>(from)
                          : type.element_bytes == 2 ? widened<int16_t>(from)
                                                    : widened<int32_t>(from);
    std::memcpy(to, &value, sizeof(value));
  } else {
    std::memcpy(to, from, type.element_bytes);
  }
}

/// Turns the tensors that a pickle describes into arrays, reading each storage once and only when it is needed.
class TensorReader {
 public:
  explicit TensorReader(PthArchive& archive)
      : archive_(archive), copies_left_(kCopiesPerFileByte * archive.file_size() + kSmallFileCopies) {}

  Array read(std::string_view name, const Node& tensor) {
    const Node& storage = *tensor.items[0];
    const StorageType& type = type_of(name, storage);
    const Shape shape = shape_of(name, *tensor.items[2]);
    const auto offset = tensor.items[1]->integer;
    const std::vector<int64_t> strides = strides_of(name, tensor, shape, storage.integer);
    const FileBytes& bytes = bytes_of(name, storage, type);
    if (!type.converted && is_dense(shape, strides)) {
      const std::byte* first = bytes.data.get() + (shape.numel() == 0 ? 0 : static_cast<size_t>(offset) * type.element_bytes);
      return {type.dtype, shape, {bytes.data, first}};
    }
    return made_dense(name, type, shape, strides,
                      bytes.data.get() + static_cast<size_t>(shape.numel() == 0 ? 0 : offset) * type.element_bytes);
  }

  /// The first tensor of a kind that had to be converted, for a note.
  const std::map<std::string, std::string>& converted() const { return converted_; }

 private:
  [[noreturn]] void fail(std::string_view name, std::string_view why) const {
    throw WeightsError(fmt::format("{}: tensor {} {}", shown(archive_.origin()), shown(name), why));
  }

  const StorageType& type_of(std::string_view name, const Node& storage) {
    const std::string& wanted = storage.items[0]->text;
    for (const auto& type : kStorageTypes) {
      if (type.name != wanted) continue;
      if (type.converted)
        converted_.emplace(wanted,
                           fmt::format("{} and others like it were stored as {} and became {}", shown(name), wanted, name_of(type.dtype)));
      return type;
    }
    fail(name, fmt::format("is a {}, but only float, double, half, bfloat16, integer and bool are read", wanted));
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

  /// The strides, after the check that no index reaches outside the storage.
  std::vector<int64_t> strides_of(std::string_view name, const Node& tensor, const Shape& shape, int64_t storage_elements) const {
    const auto& numbers = tensor.items[3]->items;
    if (numbers.size() != static_cast<size_t>(shape.rank()))
      fail(name, fmt::format("has {} sizes and {} strides", shape.rank(), numbers.size()));
    std::vector<int64_t> strides;
    int64_t last = tensor.items[1]->integer;
    bool inside = last >= 0;
    for (int d = 0; d < shape.rank() && inside; ++d) {
      strides.push_back(shape[d] == 1 ? 0 : numbers[static_cast<size_t>(d)]->integer);  // an extent of 1 never uses its stride
      int64_t reach = 0;
      inside = strides.back() >= 0 && !__builtin_mul_overflow(std::max<int64_t>(shape[d] - 1, 0), strides.back(), &reach) &&
               !__builtin_add_overflow(last, reach, &last);
    }
    if (!inside || (shape.numel() > 0 && last >= storage_elements)) {
      fail(name, fmt::format("{} reaches outside its storage of {} elements by its offset or strides", to_string(shape), storage_elements));
    }
    return strides;
  }

  const FileBytes& bytes_of(std::string_view name, const Node& storage, const StorageType& type) {
    auto found = storages_.find(storage.text);
    if (found == storages_.end()) found = storages_.emplace(storage.text, archive_.read("data/" + storage.text)).first;
    const size_t size = found->second.size;
    if (size / type.element_bytes != static_cast<size_t>(storage.integer)) {
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

  Array made_dense(std::string_view name, const StorageType& type, const Shape& shape, const std::vector<int64_t>& strides,
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
      copy_element(type, first + static_cast<size_t>(position) * type.element_bytes, data.get() + i * element);
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

  PthArchive& archive_;
  uint64_t copies_left_;
  std::map<std::string, FileBytes> storages_;
  std::map<std::string, std::string> converted_;
};

size_t count_tensors(const Node& dict) {
  size_t count = 0;
  for (size_t i = 1; i < dict.items.size(); i += 2) count += dict.items[i]->kind == Kind::tensor ? 1 : 0;
  return count;
}

/// The text for a key in a note.
std::string label(const Node& key) { return key.kind == Kind::text ? shown(key.text) : std::string(pickle::name_of(key.kind)); }

/// The dict of named tensors that a file is meant to hold: see read_pth.
const Node& obvious_state_dict(const Node& root, const PthArchive& archive) {
  constexpr std::string_view kUsualNames[] = {"state_dict", "model_state_dict", "model"};
  if (root.kind != Kind::dict) {
    throw WeightsError(fmt::format("{} contains {}, expected a dict of named tensors", shown(archive.origin()), pickle::name_of(root.kind)),
                       "in Python: torch.save(model.state_dict(), path)");
  }
  std::vector<std::pair<const Node*, const Node*>> nested;
  for (size_t i = 0; i < root.items.size(); i += 2) {
    const Node& value = *root.items[i + 1];
    if (value.kind == Kind::dict && count_tensors(value) > 0) nested.emplace_back(root.items[i], &value);
  }
  for (const std::string_view name : kUsualNames) {
    for (const auto& [key, dict] : nested) {
      if (key->kind == Kind::text && key->text == name) return *dict;
    }
  }
  if (count_tensors(root) > 0) return root;
  if (nested.size() == 1) return *nested[0].second;
  std::string choice;
  for (const auto& [key, dict] : nested) choice += (choice.empty() ? ": " : ", ") + label(*key);
  throw WeightsError(fmt::format("{} contains {} dicts of tensors{}, but none with a usual name", shown(archive.origin()), nested.size(),
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
      state.notes.push_back(fmt::format("{} is {} and was skipped", label(*dict.items[i]), pickle::name_of(value.kind)));
    } else {
      ++more;
    }
  }
  if (more > 0) state.notes.push_back(fmt::format("and {} more like this", more));
}

}  // namespace

StateDict read_pth(const std::filesystem::path& path) {
  PthArchive archive(path);
  const FileBytes bytes = archive.read("data.pkl");
  const pickle::Result pickled = pickle::unpickle({bytes.data.get(), bytes.size}, archive.origin());
  const Node& chosen = obvious_state_dict(*pickled.root, archive);
  StateDict state;
  if (&chosen != pickled.root) note_passed_over(state, *pickled.root, &chosen);
  note_passed_over(state, chosen, nullptr);
  TensorReader reader(archive);
  for (size_t i = 0; i < chosen.items.size(); i += 2) {
    const Node& key = *chosen.items[i];
    const Node& value = *chosen.items[i + 1];
    if (value.kind != Kind::tensor) continue;
    if (key.kind != Kind::text) {
      throw WeightsError(
          fmt::format("{} has a tensor under the key {}, which is not a name", shown(archive.origin()), pickle::name_of(key.kind)));
    }
    state.add(key.text, reader.read(key.text, value));
  }
  for (const auto& [type, note] : reader.converted()) state.notes.push_back(note);
  return state;
}

}  // namespace mirilla::weights
