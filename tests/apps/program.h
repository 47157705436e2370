// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla::apps {

/// The result of a run of the program.
struct Outcome {
  int code = -1;  // the exit code, or -signal
  std::string out;
  std::string err;
};

/// Runs `mirilla` with these arguments, as a shell would, and waits. `environment` sets further variables ("OMP_DYNAMIC=true"), beside
/// those of the test.
Outcome run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {});

/// A run in the background, for tests that interrupt it.
class Running {
 public:
  Running(const std::vector<std::string>& arguments, const std::filesystem::path& folder, const std::vector<std::string>& environment = {});
  ~Running();
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  /// Waits until stdout holds `text`; false after a minute, or where the program ended before.
  bool wait_for_output(std::string_view text);
  /// Ctrl-C.
  void interrupt() { send(SIGINT); }
  void send(int signal);
  /// Ends it after three minutes: code -9.
  Outcome wait();
  /// Waits at most this long; returns whether the program has ended.
  bool ends_within(double seconds);

 private:
  bool ended();

  std::filesystem::path out_, err_;
  pid_t child_ = -1;
  int status_ = 0;
};

/// A new folder, removed with the object.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(std::string_view name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string slurp(const std::filesystem::path& path);
void spill(const std::filesystem::path& path, std::string_view bytes);

}  // namespace mirilla::apps
