// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nn/files/model_file.h"
#include "weights/facts.h"
#include "weights/flaws.h"
#include "weights/match.h"

/// What `mirilla weights` prints.
namespace mirilla::apps {

/// The network that a file is of, or why it is none that is known.
struct Recognised {
  std::optional<nn::NetworkInFile> network;
  std::string why_not;
  std::string prefix;  // before the file's names
};
Recognised recognise(const weights::StateDict& state, std::string_view origin);

std::string inspection_text(const std::vector<weights::Facts>& facts, const Recognised& recognised);
nlohmann::ordered_json inspection_json(const std::vector<weights::Facts>& facts, const Recognised& recognised);

struct Verdict {
  nn::ResNetSpec spec;
  weights::Report report;
  std::vector<weights::Flaw> flaws;
  bool good() const;
};
std::string verdict_text(const Verdict& verdict);
nlohmann::ordered_json verdict_json(const Verdict& verdict);

std::string comparison_text(const weights::Comparison& comparison);
nlohmann::ordered_json comparison_json(const weights::Comparison& comparison);

}  // namespace mirilla::apps
