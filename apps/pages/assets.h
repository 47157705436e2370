// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

/// The files of this folder, as of the program's build (cmake/EmbedText.cmake).
namespace mirilla::pages::assets {

std::string_view explore_html();
std::string_view explore_js();
std::string_view page_css();
std::string_view page_js();
std::string_view serve_html();
std::string_view serve_js();

}  // namespace mirilla::pages::assets
