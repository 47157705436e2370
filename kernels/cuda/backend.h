// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/core/implements.h"
#include "kernels/cuda/platform/platform.h"

namespace mirilla::MIRILLA_PLATFORM {

/// The table of hand-written kernels, f32, f16 and bf16. The same sources are the device 'cuda' on a GPU and 'simt' on the host's executor.
/// Sums are f32 and in a fixed order: results have the same bits in every run. No function waits for the device.
class CudaBackend final : public Implements<CudaBackend, CoreOperations, OptionalOperations> {
 public:
  explicit CudaBackend(Stream& stream);

  std::string_view name() const override { return kDeviceName; }
  /// Where cuDNN's plan for the call rounds.
  bool rounds(const op::Conv2dBackwardWeight& call) override;
  bool rounds(const op::Conv2dBiasAddRelu& call) override;
  template <class T>
  void execute(const T& call);

  Stream& stream() { return stream_; }

 private:
  Stream& stream_;
};

}  // namespace mirilla::MIRILLA_PLATFORM
