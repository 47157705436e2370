// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

/// What the program does when it is told to end: Ctrl-C (SIGINT), SIGTERM, SIGHUP, and SIGPIPE, when the reader of its output has gone.
///
/// A signal ends the program at once: half-written files are removed, one line says so, the exit code is 128 + the signal's number (130,
/// 143, 129), as in a shell. For a closed pipe nothing is printed (141). Work that has something to keep, or
/// that checks the flag often, asks for a flag instead; a second signal still ends the program.
namespace mirilla::apps {

/// Installs this behaviour. Signals that the caller ignores (SIGHUP under nohup, SIGPIPE) stay ignored.
void handle_signals();

/// Raised by a signal that came while a SignalsRaiseFlag lived.
const std::atomic<bool>& interrupt_flag();

/// While one lives, the first signal only raises the flag. When the last one ends, a flag that was not acted on (by an
/// exception) ends the program.
class SignalsRaiseFlag {
 public:
  SignalsRaiseFlag();
  ~SignalsRaiseFlag();
  SignalsRaiseFlag(const SignalsRaiseFlag&) = delete;
  SignalsRaiseFlag& operator=(const SignalsRaiseFlag&) = delete;
  /// Accepts the signal as the normal end of this work: the flag is lowered.
  void accept();

 private:
  int exceptions_;
};

/// 128 + the number of the signal that raised the flag; that of Ctrl-C if none did.
int interrupted_exit_code();

}  // namespace mirilla::apps
