// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>

/// What the program does when it is told to end: Ctrl-C (SIGINT), SIGTERM, SIGHUP, and SIGPIPE, where whoever read its output is gone.
///
/// A signal ends the program at once: half-written files are removed, one line says so, the exit code is 128 + the signal's number (130,
/// 143, 129), as a shell has it. A closed pipe is no news to anybody, so nothing is said then (141). Work that has something to keep, or
/// that looks at the flag often, asks for a flag instead; the second signal ends it all the same.
namespace mirilla::apps {

/// From here on it is so. What the caller ignores (SIGHUP under nohup, SIGPIPE) stays ignored.
void handle_signals();

/// Raised by a signal that came while a SignalsRaiseFlag lived.
const std::atomic<bool>& interrupt_flag();

/// While one lives, the first signal raises the flag and does no more. When the last one goes, a flag that nobody acted on (by an
/// exception) ends the program.
class SignalsRaiseFlag {
 public:
  SignalsRaiseFlag();
  ~SignalsRaiseFlag();
  SignalsRaiseFlag(const SignalsRaiseFlag&) = delete;
  SignalsRaiseFlag& operator=(const SignalsRaiseFlag&) = delete;
  /// The signal was how this work is meant to end: the flag is lowered.
  void accept();

 private:
  int exceptions_;
};

/// 128 + the number of the signal that raised the flag; as for Ctrl-C where none did.
int interrupted_exit_code();

}  // namespace mirilla::apps
