// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <string_view>

namespace mirilla::nn {

/// The output of a run's lines. On a terminal there may be a status line below them, which is overwritten in place; in a pipe or file there
/// is none, and no carriage return is ever written.
class Console {
 public:
  Console(std::ostream& out, bool terminal, int columns = 80) : out_(out), terminal_(terminal), columns_(columns) {}

  bool terminal() const { return terminal_; }
  int columns() const { return columns_; }
  /// Writes one permanent line (or several, with '\n' between); the newline is added. Flushes.
  void line(std::string_view text);
  /// Replaces the status line, cut to the terminal's width (one byte counts as one column). Does nothing without a terminal.
  void status(std::string_view text);
  void clear_status();

 private:
  std::ostream& out_;
  bool terminal_;
  int columns_;
  bool status_shown_ = false;
};

/// What a callback writes to: a console of the caller's, which outlives it, or one of its own on a stream.
inline std::shared_ptr<Console> console_of(Console& console) { return {std::shared_ptr<void>(), &console}; }
inline std::shared_ptr<Console> console_of(std::ostream& out) { return std::make_shared<Console>(out, false); }

}  // namespace mirilla::nn
