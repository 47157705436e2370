// SPDX-License-Identifier: MIT
#include "data/split.h"

#include <fstream>
#include <numeric>
#include <optional>
#include <random>
#include <unordered_map>

#include "data/archive/names.h"
#include "kernels/core/error.h"

namespace mirilla::data {

namespace {

constexpr int64_t kSeveral = -1;

/// Every suffix of every path that starts at a component, and the item it names.
std::unordered_map<std::string_view, int64_t> endings_of(std::span<const Item> items) {
  std::unordered_map<std::string_view, int64_t> endings;
  for (size_t i = 0; i < items.size(); ++i) {
    std::string_view rest = items[i].path;
    while (true) {
      const auto [place, is_new] = endings.try_emplace(rest, static_cast<int64_t>(i));
      if (!is_new) place->second = kSeveral;
      const size_t slash = rest.find('/');
      if (slash == std::string_view::npos) break;
      rest.remove_prefix(slash + 1);
    }
  }
  for (size_t i = 0; i < items.size(); ++i) endings[items[i].path] = static_cast<int64_t>(i);  // a full path is never ambiguous
  return endings;
}

std::string_view without_spaces(std::string_view line) {
  constexpr std::string_view kSpaces = " \t\r\n\v\f";
  const size_t first = line.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return line.substr(first, line.find_last_not_of(kSpaces) - first + 1);
}

std::optional<int64_t> find_written(const std::unordered_map<std::string_view, int64_t>& endings, std::string_view name) {
  std::string_view rest = name;
  while (rest.starts_with("./")) rest.remove_prefix(2);
  while (true) {
    if (const auto place = endings.find(rest); place != endings.end()) {
      if (place->second != kSeveral) return place->second;
      throw DataError(fmt::format("the split's name {} matches several pictures", in_quotes(shown(name))), "give more of its path");
    }
    const size_t slash = rest.find('/');
    const bool has_folder_below = slash != std::string_view::npos && rest.find('/', slash + 1) != std::string_view::npos;
    if (!has_folder_below) return std::nullopt;
    rest.remove_prefix(slash + 1);
  }
}

/// A name as the source shows it, or in the bytes of the file system.
int64_t find_named(const std::unordered_map<std::string_view, int64_t>& endings, std::string_view name) {
  if (const auto item = find_written(endings, name)) return *item;
  if (const auto item = find_written(endings, shown(name))) return *item;
  throw DataError(fmt::format("the split names {}, but there is no such picture", in_quotes(shown(name))),
                  "names are paths or their endings, such as sea/1.jpg; does the split belong to this data, and is `limit_per_class` off?");
}

}  // namespace

std::vector<int64_t> randperm(int64_t n, uint64_t seed) {
  constexpr int64_t kTorchDraws64Bits = int64_t{UINT32_MAX} / 20;
  if (n < 0 || n >= kTorchDraws64Bits) throw ShapeError(fmt::format("randperm: expected 0 <= n < {}, got {}", kTorchDraws64Bits, n));
  std::mt19937 generator(static_cast<uint32_t>(seed));
  std::vector<int64_t> r(static_cast<size_t>(n));
  std::iota(r.begin(), r.end(), int64_t{0});
  for (size_t i = 0; i + 1 < r.size(); ++i) std::swap(r[i], r[i + generator() % (r.size() - i)]);
  return r;
}

Split random_split(int64_t n, double valid_pct, uint64_t seed) {
  if (!(valid_pct >= 0 && valid_pct < 1)) throw UsageError(fmt::format("the validation share must be in [0,1) and is {}", valid_pct));
  if (n < 1) throw DataError("there is no picture to split");
  const std::vector<int64_t> order = randperm(n, seed);
  const auto cut = order.begin() + static_cast<int64_t>(valid_pct * static_cast<double>(n));
  return {.train = {cut, order.end()}, .valid = {order.begin(), cut}};
}

Split file_split(std::span<const Item> items, std::span<const std::string> names) {
  if (names.empty()) throw DataError("the split names no picture", "it lists the validation pictures, one path a line");
  const auto endings = endings_of(items);
  std::vector<bool> is_valid(items.size(), false);
  for (const std::string& name : names) is_valid[static_cast<size_t>(find_named(endings, name))] = true;
  Split split;
  for (size_t i = 0; i < items.size(); ++i) (is_valid[i] ? split.valid : split.train).push_back(static_cast<int64_t>(i));
  if (split.train.empty()) throw DataError("the split uses every picture for validation, so none is left to train on");
  return split;
}

std::vector<std::string> read_split_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> names;
  std::string line;
  while (std::getline(file, line)) {
    std::string_view name = without_spaces(line);
    if (names.empty() && name.starts_with("\xEF\xBB\xBF")) name.remove_prefix(3);  // the byte order mark that some editors write
    if (!name.empty() && !name.starts_with('#')) names.emplace_back(name);
  }
  if (!file.is_open() || file.bad() || std::filesystem::is_directory(path)) {
    throw DataError(fmt::format("{}: the split file cannot be read", shortened(shown(path.string()))),
                    "it lists the validation pictures, one path a line");
  }
  return names;
}

}  // namespace mirilla::data
