// SPDX-License-Identifier: MIT
#include "apps/failure.h"

#include <iostream>

#include "apps/flags.h"
#include "data/archive/names.h"
#include "nn/run/finite.h"
#include "nn/train/callback.h"
#include "weights/flaws.h"

namespace mirilla::apps {

namespace {

bool takes(const CLI::App& command, const char* option) { return command.get_option_no_throw(option) != nullptr; }

std::string behind(const std::string& hint, std::string_view more) {
  return hint.empty() ? std::string(more) : fmt::format("{}: {}", hint, more);
}

nlohmann::ordered_json json_of(const std::vector<weights::Flaw>& flaws) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const weights::Flaw& flaw : flaws)
    all.push_back({{"name", flaw.name},
                   {"values", flaw.values},
                   {"nan", flaw.nan},
                   {"infinite", flaw.infinite},
                   {"too_large", flaw.too_large},
                   {"negative", flaw.negative}});
  return all;
}

}  // namespace

std::string hint_for(const Error& error, const CLI::App& command) {
  const std::string hint = with_flags(error.hint(), &command);
  if (const auto* answer = dynamic_cast<const nn::NotFinite*>(&error))
    if (answer->cause.finite_in_fp32 && takes(command, "--precision")) return behind(hint, "--precision fp32");
  if (dynamic_cast<const nn::Diverged*>(&error) && hint.ends_with("--lr")) return hint + " (`mirilla lr-find` suggests one)";
  if (dynamic_cast<const weights::FlawedWeights*>(&error) && takes(command, "--allow-nonfinite"))
    return hint + "; --allow-nonfinite accepts it as it is";
  return hint;
}

nlohmann::ordered_json error_json(const Error& error, const std::string& hint) {
  nlohmann::ordered_json document{{"error", error.message()}, {"hint", hint}};
  if (const auto* answer = dynamic_cast<const nn::NotFinite*>(&error)) {
    document["module"] = answer->cause.module.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(answer->cause.module);
    document["wrote"] = answer->cause.is_nan ? "NaN" : "infinity";
    document["overflow"] = answer->overflow();
    document["pictures"] = answer->names;
  }
  if (const auto* file = dynamic_cast<const weights::FlawedWeights*>(&error)) document["tensors"] = json_of(file->flaws);
  return document;
}

void tell(const Error& error, const CLI::App& command) {
  const std::string hint = hint_for(error, command);
  std::cerr << "mirilla: " << data::printable(Error(error.message(), hint).what()) << '\n';
  const CLI::Option* const json = command.get_option_no_throw("--json");
  if (!json || json->count() == 0 || json_printed()) return;
  try {
    print_json(error_json(error, hint));
  } catch (const Error&) {  // stdout cannot be written to: the error is already on stderr
  }
}

}  // namespace mirilla::apps
