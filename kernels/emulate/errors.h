// SPDX-License-Identifier: MIT
#pragma once

#include <cuda_runtime_api.h>

#include <optional>
#include <string_view>

namespace mirilla::emulate {

/// "cudaErrorMemoryAllocation" and "out of memory"; "unrecognized error code" for a number that CUDA does not have.
const char* name_of(cudaError_t error);
const char* text_of(cudaError_t error);

/// By its name, with or without "cudaError", or its text; capitals and spaces do not count: "outofmemory", "IllegalAddress".
std::optional<cudaError_t> find_error(std::string_view name);

/// Whether the error leaves a GPU unusable for the process: each later call returns it again.
bool sticks(cudaError_t error);

}  // namespace mirilla::emulate
