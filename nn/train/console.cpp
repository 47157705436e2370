// SPDX-License-Identifier: MIT
#include "nn/train/console.h"

#include <algorithm>

#include "data/archive/names.h"

namespace mirilla::nn {

void Console::line(std::string_view text) {
  clear_status();
  out_ << data::printable(text) << '\n';
  out_.flush();
}

void Console::status(std::string_view text) {
  if (!terminal_) return;
  const size_t room = static_cast<size_t>(std::max(columns_ - 1, 0));  // a full line would wrap
  out_ << "\r" << text.substr(0, room) << "\x1b[K";                    // erase to the end of the line
  out_.flush();
  status_shown_ = true;
}

void Console::clear_status() {
  if (!status_shown_) return;
  out_ << "\r\x1b[K";
  out_.flush();
  status_shown_ = false;
}

}  // namespace mirilla::nn
