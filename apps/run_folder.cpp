// SPDX-License-Identifier: MIT
#include "apps/run_folder.h"

#include <fmt/format.h>

#include <array>
#include <iostream>
#include <system_error>

#include "kernels/core/atomic_file.h"
#include "kernels/core/error.h"

namespace mirilla::apps {

namespace {

namespace fs = std::filesystem;

constexpr const char *kModel = "model.safetensors", *kConfig = "config.json";
constexpr std::array<const char*, 4> kFiles{kModel, kConfig, "history.csv",
                                            "loss.png"};  // the model first: no later file may seem to belong to it

// For a symbolic link, whether the link itself exists.
bool there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

void check(const std::error_code& error, const fs::path& file) {
  if (error)
    throw Error(fmt::format("{}: this file of an earlier run cannot be moved away", file.string()),
                "is the folder writable? choose another place with --out");
}

void take_away(const fs::path& file) {
  std::error_code error;
  fs::remove(file, error);
  check(error, file);
}

void set_aside(const fs::path& folder) {
  const fs::path earlier = folder / "earlier";
  std::error_code error;
  fs::create_directories(earlier, error);
  check(error, folder / kModel);
  for (const char* name : kFiles) take_away(earlier / name);
  for (const char* name : kFiles) {
    if (!there(folder / name)) continue;
    fs::rename(folder / name, earlier / name, error);
    check(error, folder / name);
  }
  std::cerr << fmt::format("{} contained an earlier run: its model and its other files are now in {}\n", folder.string(), earlier.string());
}

}  // namespace

void begin_run(const fs::path& folder, const std::string& config) {
  if (there(folder / kModel)) set_aside(folder);
  for (const char* name : kFiles) take_away(folder / name);
  write_atomically(folder / kConfig, config);
}

}  // namespace mirilla::apps
