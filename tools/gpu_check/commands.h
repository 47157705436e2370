// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace mirilla::gpu_check {

using Json = nlohmann::ordered_json;

/// The highest rates at which this device copies within its memory and multiplies halves (f32 on a host): the base for shares of the
/// roofline.
Json ceilings(const std::string& device);

/// Mirilla's contender in the races: answers questions from stdin on stdout, one line each, as bench/torch_race.py says. Returns at the end
/// of stdin.
void serve(const std::string& device);

/// The kernels of ten steps of a race, "train 128 128 fp16": {"kernels": [{"kernel", "calls", "ms"}, ...]}, longest first. Throws
/// DeviceError where profiling is not permitted.
Json kernels(const std::string& device, const std::string& race);

}  // namespace mirilla::gpu_check
