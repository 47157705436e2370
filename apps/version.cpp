// SPDX-License-Identifier: MIT
#include "apps/command.h"
#include "data/pictures/libraries.h"
#include "kernels/core/device.h"
#include "kernels/cuda/device.h"
#include "kernels/devices.h"

namespace mirilla::apps {

std::string version_text() {
  std::string text = fmt::format("mirilla {}\n\ndevices\n", MIRILLA_VERSION);
  for (const std::string& name : device_names()) text += fmt::format("  {}\n", open_device(name).description());
  if (!cuda::unavailable().empty()) text += fmt::format("  {}\n", cuda::version_line());
  text += "\nlibraries\n";
  for (const auto& [name, version] : data::libraries()) text += fmt::format("  {} {}\n", name, version);
  text += fmt::format("  nlohmann-json {}.{}.{}\n  CLI11 {}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                      NLOHMANN_JSON_VERSION_PATCH, CLI11_VERSION);
  return text;
}

}  // namespace mirilla::apps
