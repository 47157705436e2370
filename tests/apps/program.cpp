// SPDX-License-Identifier: MIT
#include "tests/apps/program.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "kernels/core/error.h"

namespace mirilla::apps {

namespace fs = std::filesystem;

namespace {

// In the child: stdin from nowhere, stdout and stderr into files, then the program.
[[noreturn]] void become_program(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                                 const fs::path& out, const fs::path& err) {
  std::vector<std::string> words{MIRILLA_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const auto redirect = [](const char* path, int flags, int to) {
    const int file = ::open(path, flags, 0600);
    if (file < 0 || ::dup2(file, to) < 0) ::_exit(126);
  };
  redirect("/dev/null", O_RDONLY, STDIN_FILENO);
  redirect(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
  redirect(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
  for (const std::string& setting : environment) {
    const size_t equals = setting.find('=');
    ::setenv(setting.substr(0, equals).c_str(), setting.substr(equals + 1).c_str(), 1);
  }
  ::execv(MIRILLA_PROGRAM, pointers.data());
  ::_exit(127);
}

}  // namespace

Running::Running(const std::vector<std::string>& arguments, const fs::path& folder, const std::vector<std::string>& environment)
    : out_(folder / "stdout"), err_(folder / "stderr") {
  child_ = ::fork();
  if (child_ < 0) throw Error("the test cannot fork");
  if (child_ == 0) become_program(arguments, environment, out_, err_);
}

Running::~Running() {
  if (child_ < 0) return;
  ::kill(child_, SIGKILL);
  ::waitpid(child_, &status_, 0);
}

bool Running::ended() {
  if (child_ >= 0 && ::waitpid(child_, &status_, WNOHANG) == child_) child_ = -1;
  return child_ < 0;
}

bool Running::wait_for_output(std::string_view text) {
  for (int i = 0; i < 1200 && !ended(); ++i) {
    if (fs::exists(out_) && slurp(out_).find(text) != std::string::npos) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return false;
}

void Running::send(int signal) {
  if (child_ >= 0) ::kill(child_, signal);
}

bool Running::ends_within(double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!ended() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return ended();
}

Outcome Running::wait() {
  for (int i = 0; i < 9000 && !ended(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  if (child_ >= 0) ::kill(child_, SIGKILL);
  if (child_ >= 0) ::waitpid(child_, &status_, 0);
  child_ = -1;
  return {WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_), slurp(out_), slurp(err_)};
}

Outcome run(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  const Folder folder;
  return Running(arguments, folder.path(), environment).wait();
}

Folder::Folder() {
  std::string name = (fs::temp_directory_path() / "mirilla-apps-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw Error("no temporary folder");
  path_ = name;
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void spill(const fs::path& path, std::string_view bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace mirilla::apps
