// SPDX-License-Identifier: MIT
#pragma once

/// The only interface between the kernels and what they run on. Both sides define the same names, in the namespace that MIRILLA_PLATFORM
/// names; the rest of kernels/cuda uses these names and is compiled once for each side:
///
///   MIRILLA_PLATFORM = cuda   nvcc, CUDA's runtime         the device 'cuda'
///   MIRILLA_PLATFORM = simt   the host's compiler, simt/   the device 'simt'
///
/// On both sides:
///   kDeviceName, kGpu      the device's name; whether it is a GPU
///   facts(), available()   the properties of the device; whether it can be used
///   allocate, release      its memory
///   Stream, Event, Replay  its order of work
///   Scratch                memory for as long as a launcher needs it, in a stream's order
///   launch<kernel>(stream, shape, args...), most_together(stream)
/// and, for kernels:
///   dynamic_shared<T>(), widen(x), narrow<T>(f), assume_aligned<T>(p)
///   raise_flag, wait_for_flag, lower_flag   between blocks that run together
///
/// vendor/ belongs to the GPU's side, but the host's compiler compiles it: there CMake defines MIRILLA_GPU_SIDE.
#if defined(__CUDACC__) || defined(MIRILLA_GPU_SIDE)
#define MIRILLA_PLATFORM cuda
#include "kernels/cuda/platform/gpu.h"
#else
#define MIRILLA_PLATFORM simt
#include "kernels/cuda/platform/executor.h"
#endif
