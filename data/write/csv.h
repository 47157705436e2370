// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace mirilla::data {

/// Text as a field of comma-separated values: quoted if it contains a comma, a quote or a line break.            [RFC 4180]
std::string csv_field(std::string_view text);

}  // namespace mirilla::data
