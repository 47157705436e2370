// SPDX-License-Identifier: MIT
#include "kernels/cuda/conv/vendor_plans.h"
#include "kernels/cuda/device.h"

namespace mirilla::cuda {

std::string unavailable(int) { return "this build has no CUDA"; }
Device& device(int index) {
  throw DeviceError(fmt::format("the device 'cuda{}' was asked for and {}", index > 0 ? fmt::format(":{}", index) : "", unavailable(index)),
                    "'cpu' computes on the host, 'simt' runs the same kernels there; the CMake preset 'cuda' builds for a GPU");
}
std::string version_line() { return "cuda: not built"; }
std::string conv_plans_text() { return {}; }
PlanStore* conv_plan_store() { return nullptr; }
std::vector<std::string> conv_fusions() { return {}; }
std::vector<std::string> take_plan_notes() { return {}; }

}  // namespace mirilla::cuda
