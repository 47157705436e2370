// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mirilla {

/// Code for one architecture in a build, as CMake's CUDA_ARCHITECTURES names it: "90" is machine code and PTX, "90-real" machine code,
/// "90-virtual" PTX; "90a" has instructions of that chip only, "100f" of its family.
struct BuiltArchitecture {
  enum class Reach { any, family, chip };
  int capability = 0;  // 90 for 9.0
  bool machine_code = true, ptx = true;
  Reach reach = Reach::any;
  std::string name;  // "sm_90a"
};

/// "90;100-real" or "90 100-real". Empty where it names anything else ("native", "all-major").
std::vector<BuiltArchitecture> built_architectures(std::string_view list);
/// "sm_90, sm_100"
std::string names_of(const std::vector<BuiltArchitecture>& built);

/// Whether a GPU runs this code. Machine code runs on the same major version and the same minor or a later one; PTX is translated by the
/// driver for any GPU that is not older; code for one chip or one family runs only there.
///                                                                                             [CUDA C++ Programming Guide, 3.1.2 to 3.1.4]
enum class Runs { no, machine_code, translated };
Runs runs_on(const BuiltArchitecture& built, int major, int minor);

/// The answers of the NVIDIA driver (or of a test), from which the sentences below are made. Versions as CUDA writes them: 13000 for 13.0.
struct DriverAnswer {
  struct Gpu {
    std::string name;
    int major = 0, minor = 0;
    std::string error = {};  // CUDA's error text where it failed
  };
  int driver_version = 0;  // 0: there is no driver
  int runtime_version = 0;
  std::string count_error = {};  // CUDA's error text where it could not count the GPUs
  std::vector<Gpu> gpus = {};
  std::optional<std::string> visible = {};  // CUDA_VISIBLE_DEVICES
};

/// Empty, or why the GPU of that index cannot be used: completes "the device 'cuda:1' was asked for and ...".
std::string why_unavailable(const DriverAnswer& answer, const std::vector<BuiltArchitecture>& built, int index);

/// "13.0" for 13000.
std::string version_text(int version);

}  // namespace mirilla
