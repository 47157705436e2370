// SPDX-License-Identifier: MIT
#include "data/results.h"

#include <algorithm>
#include <array>

#include "data/archive/names.h"
#include "kernels/core/error.h"

namespace mirilla::data {

namespace {

using namespace std::string_view_literals;

/// A picture that a command draws, the text file that lies beside it, and what that file holds.
struct Drawn {
  std::string_view picture, beside;
  std::string_view beginning;             // of that file
  std::array<std::string_view, 2> words;  // anywhere in it; "" for none
};
constexpr std::array kDrawn = {
    Drawn{"loss.png", "config.json", "{", {"\"arch\"", "\"vocab\""}}, Drawn{"lr_find.png", "lr_find.csv", "iteration,lr,", {}},
    Drawn{"confusion.png", "confusion.csv", "actual\\predicted,", {}}, Drawn{"top_losses.png", "confusion.csv", "actual\\predicted,", {}}};

bool tells(const Source& source, const std::string& file, const Drawn& drawn) {
  if (!source.contains(file)) return false;
  try {
    const std::vector<uint8_t> bytes = source.read(file);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return text.starts_with(drawn.beginning) && std::all_of(drawn.words.begin(), drawn.words.end(), [&](std::string_view word) {
             return text.find(word) != std::string_view::npos;
           });
  } catch (const DataError&) {
    return false;
  }
}

}  // namespace

Results::Results(const Source& source) {
  for (const Entry& entry : source.entries()) {
    const size_t name_at = entry.path.rfind('/') + 1;  // 0 where it lies in no folder
    const std::string_view name = std::string_view(entry.path).substr(name_at);
    for (const Drawn& drawn : kDrawn) {
      if (name != drawn.picture || !tells(source, entry.path.substr(0, name_at) + std::string(drawn.beside), drawn)) continue;
      pictures_.insert(entry.path);
      folders_.insert(entry.path.substr(0, name_at == 0 ? 0 : name_at - 1));
    }
  }
}

std::vector<std::string> Results::notes() const {
  if (pictures_.empty()) return {};
  std::vector<std::string> folders;
  for (const std::string& folder : folders_) folders.push_back(folder.empty() ? "the data itself" : in_quotes(folder));
  return {fmt::format("{} of an earlier run of Mirilla, in {}, {} left out", counted(static_cast<int64_t>(pictures_.size()), "plot"),
                      listed(folders), pictures_.size() == 1 ? "is" : "are")};
}

}  // namespace mirilla::data
