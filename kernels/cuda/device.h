// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "kernels/core/device.h"

/// The two devices that the sources of this folder make. kernels/cuda/no_cuda.cpp replaces the first where the build has no CUDA.
namespace mirilla {

namespace cuda {
/// Empty, or one sentence that says why this GPU cannot be used: no driver, too old a driver, this build has no CUDA.
std::string unavailable(int index = 0);
/// A GPU, counted from 0 in CUDA's order among those in CUDA_VISIBLE_DEVICES. Throws DeviceError with the sentence of unavailable().
Device& device(int index = 0);
/// "cuda: not built", "cuda: built for sm_90, no device", "cuda: NVIDIA H200, sm_90, ...": one line for --version.
std::string version_line();
}  // namespace cuda

namespace simt {
std::string unavailable(int index = 0);  // empty for index 0 only: the executor runs anywhere
Device& device(int index = 0);
std::string version_line();
}  // namespace simt

}  // namespace mirilla
