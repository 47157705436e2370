// SPDX-License-Identifier: MIT
#include "data/archive/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <clocale>
#include <cstdint>
#include <cwctype>
#include <iterator>
#include <optional>
#include <vector>

#include "data/archive/decompositions.h"

namespace mirilla::data {

namespace {

using namespace std::string_view_literals;

struct Character {
  uint32_t code = 0;
  size_t bytes = 0;
};

/// The character at the beginning of `text`, if it is well-formed UTF-8.
std::optional<Character> first_character(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return Character{lead, 1};
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return std::nullopt;
  uint32_t code = lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return std::nullopt;
    code = code << 6 | (byte(i) & 0x3F);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  if (overlong || surrogate || code > 0x10FFFF) return std::nullopt;
  return Character{code, length};
}

bool is_control(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x2028 || code == 0x2029 || code == 0x200E || code == 0x200F ||
         code == 0x061C || (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

/// The byte given by an escape \xHH at the beginning of the text.
std::optional<uint8_t> escaped_byte(std::string_view text) {
  if (text.size() < 4 || text[0] != '\\' || text[1] != 'x') return std::nullopt;
  int value = 0;
  for (const char c : text.substr(2, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return std::nullopt;
    value = 16 * value + digit;
  }
  return static_cast<uint8_t>(value);
}

void append_utf8(std::string& text, uint32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
    return;
  }
  const int more = code >= 0x10000 ? 3 : code >= 0x800 ? 2 : 1;
  constexpr uint32_t kLeads[] = {0, 0xC0, 0xE0, 0xF0};
  text += static_cast<char>(kLeads[more] | code >> 6 * more);
  for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80 | (code >> 6 * i & 0x3F));
}

// ---- name_key ----

bool is_blank(uint32_t code) {
  return code == ' ' || (code >= 0x09 && code <= 0x0D) || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200B) ||
         code == 0x202F || code == 0x205F || code == 0x3000 || code == 0xFEFF;
}

bool is_mark(uint32_t code) { return code >= 0x300 && code <= 0x36F; }

uint32_t small_letter(uint32_t code) {
  static const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (code < 0x80) return code >= 'A' && code <= 'Z' ? code - 'A' + 'a' : code;
  return utf8 ? static_cast<uint32_t>(towlower_l(static_cast<wint_t>(code), utf8)) : code;
}

/// Unicode's canonical decomposition; Hangul's syllables by its arithmetic (Unicode Standard, 3.12).
void append_decomposed(std::vector<uint32_t>& out, uint32_t code) {
  constexpr uint32_t kSyllables = 0xAC00, kLead = 0x1100, kVowel = 0x1161, kTail = 0x11A7, kVowels = 21, kTails = 28, kAll = 11172;
  if (code >= kSyllables && code < kSyllables + kAll) {
    const uint32_t place = code - kSyllables, tail = place % kTails;
    out.insert(out.end(), {kLead + place / (kVowels * kTails), kVowel + place / kTails % kVowels});
    if (tail) out.push_back(kTail + tail);
    return;
  }
  const auto found = std::lower_bound(std::begin(detail::kDecompositions), std::end(detail::kDecompositions), code,
                                      [](const detail::Decomposition& a, uint32_t c) { return a.composed < c; });
  if (found == std::end(detail::kDecompositions) || found->composed != code) return out.push_back(code);
  append_decomposed(out, found->base);
  if (found->mark) append_decomposed(out, found->mark);
}

}  // namespace

namespace {

template <class Keep>
std::string escaped(std::string_view bytes, Keep&& keep) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const auto character = first_character(bytes);
    const size_t length = character ? character->bytes : 1;
    if (character && keep(character->code, bytes)) {
      text += bytes.substr(0, length);
    } else {
      for (const char byte : bytes.substr(0, length)) text += fmt::format("\\x{:02X}", static_cast<uint8_t>(byte));
    }
    bytes.remove_prefix(length);
  }
  return text;
}

}  // namespace

std::string shown(std::string_view bytes) {
  return escaped(bytes, [](uint32_t code, std::string_view rest) { return !is_control(code) && !escaped_byte(rest); });
}

std::string printable(std::string_view text) {
  return escaped(text, [](uint32_t code, std::string_view) { return !is_control(code) || code == '\n' || code == '\t'; });
}

std::string unshown(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const auto byte = escaped_byte(text);
    bytes += byte ? static_cast<char>(*byte) : text[0];
    text.remove_prefix(byte ? 4 : 1);
  }
  return bytes;
}

