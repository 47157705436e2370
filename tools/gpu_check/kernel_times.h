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

/// Every kernel that this process starts on a GPU from now on, as CUPTI records it beside the run. One in a process.
class KernelRecorder {
 public:
  /// Throws DeviceError with a sentence where CUPTI is not there or may not look.
  KernelRecorder();
  /// What was recorded, the longest first. The device is to be synchronized.
  std::vector<KernelTime> take();
};

}  // namespace mirilla::gpu_check
