// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "kernels/core/device.h"

/// The two devices that the sources of this folder make. kernels/cuda/no_cuda.cpp stands in for the first where the build has no CUDA.
namespace mirilla {

namespace cuda {
/// Empty, or one sentence that says why there is no such GPU to compute on: no driver, too old a driver, this build has no CUDA.
std::string unavailable(int index = 0);
/// A GPU, counted from 0 as CUDA counts those that CUDA_VISIBLE_DEVICES lets it see. Throws DeviceError with that sentence.
Device& device(int index = 0);
/// "cuda: not built", "cuda: built for sm_90, no device", "cuda: NVIDIA H200, sm_90, ...": one line for --version.
std::string version_line();
}  // namespace cuda

namespace simt {
std::string unavailable(int index = 0);  // none but the first: the executor runs anywhere
Device& device(int index = 0);
std::string version_line();
}  // namespace simt

}  // namespace mirilla
