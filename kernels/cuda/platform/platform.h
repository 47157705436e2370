// SPDX-License-Identifier: MIT
#pragma once

/// The one seam between the kernels and what they run on. Both sides define the same names, in the namespace that MIRILLA_PLATFORM stands
/// for; the rest of kernels/cuda is written in terms of them and compiled once for each side:
///
///   MIRILLA_PLATFORM = cuda   nvcc, CUDA's runtime         the device 'cuda'
///   MIRILLA_PLATFORM = simt   the host's compiler, simt/   the device 'simt'
///
/// On both sides:
///   kDeviceName, kGpu      what it is called; whether it is a GPU
///   facts(), available()   what the device is
///   allocate, release      its memory
///   Stream, Event, Replay  its order of work
///   Scratch                memory for as long as a launcher needs it, in a stream's order
///   launch<kernel>(stream, shape, args...)
/// and, for kernels:
///   dynamic_shared<T>(), widen(x), narrow<T>(f), assume_aligned<T>(p)
///
/// vendor/ is the GPU's side too, and the host's compiler compiles it: there CMake defines MIRILLA_GPU_SIDE.
#if defined(__CUDACC__) || defined(MIRILLA_GPU_SIDE)
#define MIRILLA_PLATFORM cuda
#include "kernels/cuda/platform/gpu.h"
#else
#define MIRILLA_PLATFORM simt
#include "kernels/cuda/platform/executor.h"
#endif
