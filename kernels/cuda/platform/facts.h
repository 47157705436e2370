// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

namespace mirilla {

/// Facts about a device, for launchers and for messages.
struct DeviceFacts {
  std::string name;            // "NVIDIA H200"
  int compute_capability = 0;  // 90 for 9.0
  int multiprocessors = 1;
  int threads_per_multiprocessor = 2048;
  size_t shared_bytes_per_block = 0;  // the most that a block may ask for
  size_t memory_bytes = 0;
  size_t l2_bytes = 0;
  int driver_version = 0, runtime_version = 0;  // 13000 for 13.0; 0 where there is none
};

}  // namespace mirilla
