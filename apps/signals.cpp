// SPDX-License-Identifier: MIT
#include "apps/signals.h"

#include <unistd.h>

#include <csignal>
#include <exception>
#include <string_view>

#include "kernels/core/atomic_file.h"

namespace mirilla::apps {

namespace {

std::atomic<bool> interrupted{false};
std::atomic<int> first_signal{SIGINT};
std::atomic<int> scopes{0};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free,
              "a signal handler may only touch lock-free atomics");

constexpr int kExitCodeOfSignals = 128;

// Also called in a signal handler.
[[noreturn]] void end_now(int signal) {
  remove_unfinished_files();
  constexpr std::string_view kSentence = "\nmirilla: interrupted\n";
  if (signal != SIGPIPE && ::write(STDERR_FILENO, kSentence.data(), kSentence.size()) < 0) {  // nothing can be printed
  }
  ::_exit(kExitCodeOfSignals + signal);
}

void on_signal(int signal) {
  if (scopes == 0) end_now(signal);
  const bool again = interrupted;
  if (!again) first_signal = signal;
  interrupted = true;
  if (again && signal != SIGPIPE) end_now(signal);  // a closed pipe raises the signal with every line
}

}  // namespace

void handle_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
    struct sigaction now {};
    if (signal != SIGINT && ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) continue;
    struct sigaction ours {};
    ours.sa_handler = on_signal;
    ours.sa_flags = SA_RESTART;  // reads and writes continue
    ::sigaction(signal, &ours, nullptr);
  }
}

const std::atomic<bool>& interrupt_flag() { return interrupted; }

SignalsRaiseFlag::SignalsRaiseFlag() : exceptions_(std::uncaught_exceptions()) { ++scopes; }

SignalsRaiseFlag::~SignalsRaiseFlag() {
  if (--scopes == 0 && interrupted && std::uncaught_exceptions() == exceptions_) end_now(first_signal);
}

void SignalsRaiseFlag::accept() { interrupted = false; }

int interrupted_exit_code() { return kExitCodeOfSignals + first_signal; }

}  // namespace mirilla::apps
