// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/shape.h"
#include "weights/stored_types.h"

namespace mirilla::weights {

/// One tensor as a safetensors header states it: [begin, end) count from the end of the header. Not yet checked against the file's size.
struct SafetensorsEntry {
  std::string name;
  const StoredType* type = nullptr;
  Shape shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> entries;  // in the header's order
};

/// Reads the JSON of a header without building a tree, so that a hostile header needs no more memory than its own size. Throws
/// WeightsError, naming `origin`, for anything except an object of tensors and string metadata, each key once.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::string_view origin);

}  // namespace mirilla::weights
