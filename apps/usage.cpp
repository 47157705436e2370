// SPDX-License-Identifier: MIT
#include "apps/usage.h"

#include <algorithm>
#include <numeric>

namespace mirilla::apps {

namespace {

const CLI::App* chosen_command(const CLI::App& app) {
  const auto chosen = app.get_subcommands();
  return chosen.empty() ? nullptr : chosen.front();
}

std::string call_of(const CLI::App& app) {
  const CLI::App* command = chosen_command(app);
  return command ? "mirilla " + command->get_name() : "mirilla";
}

std::vector<std::string> names_of_commands(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) names.push_back(command->get_name());
  return names;
}

std::vector<std::string> names_of_options(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// The Levenshtein distance.
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

std::string did_you_mean(std::string_view text, const std::vector<std::string>& words) {
  const std::string word = nearest(text, words);
  return word.empty() ? "" : fmt::format("; did you mean {}?", word);
}

std::string unexpected(const CLI::App& app) {
  const std::vector<std::string> words = app.remaining(true);
  const CLI::App* command = chosen_command(app);
  const auto is_option = [](const std::string& word) { return word.size() > 1 && word[0] == '-'; };
  if (words.empty()) return "the command line has an unexpected word";
  if (!command && !is_option(words.front()))
    return fmt::format("'{}' is not a command{}", words.front(), did_you_mean(words.front(), names_of_commands(app)));
  const auto option = std::find_if(words.begin(), words.end(), is_option);
  if (option == words.end()) return fmt::format("'{}' is one argument too many for `{}`", words.front(), call_of(app));
  const std::string name = option->substr(0, option->find('='));
  return fmt::format("'{}' is not an option of `{}`{}", name, call_of(app), did_you_mean(name, names_of_options(command ? *command : app)));
}

std::string missing(const CLI::App& app) {
  const CLI::App* command = chosen_command(app);
  if (!command) return "expected a subcommand, got none";
  for (const CLI::Option* option : command->get_options())
    if (option->get_required() && option->count() == 0)
      return fmt::format("`{}` needs {}, which is missing", call_of(app), option->get_name());
  return fmt::format("`{}` needs more arguments", call_of(app));
}

// Two options of which one needs or excludes the other.
std::string at_odds(const CLI::App& app, bool excluded) {
  if (const CLI::App* command = chosen_command(app))
    for (const CLI::Option* option : command->get_options()) {
      if (option->count() == 0) continue;
      for (const CLI::Option* other : excluded ? option->get_excludes() : option->get_needs())
        if ((other->count() > 0) == excluded)
          return excluded ? fmt::format("{} and {} cannot be used together", option->get_name(), other->get_name())
                          : fmt::format("{} needs {}, which is missing", option->get_name(), other->get_name());
    }
  return "these options cannot be used together";
}

// The option named in a message of CLI11; nullptr if there is none.
const CLI::Option* named_in(const CLI::App& app, std::string_view message) {
  const CLI::Option* found = nullptr;
  const CLI::App* command = chosen_command(app);
  for (const CLI::Option* option : (command ? *command : app).get_options())
    if (message.find(option->get_name()) != std::string_view::npos && (!found || option->get_name().size() > found->get_name().size()))
      found = option;
  return found;
}

std::string wrong_number_of_values(const CLI::App& app, std::string_view message) {
  const CLI::Option* option = named_in(app, message);
  if (!option) return "an option has too many values, or none";
  const std::string name = option->get_name();
  if (option->get_expected_max() == 0) return fmt::format("{} does not take a value", name);
  if (option->count() > 1) return fmt::format("{} was given {} times, but takes only one value", name, option->count());
  return fmt::format("{} needs a value, which is missing", name);
}

}  // namespace

std::string nearest(std::string_view text, const std::vector<std::string>& words) {
  std::string best;
  size_t fewest = std::max<size_t>(2, text.size() / 3) + 1;
  for (const std::string& word : words)
    if (const size_t apart = edits(text, word); apart < fewest) {
      fewest = apart;
      best = word;
    }
  return best;
}

UsageError with_help_hint(const CLI::App& app, const UsageError& error) {
  if (!error.hint().empty()) return error;
  return UsageError(error.message(), fmt::format("see `{} --help`", call_of(app)));
}

UsageError usage_error(const CLI::App& app, const CLI::ParseError& refused) {
  const auto sentence = [&]() -> std::string {
    switch (static_cast<CLI::ExitCodes>(refused.get_exit_code())) {
      case CLI::ExitCodes::ExtrasError: return unexpected(app);
      case CLI::ExitCodes::RequiredError: return app.remaining(true).empty() ? missing(app) : unexpected(app);
      case CLI::ExitCodes::RequiresError: return at_odds(app, false);
      case CLI::ExitCodes::ExcludesError: return at_odds(app, true);
      case CLI::ExitCodes::ArgumentMismatch:
      case CLI::ExitCodes::ConversionError: return wrong_number_of_values(app, refused.what());
      case CLI::ExitCodes::ValidationError: return refused.what();  // the sentence of our own check
      default: return "this command line is not understood";
    }
  };
  return with_help_hint(app, UsageError(sentence()));
}

}  // namespace mirilla::apps
