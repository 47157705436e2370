// SPDX-License-Identifier: MIT
#include "apps/pages/page.h"

#include "apps/pages/assets.h"

namespace mirilla::pages {

std::string replaced(std::string text, std::string_view mark, std::string_view with) {
  const size_t at = text.find(mark);
  if (at != std::string::npos) text.replace(at, mark.size(), with);
  return text;
}

std::string whole_page(std::string_view html, std::string_view script) {
  const std::string page = replaced(std::string(html), "/*STYLE*/", assets::page_css());
  return replaced(page, "/*SCRIPT*/", std::string(assets::page_js()) + std::string(script));
}

}  // namespace mirilla::pages
