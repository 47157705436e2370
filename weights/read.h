// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "weights/state_dict.h"

namespace mirilla::weights {

/// Reads a weights file: .safetensors or .pth (torch.save), recognised by content and not by name. Throws WeightsError for a missing, empty
/// or unknown file, and everything that read_safetensors and read_pth throw.
StateDict read_weights(const std::filesystem::path& path);

}  // namespace mirilla::weights
