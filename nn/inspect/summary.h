// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nn/modules/module.h"

namespace mirilla::nn {

/// One module, as shown by `mirilla summary`, for one picture.
struct ModuleSummary {
  std::string name;  // "" is the whole model
  std::string kind;
  Shape output;                  // of its last call, batch of 1
  int64_t parameters = 0;        // its own and those of its children
  int64_t multiply_adds = 0;     // of convolutions and linear layers, its own and those of its children
  int64_t activation_bytes = 0;  // of the outputs of the modules without children, its own or below, all calls
};

/// Runs one grey picture of (size, size) through the model in evaluation mode with every module watched. The first entry is the whole.
std::vector<ModuleSummary> summarise(Module& model, int size);

}  // namespace mirilla::nn
