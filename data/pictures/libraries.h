// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace mirilla::data {

/// The libraries that read and write files, and their versions as this program was built with or runs on.
std::vector<std::pair<std::string, std::string>> libraries();

}  // namespace mirilla::data
