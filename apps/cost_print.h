// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "nn/inspect/cost.h"

/// How `mirilla cost` prints its answer.
namespace mirilla::apps {

/// Tables of at most 100 columns; `kernels`: also one of every kernel. `measured`: pictures per second on this machine's GPU.
std::string cost_text(const nn::Cost& cost, const nn::CostOptions& options, const nn::GpuModel& gpu, std::optional<double> measured,
                      bool kernels);
nlohmann::ordered_json cost_json(const nn::Cost& cost, const nn::CostOptions& options, const nn::GpuModel& gpu,
                                 std::optional<double> measured);

}  // namespace mirilla::apps
