// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mirilla::gpu_check {

struct KernelTime {
  std::string kernel;
  int64_t calls = 0;
  double ms = 0;  // of all calls
};

/// Every kernel that this process starts on a GPU from now on, as recorded by CUPTI during the run. Only one per process.
class KernelRecorder {
 public:
  /// Throws DeviceError with a sentence where CUPTI is missing or not permitted.
  KernelRecorder();
  /// The recorded kernels, longest first. Synchronize the device before.
  std::vector<KernelTime> take();
};

}  // namespace mirilla::gpu_check
