// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace mirilla::data {

/// Text as a field of a line of comma-separated values: quoted where it holds a comma, a quote or a line's end.            [RFC 4180]
std::string csv_field(std::string_view text);

}  // namespace mirilla::data
