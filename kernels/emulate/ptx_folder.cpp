// SPDX-License-Identifier: MIT
#include "kernels/emulate/ptx_folder.h"

#include "kernels/core/error.h"
#include "kernels/emulate/modules.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

namespace mirilla::emulate {

using ptx::u64;

namespace {

// [Fowler, Noll, Vo: FNV-1a]
u64 hash_of(std::string_view text) {
  u64 hash = 0xcbf29ce484222325ull;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

// "relu-12ab34cd.ptx": the number changes with the text, so a file of another build is not taken for this one's.
std::string name_of(std::string_view text) {
  const std::string stem = std::filesystem::path(source_of(text)).stem().string();
  return fmt::format("{}-{:08x}.ptx", stem.empty() ? "module" : stem, hash_of(text) >> 32);
}

}  // namespace

std::string source_of(std::string_view text) {
  constexpr std::string_view kEnd = ".cu\"";
  for (size_t at = text.rfind(kEnd); at != std::string_view::npos && at > 0; at = text.rfind(kEnd, at - 1)) {
    const size_t begin = text.rfind('"', at);
    const size_t line = text.rfind('\n', at) + 1;
    if (begin != std::string_view::npos && text.substr(line, begin - line).find(".file") != std::string_view::npos)
      return std::string(text.substr(begin + 1, at + kEnd.size() - 2 - begin));
  }
  return {};
}

void prepare_ptx_folder(const Settings& settings) {
  namespace fs = std::filesystem;
  if (settings.ptx_folder.empty()) return;
  const fs::path folder(settings.ptx_folder);
  std::error_code ignored;  // a file that cannot be written says so below
  const bool filled = fs::exists(folder, ignored);
  fs::create_directories(folder, ignored);
  std::set<std::string> names;
  each_ptx(settings.card->capability(), [&](std::string_view text) {
    const fs::path file = folder / *names.insert(name_of(text)).first;
    if (filled) return;
    std::ofstream out(file, std::ios::binary);
    if (!(out << text).flush()) throw DeviceError(fmt::format("cannot write the PTX of the program to {}", file.string()));
  });
  if (!filled) return;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".ptx" && !names.contains(name))
      throw DeviceError(fmt::format("{} is not of this program, or of another build of it or another GPU", entry.path().string()),
                        "remove the folder: the next run fills it again");
  }
}

std::string edited_ptx(const std::string& folder, std::string text) {
  std::ifstream in(std::filesystem::path(folder) / name_of(text), std::ios::binary);
  if (!in) return text;
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace mirilla::emulate
