// SPDX-License-Identifier: MIT
#include "kernels/cuda/platform/driver_answer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace mirilla {

namespace {

std::optional<BuiltArchitecture> parse(std::string_view name) {
  BuiltArchitecture built;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), built.capability);
  if (error != std::errc() || built.capability < 10) return std::nullopt;
  std::string_view rest = name.substr(static_cast<size_t>(end - name.data()));
  built.name = fmt::format("sm_{}", built.capability);
  if (rest.starts_with('a') || rest.starts_with('f')) {
    built.reach = rest[0] == 'a' ? BuiltArchitecture::Reach::chip : BuiltArchitecture::Reach::family;
    built.name += rest[0];
    rest.remove_prefix(1);
  }
  built.ptx = rest != "-real";
  built.machine_code = rest != "-virtual";
  if (!rest.empty() && built.ptx && built.machine_code) return std::nullopt;
  return built;
}

// How many GPUs there are, for an index that is too large.
std::string how_many(const DriverAnswer& answer) {
  const size_t count = answer.gpus.size();
  const std::string hidden = answer.visible ? fmt::format(" (CUDA_VISIBLE_DEVICES is '{}')", *answer.visible) : std::string();
  if (count == 1) return fmt::format("there is one GPU, cuda:0{}", hidden);
  return fmt::format("there are {} GPUs, cuda:0 to cuda:{}{}", count, count - 1, hidden);
}

std::string no_code_for(const DriverAnswer::Gpu& gpu, const std::vector<BuiltArchitecture>& built) {
  return fmt::format(
      "that GPU, {}, is sm_{}{}, and this build has code for {}, which does not run there: build with "
      "-DMIRILLA_CUDA_ARCHITECTURES={}{}",
      gpu.name, gpu.major, gpu.minor, names_of(built), gpu.major, gpu.minor);
}

}  // namespace

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

std::vector<BuiltArchitecture> built_architectures(std::string_view list) {
  std::vector<BuiltArchitecture> all;
  while (!list.empty()) {
    const size_t end = std::min(list.find_first_of(";, "), list.size());
    const std::string_view name = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    if (name.empty()) continue;
    const auto built = parse(name);
    if (!built) return {};
    all.push_back(*built);
  }
  return all;
}

std::string names_of(const std::vector<BuiltArchitecture>& built) {
  std::string names;
  for (const BuiltArchitecture& architecture : built) names += (names.empty() ? "" : ", ") + architecture.name;
  return names;
}

Runs runs_on(const BuiltArchitecture& built, int major, int minor) {
  const int chip = major * 10 + minor;
  const bool same_major = built.capability / 10 == major;
  switch (built.reach) {
    case BuiltArchitecture::Reach::chip:
      if (built.capability != chip) return Runs::no;
      break;
    case BuiltArchitecture::Reach::family:
      if (!same_major || built.capability > chip) return Runs::no;
      break;
    case BuiltArchitecture::Reach::any:
      if (built.capability > chip) return Runs::no;
      break;
  }
  if (built.machine_code && same_major) return Runs::machine_code;
  return built.ptx ? Runs::translated : Runs::no;
}

std::string why_unavailable(const DriverAnswer& answer, const std::vector<BuiltArchitecture>& built, int index) {
  if (answer.driver_version == 0) return "this machine has no NVIDIA driver";
  // Within one major version a newer runtime works with an older driver.
  if (answer.driver_version / 1000 < answer.runtime_version / 1000)
    return fmt::format("the NVIDIA driver here supports CUDA {} and this build needs {}", version_text(answer.driver_version),
                       version_text(answer.runtime_version));
  if (!answer.count_error.empty())
    return fmt::format("the NVIDIA driver for CUDA {} says: {}", version_text(answer.driver_version), answer.count_error);
  if (answer.gpus.empty())
    return answer.visible
               ? fmt::format("the NVIDIA driver finds no GPU among those that CUDA_VISIBLE_DEVICES ('{}') names", *answer.visible)
               : "the NVIDIA driver finds no GPU";
  if (index < 0 || static_cast<size_t>(index) >= answer.gpus.size()) return how_many(answer);
  const DriverAnswer::Gpu& gpu = answer.gpus[static_cast<size_t>(index)];
  if (!gpu.error.empty())
    return fmt::format("the NVIDIA driver for CUDA {} does not say what that GPU is: {}", version_text(answer.driver_version), gpu.error);
  Runs best = Runs::no;
  for (const BuiltArchitecture& architecture : built) {
    const Runs here = runs_on(architecture, gpu.major, gpu.minor);
    if (here == Runs::machine_code) return {};
    if (here != Runs::no) best = here;
  }
  if (best == Runs::no) return no_code_for(gpu, built);
  // A driver translates PTX up to its own version.
  if (answer.driver_version < answer.runtime_version)
    return fmt::format(
        "that GPU, {}, is sm_{}{} and this build has code for {}, which the driver would have to translate; it supports CUDA "
        "{} and the code is of {}",
        gpu.name, gpu.major, gpu.minor, names_of(built), version_text(answer.driver_version), version_text(answer.runtime_version));
  return {};
}

}  // namespace mirilla
