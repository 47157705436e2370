// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/device.h"

namespace mirilla {

/// The device called `name`: "cuda", "cpu", "simt" (the CUDA kernels, run by the executor on the host: slow), "reference", or "auto" for
/// the fastest one here; "cuda:1" is the second GPU, "cuda" the first. One object per device, which lives as long as the program. Throws
/// DeviceError for a name that is unknown or a device that does not exist; never falls back to another.
Device& open_device(std::string_view name);

/// The names open_device accepts here, without "auto".
std::vector<std::string> device_names();

}  // namespace mirilla