std::string as_latin1(std::string_view shown_name) {
  std::string text;
  while (!shown_name.empty()) {
    const auto byte = escaped_byte(shown_name);
    if (byte && *byte < 0xC0) return {};  // the letters of Latin-1 begin at 0xC0
    byte ? append_utf8(text, *byte) : static_cast<void>(text += shown_name[0]);
    shown_name.remove_prefix(byte ? 4 : 1);
  }
  return text;
}

std::string shortened(std::string_view text, size_t most_bytes) {
  if (text.size() <= most_bytes) return std::string(text);
  constexpr std::string_view kBetween = "...";
  const auto inside = [&](size_t at) { return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80; };
  const size_t room = most_bytes > kBetween.size() ? most_bytes - kBetween.size() : 0;
  size_t begin = room * 2 / 3, end = text.size() - (room - begin);
  while (begin > 0 && inside(begin)) --begin;
  while (inside(end)) ++end;
  return fmt::format("{}{}{}", text.substr(0, begin), kBetween, text.substr(end));
}

std::string in_quotes(std::string_view name) { return fmt::format("\"{}\"", shortened(name, 80)); }

std::vector<std::string> all_in_quotes(std::span<const std::string> names) {
  std::vector<std::string> quoted;
  for (const std::string& name : names) quoted.push_back(in_quotes(name));
  return quoted;
}

std::string counted(int64_t n, std::string_view thing) { return fmt::format("{} {}{}", n, thing, n == 1 ? "" : "s"); }

std::string listed(std::span<const std::string> names, size_t most) {
  std::string text;
  const size_t shown_names = names.size() <= most ? names.size() : most - 1;
  for (size_t i = 0; i < shown_names; ++i) text += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  if (shown_names < names.size()) text += fmt::format(" and {} more", names.size() - shown_names);
  return text;
}

std::string name_key(std::string_view name) {
  std::vector<uint32_t> codes;
  while (!name.empty()) {
    const auto character = first_character(name);
    if (!character) {
      codes.push_back(0xDC00u + static_cast<uint8_t>(name[0]));  // a code of its own, which is no character
    } else if (!is_blank(character->code)) {
      append_decomposed(codes, character->code);
    }
    name.remove_prefix(character ? character->bytes : 1);
  }
  for (uint32_t& code : codes) code = small_letter(code);
  for (auto at = codes.begin(); at != codes.end();) {  // the marks of one letter may be in any order
    const auto end = std::find_if_not(at, codes.end(), is_mark);
    std::sort(at, end);
    at = end == codes.end() ? end : end + 1;
  }
  std::string key;
  for (const uint32_t code : codes) append_utf8(key, code);
  return key;
}

bool is_hidden_name(std::string_view component) {
  if (component.starts_with('.')) return component != "." && component != "..";
  static constexpr std::array kLeftByPrograms = {"__macosx"sv,     "thumbs.db"sv,  "ehthumbs.db"sv, "desktop.ini"sv,
                                                 "$recycle.bin"sv, "@eadir"sv,     "#recycle"sv,    "system volume information"sv,
                                                 "lost+found"sv,   "__pycache__"sv};
  std::string small(component);
  for (char& c : small) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::find(kLeftByPrograms.begin(), kLeftByPrograms.end(), small) != kLeftByPrograms.end();
}

std::string reason_of(const std::error_code& error) {
  static const std::pair<std::errc, const char*> kReasons[] = {
      {std::errc::permission_denied, "you have no permission to read it"},
      {std::errc::operation_not_permitted, "you have no permission to read it"},
      {std::errc::no_such_file_or_directory, "it does not exist"},
      {std::errc::not_a_directory, "something on its path is not a folder"},
      {std::errc::is_a_directory, "it is a folder"},
      {std::errc::too_many_symbolic_link_levels, "its links form a circle"},
      {std::errc::filename_too_long, "its path is too long for the system"},
      {std::errc::too_many_files_open, "too many files are open"},
      {std::errc::too_many_files_open_in_system, "too many files are open"},
      {std::errc::io_error, "the disk cannot read it"},
      {std::errc::not_enough_memory, "there is not enough memory"},
      {std::errc::value_too_large, "it is too large for the system"},
  };
  for (const auto& [code, words] : kReasons)
    if (error == code) return words;
  if (!error) return "the system gives no reason";
  return fmt::format("the system refuses it with error {}", error.value());
}

}  // namespace mirilla::data
