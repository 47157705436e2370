// SPDX-License-Identifier: MIT
#include "weights/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/core/atomic_file.h"
#include "weights/file_bytes.h"
#include "weights/safetensors_header.h"

namespace mirilla::weights {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kMaxHeaderBytes = 100'000'000;  // the limit of the format
constexpr std::string_view kMetadataKey = "__metadata__";

uint64_t read_u64(const std::byte* bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) value |= uint64_t{std::to_integer<uint8_t>(bytes[i])} << (8 * i);
  return value;
}

std::string u64_bytes(uint64_t value) {
  std::string bytes(kLengthBytes, '\0');
  for (size_t i = 0; i < kLengthBytes; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

/// Checks that the tensors cover the data without gap, overlap or rest, as the format requires: a file has no hidden bytes.
void check_offsets(const SafetensorsHeader& header, size_t data_size, std::string_view origin) {
  std::vector<const SafetensorsEntry*> in_order;
  for (const auto& entry : header.entries) in_order.push_back(&entry);
  std::sort(in_order.begin(), in_order.end(), [](auto* a, auto* b) { return std::pair(a->begin, a->end) < std::pair(b->begin, b->end); });
  uint64_t position = 0;
  for (const auto* entry : in_order) {
    if (entry->begin != position || entry->end < entry->begin) {
      throw WeightsError(fmt::format("{}: tensor {} uses bytes {} to {} of the data, but byte {} is the next free one", shown(origin),
                                     shown(entry->name), entry->begin, entry->end, position),
                         "tensors must follow each other without overlaps or holes");
    }
    const uint64_t element = entry->type->element_bytes;
    const uint64_t bytes = entry->end - entry->begin;
    if (bytes % element != 0 || bytes / element != static_cast<uint64_t>(entry->shape.numel())) {
      throw WeightsError(fmt::format("{}: tensor {} is {} of {} and has {} bytes", shown(origin), shown(entry->name),
                                     to_string(entry->shape), entry->type->safetensors, bytes));
    }
    position = entry->end;
  }
  if (position != data_size) {
    throw WeightsError(fmt::format("{}: the header announces {} bytes of data, but the file has {}", shown(origin), position, data_size),
                       "was its download or copy interrupted?");
  }
}

Array converted_array(const StoredType& type, const Shape& shape, const std::byte* from) {
  const auto count = static_cast<size_t>(shape.numel());
  const auto data = allocate_bytes(count * size_of(type.dtype));
  for (size_t i = 0; i < count; ++i) type.convert(from + i * type.element_bytes, data.get() + i * size_of(type.dtype));
  return {type.dtype, shape, data};
}

StateDict parse(const FileBytes& file, std::string_view origin) {
  if (file.size < kLengthBytes) {
    throw WeightsError(fmt::format("{} has {} bytes, too few for a safetensors file", shown(origin), file.size));
  }
  const uint64_t length = read_u64(file.data.get());
  if (length > kMaxHeaderBytes || length > file.size - kLengthBytes) {
    throw WeightsError(fmt::format("{} says that its header has {} bytes; the file has {} and a header at most {}", shown(origin), length,
                                   file.size, kMaxHeaderBytes),
                       "is it a safetensors file, and was it copied completely?");
  }
  const auto* text = reinterpret_cast<const char*>(file.data.get() + kLengthBytes);
  SafetensorsHeader header = parse_safetensors_header({text, static_cast<size_t>(length)}, origin);
  const size_t data_begin = kLengthBytes + length;
  check_offsets(header, file.size - data_begin, origin);

  StateDict state;
  std::set<const StoredType*> converted;
  state.metadata = std::move(header.metadata);
  for (auto& entry : header.entries) {
    const std::byte* const from = file.data.get() + data_begin + entry.begin;
    const DType dtype = entry.type->dtype;
    if (entry.type->convert != nullptr) {
      if (converted.insert(entry.type).second)
        state.notes.push_back(fmt::format("{} and others like it were stored as {} and became {}", shown(entry.name),
                                          entry.type->safetensors, name_of(dtype)));
      state.add(std::move(entry.name), converted_array(*entry.type, entry.shape, from));
    } else if (reinterpret_cast<uintptr_t>(from) % size_of(dtype) == 0) {
      state.add(std::move(entry.name), Array(dtype, entry.shape, {file.data, from}));
    } else {  // other writers may leave a tensor unaligned
      state.add(std::move(entry.name), Array::copy_of(dtype, entry.shape, {from, entry.end - entry.begin}));
    }
  }
  return state;
}

std::string quoted(std::string_view text, std::string_view what) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw WeightsError(fmt::format("{} {} is not UTF-8, but safetensors allows nothing else", what, shown(text)));
  }
}

/// The entries' places in the data: larger elements first, so that each tensor is aligned; otherwise in their order.
std::vector<const StateDict::Entry*> order_of_data(const StateDict& state) {
  std::vector<const StateDict::Entry*> order;
  for (const auto& entry : state) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](auto* a, auto* b) { return size_of(a->second.dtype()) > size_of(b->second.dtype()); });
  return order;
}

std::string_view safetensors_name(std::string_view name, DType dtype) {
  const StoredType* const type = stored_type_of(dtype);
  if (type == nullptr) throw WeightsError(fmt::format("tensor {} is {}, which safetensors has no name for", shown(name), name_of(dtype)));
  return type->safetensors;
}

std::string header_text(const StateDict& state, const std::vector<const StateDict::Entry*>& data_order) {
  std::unordered_map<const StateDict::Entry*, size_t> begin;
  size_t position = 0;
  for (const auto* entry : data_order) {
    begin[entry] = position;
    position += entry->second.size_bytes();
  }
  std::string text = "{";
  const auto next = [&] { return text.size() > 1 ? "," : ""; };
  if (!state.metadata.empty()) {
    std::string pairs;
    for (const auto& [key, value] : state.metadata) {
      pairs += fmt::format("{}{}:{}", pairs.empty() ? "" : ",", quoted(key, "the metadata key"), quoted(value, "the metadata"));
    }
    text += fmt::format("\"{}\":{{{}}}", kMetadataKey, pairs);
  }
  for (const auto& entry : state) {
    const auto& [name, array] = entry;
    if (name == kMetadataKey) throw WeightsError(fmt::format("a tensor cannot be named '{}': safetensors reserves that name", name));
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", next(), quoted(name, "the name"),
                        safetensors_name(name, array.dtype()), fmt::join(array.shape(), ","), begin[&entry],
                        begin[&entry] + array.size_bytes());
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

StateDict read_safetensors(const std::filesystem::path& path) { return parse(map_file(path), path.string()); }

StateDict parse_safetensors(std::span<const std::byte> file, std::string_view origin) {
  const auto data = allocate_bytes(file.size());
  std::copy(file.begin(), file.end(), data.get());
  return parse({data, file.size()}, origin);
}

void write_safetensors(const std::filesystem::path& path, const StateDict& state) {
  const auto data_order = order_of_data(state);
  const std::string header = header_text(state, data_order);
  if (header.size() > kMaxHeaderBytes) {
    throw WeightsError(fmt::format("the header would have {} bytes, but safetensors allows {}", header.size(), kMaxHeaderBytes));
  }
  write_atomically(path, [&](std::ostream& out) {
    out << u64_bytes(header.size()) << header;
    for (const auto* entry : data_order) {
      const auto bytes = entry->second.bytes();
      out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
  });
}

}  // namespace mirilla::weights
