// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

namespace mirilla::pages {

/// The text with `with` in place of the first `mark`.
std::string replaced(std::string text, std::string_view mark, std::string_view with);

/// A page with its style and script in place: the shared ones (page.css, page.js), then its own.
std::string whole_page(std::string_view html, std::string_view script);

}  // namespace mirilla::pages
