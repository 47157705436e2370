// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <limits>

#include "engine/zip_pack.h"
#include "kernels/core/atomic_file.h"
#include "weights/file_bytes.h"
#include "weights/pth.h"
#include "weights/stored_types.h"

namespace mirilla::weights {
namespace {

/// Builds the pickle of an OrderedDict of tensors, in protocol 2.   [torch/_utils.py _rebuild_tensor_v2; torch/serialization.py
/// persistent_id]
class Pickler {
 public:
  Pickler() {
    text_ =
        "\x80\x02"
        "ccollections\nOrderedDict\n)R(";
  }

  /// A tensor that begins with its storage.
  void tensor(std::string_view name, const Array& array, std::string_view key) {
    text(name);
    text_ += "ctorch._utils\n_rebuild_tensor_v2\n((";
    text("storage");
    text_ += fmt::format("ctorch\n{}\n", storage_of(name, array.dtype()));
    text(key);
    text("cpu");
    integer(array.numel());
    text_ += "tQ";
    integer(0);
    text_ += '(';
    for (const int64_t extent : array.shape()) integer(extent);
    text_ += "t(";
    int64_t stride = array.numel();
    for (const int64_t extent : array.shape()) {
      stride = extent == 0 ? 1 : stride / extent;
      integer(stride);
    }
    text_ +=
        "t\x89"
        "ccollections\nOrderedDict\n)RtR";
  }

  std::string finished() { return text_ + "u."; }

 private:
  static std::string_view storage_of(std::string_view name, DType dtype) {
    const StoredType* const type = stored_type_of(dtype);
    if (type == nullptr)
      throw WeightsError(fmt::format("tensor {} is {}, which torch.save has no storage for", shown(name), name_of(dtype)));
    return type->storage.substr(std::string_view("torch.").size());
  }

  void text(std::string_view value) {
    text_ += 'X';
    little_endian(static_cast<uint32_t>(value.size()));
    text_ += value;
  }

  void integer(int64_t value) {
    if (value >= 0 && value <= std::numeric_limits<int32_t>::max()) {
      text_ += 'J';
      little_endian(static_cast<uint32_t>(value));
    } else {
      text_ += "\x8a\x08";
      little_endian(static_cast<uint64_t>(value));
    }
  }

  template <class T>
  void little_endian(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) text_ += static_cast<char>(value >> (8 * i) & 0xff);
  }

  std::string text_;
};

}  // namespace

void write_pth(const std::filesystem::path& path, const StateDict& state) {
  Pickler pickler;
  std::vector<ZipEntry> entries(1);
  const auto text_entry = [](const char* name, std::string_view text) {
    return ZipEntry{fmt::format("archive/{}", name), std::as_bytes(std::span(text))};
  };
  entries.push_back(text_entry("byteorder", "little"));
  int64_t key = 0;
  for (const auto& [name, array] : state) {
    pickler.tensor(name, array, std::to_string(key));
    entries.push_back({fmt::format("archive/data/{}", key++), array.bytes()});
  }
  entries.push_back(text_entry("version", "3\n"));
  const std::string pickle = pickler.finished();
  entries[0] = text_entry("data.pkl", pickle);
  write_atomically(path, pack_zip(entries));
}

}  // namespace mirilla::weights
