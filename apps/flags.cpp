// SPDX-License-Identifier: MIT
#include "apps/flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace mirilla::apps {

namespace {

struct Flag {
  std::string_view name;          // in the library
  std::string_view flag;          // here
  std::string_view command = {};  // that has it, where others want it said in full
};

constexpr std::array<Flag, 11> kFlags = {{{"batch_size", "--batch-size"},
                                          {"size", "--size"},
                                          {"resize", "--resize"},
                                          {"vocabulary", "--vocab"},
                                          {"epochs", "--epochs"},
                                          {"lr", "--lr"},
                                          {"valid_pct", "--valid-pct"},
                                          {"split_file", "--split-file"},
                                          {"limit_per_class", "--limit"},
                                          {"data", "--data", "mirilla train"},
                                          {"weights", "--weights", "mirilla train"}}};

std::string said_as(const Flag& flag, const CLI::App* command) {
  if (!command || command->get_option_no_throw(std::string(flag.flag))) return std::string(flag.flag);
  if (!flag.command.empty()) return fmt::format("`{} {}`", flag.command, flag.flag);
  std::string words(flag.name);
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

}  // namespace

std::string with_flags(std::string_view text, const CLI::App* command) {
  std::string result(text);
  for (const Flag& flag : kFlags) {
    const std::string quoted = fmt::format("`{}`", flag.name);
    for (size_t at = result.find(quoted); at != std::string::npos; at = result.find(quoted, at)) {
      const std::string said = said_as(flag, command);
      result.replace(at, quoted.size(), said);
      at += said.size();
    }
  }
  return result;
}

}  // namespace mirilla::apps
