// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nn/inspect/diff.h"

/// What `mirilla diff` prints.
namespace mirilla::apps {

struct DiffReport {
  std::vector<std::string> head;   // lines that describe what was compared
  nlohmann::ordered_json context;  // the same for programs
  nn::Diff diff;
  double tolerance = 0;
  bool all = false;  // also the rows of containers, which repeat their last child's
};

std::string to_text(const DiffReport& report);
std::string to_csv(const DiffReport& report);
nlohmann::ordered_json to_json(const DiffReport& report);

}  // namespace mirilla::apps
