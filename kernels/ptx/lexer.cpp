// SPDX-License-Identifier: MIT
#include "kernels/ptx/lexer.h"

#include "kernels/core/error.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstdlib>
#include <string>

namespace mirilla::ptx {

namespace {

bool starts_word(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' || c == '.'; }
bool goes_on(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$'; }

class Reader {
 public:
  explicit Reader(std::string_view source) : source_(source) {}

  std::vector<Token> all() {
    std::vector<Token> tokens;
    tokens.reserve(source_.size() / 4);
    while (skip_blanks()) tokens.push_back(next());
    Token end;
    end.line = line_;
    tokens.push_back(end);
    return tokens;
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

  bool skip_blanks() {  // false at the end of the text
    while (at_ < source_.size()) {
      const char c = peek();
      if (c == '\n')
        ++line_, ++at_;
      else if (std::isspace(static_cast<unsigned char>(c)) || c == '\0')
        ++at_;
      else if (c == '/' && peek(1) == '/')
        at_ = std::min(source_.find('\n', at_), source_.size());
      else if (c == '/' && peek(1) == '*')
        skip_comment();
      else
        return true;
    }
    return false;
  }

  void skip_comment() {
    const size_t end = source_.find("*/", at_ + 2);
    if (end == std::string_view::npos) throw Error(fmt::format("PTX line {}: a comment that does not end", line_));
    for (; at_ < end + 2; ++at_) line_ += source_[at_] == '\n';
  }

  Token next() {
    Token token;
    token.line = line_;
    const size_t start = at_;
    const char c = peek();
    if (std::isdigit(static_cast<unsigned char>(c))) return number(token);
    if (c == '"') return string(token);
    if (starts_word(c)) {
      token.kind = Token::Kind::kWord;
      ++at_;
      for (;;) {
        if (goes_on(peek()))
          ++at_;
        else if (peek() == '.' && goes_on(peek(1)))
          ++at_;
        else if (peek() == ':' && peek(1) == ':' && goes_on(peek(2)))
          at_ += 2;  // .shared::cta
        else
          break;
      }
    } else if (std::string_view("{}()[]<>,;:=+-!|@~*&?/^#").find(c) != std::string_view::npos) {
      token.kind = Token::Kind::kMark;
      ++at_;
    } else {
      throw Error(fmt::format("PTX line {}: the character '{}' cannot be there", line_, c));
    }
    token.text = source_.substr(start, at_ - start);
    return token;
  }

  Token string(Token token) {
    const size_t end = source_.find_first_of("\"\n", at_ + 1);
    if (end == std::string_view::npos || source_[end] == '\n') throw Error(fmt::format("PTX line {}: a string that does not end", line_));
    token.kind = Token::Kind::kString;
    token.text = source_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return token;
  }

  Token number(Token token) {
    const size_t start = at_;
    const char mark = static_cast<char>(std::tolower(static_cast<unsigned char>(peek(1))));
    if (peek() == '0' && (mark == 'f' || mark == 'd')) {
      at_ += 2;
      const size_t digits = at_;
      while (std::isxdigit(static_cast<unsigned char>(peek()))) ++at_;
      token.kind = mark == 'f' ? Token::Kind::kF32 : Token::Kind::kF64;
      token.text = source_.substr(start, at_ - start);
      const size_t wanted = mark == 'f' ? 8 : 16;
      if (at_ - digits != wanted) throw Error(fmt::format("PTX line {}: {} wants {} hexadecimal digits", line_, token.text, wanted));
      token.bits = std::strtoull(std::string(source_.substr(digits, wanted)).c_str(), nullptr, 16);
      return token;
    }
    while (goes_on(peek()) || decimal_point() || exponent_sign(start)) ++at_;
    token.text = source_.substr(start, at_ - start);
    return value(token, mark);
  }

  bool decimal_point() const { return peek() == '.' && std::isdigit(static_cast<unsigned char>(peek(1))); }
  bool exponent_sign(size_t start) const {  // the + of 1.5e+3, but not that of 0x1e+3
    const char before = source_[at_ - 1];
    const bool hexadecimal = source_[start] == '0' && (peek(start + 1 - at_) == 'x' || peek(start + 1 - at_) == 'X');
    return (peek() == '-' || peek() == '+') && (before == 'e' || before == 'E') && !hexadecimal;
  }

  Token value(Token token, char mark) const {
    std::string text(token.text);
    char* end = nullptr;
    const bool hexadecimal = text[0] == '0' && mark == 'x';
    if (!hexadecimal && text.find_first_of(".eE") != std::string::npos) {
      token.kind = Token::Kind::kF64;
      token.bits = std::bit_cast<u64>(std::strtod(text.c_str(), &end));
    } else {
      token.kind = Token::Kind::kInteger;
      if (text.back() == 'U' || text.back() == 'u') text.pop_back();
      const bool binary = text[0] == '0' && (mark == 'b');
      token.bits = binary ? std::strtoull(text.c_str() + 2, &end, 2) : std::strtoull(text.c_str(), &end, 0);
    }
    if (*end != '\0') throw Error(fmt::format("PTX line {}: '{}' is not a number", line_, token.text));
    return token;
  }

  std::string_view source_;
  size_t at_ = 0;
  u32 line_ = 1;
};

}  // namespace

std::vector<Token> read_words(std::string_view source) { return Reader(source).all(); }

}  // namespace mirilla::ptx
