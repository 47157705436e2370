// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace mirilla::gpu_check {

using Json = nlohmann::ordered_json;

/// The fastest that this device copies within its memory and multiplies halves (f32 on a host), as its programs see it: what a share of the
/// roofline is a share of.
Json ceilings(const std::string& device);

/// Mirilla in the races: answers on stdout, a line each, what is asked on stdin, as bench/torch_race.py says. Returns at its end.
void serve(const std::string& device);

/// The kernels of ten steps of a race, "train 128 128 fp16": {"kernels": [{"kernel", "calls", "ms"}, ...]}, the longest first. Throws
/// DeviceError where nobody may look.
Json kernels(const std::string& device, const std::string& race);

}  // namespace mirilla::gpu_check
