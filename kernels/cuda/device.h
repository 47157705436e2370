// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "kernels/device.h"

/// The two devices that the sources of this folder make. kernels/cuda/no_cuda.cpp stands in for the first where the build has no CUDA.
namespace mirilla {

namespace cuda {
/// Empty, or one sentence that says why there is no GPU to compute on: no driver, too old a driver, this build has no CUDA.
std::string unavailable();
/// The GPU. Throws DeviceError with that sentence.
Device& device();
/// "cuda: not built", "cuda: built for sm_90, no device", "cuda: NVIDIA H200, sm_90, ...": one line for --version.
std::string version_line();
}  // namespace cuda

namespace simt {
std::string unavailable();  // never: the executor runs anywhere
Device& device();
std::string version_line();
}  // namespace simt

}  // namespace mirilla
