// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cctype>

#include "apps/pages/web_server.h"

namespace mirilla::pages {

namespace {

bool all_of(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// Without the port: "[::1]:80" and "::1" are "::1". Empty if it is not a host and port.
std::string name_in(std::string_view header) {
  if (header.starts_with('[')) {
    const size_t end = header.find(']');
    if (end == std::string_view::npos) return {};
    const std::string_view rest = header.substr(end + 1);
    if (!rest.empty() && (rest[0] != ':' || !all_of(rest.substr(1), "0123456789"))) return {};
    return lower(header.substr(1, end - 1));
  }
  const size_t colon = header.rfind(':');
  if (colon == std::string_view::npos) return lower(header);
  if (header.find(':') != colon) return {};
  if (!all_of(header.substr(colon + 1), "0123456789")) return {};
  return lower(header.substr(0, colon));
}

}  // namespace

bool is_own_host(std::string_view header, std::string_view host) {
  const std::string name = name_in(header);
  if (name.empty()) return false;
  if (name == "localhost" || name == lower(host)) return true;
  if (all_of(name, "0123456789.")) return true;  // a number cannot be rebound by DNS
  return header.starts_with('[') && all_of(name, "0123456789abcdef:.");
}

}  // namespace mirilla::pages
