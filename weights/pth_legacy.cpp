// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <cstring>
#include <map>
#include <memory>

#include "kernels/core/error.h"
#include "weights/pth_contents.h"
#include "weights/stored_types.h"

namespace mirilla::weights {
namespace {

/// The first pickle of such a file, a number.   [torch/serialization.py, MAGIC_NUMBER]
constexpr std::string_view kStart = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr int64_t kVersion = 1001;

using pickle::Kind;
using pickle::Node;
using Storages = std::map<std::string, FileBytes, std::less<>>;

class Reader {
 public:
  Reader(const FileBytes& file, std::string_view origin) : file_(file), rest_(file.data.get(), file.size), origin_(origin) {}

  pickle::Result next_pickle() {
    pickle::Result result = pickle::unpickle(rest_, origin_);
    rest_ = rest_.subspan(result.size);
    return result;
  }

  void read_head() {
    next_pickle();  // the magic number
    const pickle::Result version = next_pickle();
    if (version.root->kind != Kind::integer || version.root->integer != kVersion)
      fail(fmt::format("has a version other than {}", kVersion));
    const pickle::Result system = next_pickle();
    const auto& items = system.root->items;
    for (size_t i = 0; i + 1 < items.size(); i += 2)
      if (items[i]->text == "little_endian" && items[i + 1]->kind == Kind::boolean && items[i + 1]->integer == 0)
        fail("was written with big byte order, but only little is supported");
  }

  /// The storages behind the pickles. Views of the file.
  Storages read_storages(const pickle::Result& pickled) {
    std::map<std::string_view, const Node*> described;
    for (const Node& node : pickled.nodes)
      if (node.kind == Kind::storage) described.emplace(node.text, &node);
    const pickle::Result keys = next_pickle();
    if (keys.root->kind != Kind::list) fail("has no list of its storages");
    Storages storages;
    for (const Node* key : keys.root->items) {
      const auto found = described.find(key->text);
      if (key->kind != Kind::text || found == described.end()) fail("has a storage that no tensor uses");
      const StoredType* type = stored_type(found->second->items[0]->text);
      if (type == nullptr) fail(fmt::format("has a {}, whose elements are not read", found->second->items[0]->text));
      storages.emplace(key->text, next_storage(type->element_bytes));
    }
    return storages;
  }

 private:
  [[noreturn]] void fail(std::string_view why) const {
    throw WeightsError(fmt::format("{}, a file of torch.save before PyTorch 1.6, {}", shown(origin_), why),
                       "was its download or its copy cut off?");
  }

  FileBytes next_storage(size_t element_bytes) {
    int64_t count = 0;
    if (rest_.size() < sizeof count) fail("ends before its last storage");
    std::memcpy(&count, rest_.data(), sizeof count);
    rest_ = rest_.subspan(sizeof count);
    if (count < 0 || static_cast<uint64_t>(count) > rest_.size() / element_bytes)
      fail(fmt::format("ends in a storage of {} elements", count));
    const size_t bytes = static_cast<size_t>(count) * element_bytes;
    const FileBytes storage{{file_.data, rest_.data()}, bytes};
    rest_ = rest_.subspan(bytes);
    return storage;
  }

  const FileBytes& file_;
  std::span<const std::byte> rest_;
  std::string_view origin_;
};

}  // namespace

bool is_legacy(std::string_view start) { return start.starts_with(kStart); }

PthContents legacy_contents(const std::filesystem::path& path) {
  PthContents contents{.origin = path.string(), .file_size = readable_size(path), .pickle = map_file(path), .pickled = {}, .storage = {}};
  Reader reader(contents.pickle, contents.origin);
  reader.read_head();
  contents.pickled = reader.next_pickle();
  contents.storage = [storages = reader.read_storages(contents.pickled), origin = contents.origin](std::string_view key) {
    const auto found = storages.find(key);
    if (found == storages.end()) throw WeightsError(fmt::format("{} has no storage {}", shown(origin), shown(key)));
    return found->second;
  };
  return contents;
}

}  // namespace mirilla::weights
