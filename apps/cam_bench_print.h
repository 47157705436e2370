// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "nn/measure/cam_bench.h"

/// The output of `cam-bench`: for users, as JSON, as CSV.
namespace mirilla::apps {

struct BenchReport {
  const nn::CamBenchOptions& options;
  const nn::Evaluation& evaluation;
  const nn::CamBench& bench;
};

std::string to_text(const BenchReport& report);
std::string to_markdown(const BenchReport& report);
/// Every column, including details, with all digits.
std::string to_csv(const BenchReport& report);
nlohmann::ordered_json to_json(const BenchReport& report);

}  // namespace mirilla::apps
