// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/devices.h"

namespace mirilla::nn {

/// The device that runs the CUDA kernels in this build: 'cuda' where there is a GPU, also an emulated one, else 'simt'.
inline const char* kernel_device() {
  static const std::vector<std::string> names = device_names();
  return std::find(names.begin(), names.end(), "cuda") != names.end() ? "cuda" : "simt";
}

}  // namespace mirilla::nn
