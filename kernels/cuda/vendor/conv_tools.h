// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>

#include "kernels/cuda/platform/platform.h"
#include "kernels/cuda/vendor/conv_plans.h"
#include "kernels/cuda/vendor/workspace.h"

namespace mirilla::cuda::vendor {

/// cuDNN and CUDA, on one stream.
class CudnnTools final : public ConvTools {
 public:
  /// Throws DeviceError where cuDNN is missing.
  explicit CudnnTools(Stream& stream);

  bool recording() const override { return stream_.recording(); }
  std::vector<ConvCandidate> candidates(const ConvProblem& problem) override;
  std::unique_ptr<ConvPlan> build(const ConvProblem& problem, const std::string& plan) override { return build_on(chip_, problem, plan); }
  std::vector<std::unique_ptr<ConvPlan>> build_all(const ConvProblem& problem, const std::vector<std::string>& plans) override;
  void run_own(const ConvProblem& problem, const ConvBuffers& buffers) override;
  double milliseconds(const std::function<void()>& work, int times) override;
  ConvSample sample(const ConvProblem& problem) override;
  void done() override { scratch_.reset(); }
  Distance distance(const void* ours, const void* theirs, DType dtype, int64_t count) override;

 private:
  std::unique_ptr<ConvPlan> build_on(const ConvChip& chip, const ConvProblem& problem, const std::string& plan);

  Stream& stream_;
  ConvChip chip_;
  std::vector<ConvChip> builders_;  // one for each thread that builds: no two may use a handle at once
  Workspace workspace_;
  std::optional<Scratch> scratch_;
  Event start_, end_;
};

}  // namespace mirilla::cuda::vendor
