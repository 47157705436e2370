// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/vendor/conv_problem.h"

namespace mirilla::cuda::vendor {

/// One of cuDNN's plans for a problem.
struct ConvCandidate {
  std::string plan;  // engine and knobs, "62 2=4 13=0": what ConvGraph::build takes
  bool deterministic = true;
  /// Products and sums are as precise as the dtype promises: f32 is not rounded to TF32, sums of halves are f32.
  bool full_precision = true;
  /// Values that should be f32 pass through the dtype of the inputs.
  bool rounded = false;
  /// cuDNN compiles its kernel when the plan is built, which can take seconds.
  bool compiled = false;
};

/// The chip that plans are for: the chip behind a handle, or a described chip that need not exist.
class ConvChip {
 public:
  /// cuDNN's handle on the current device. Throws DeviceError where cuDNN is missing or refuses.
  static ConvChip here();
  /// From cuDNN's JSON of a device's properties. Plans can be made for it, but not run. Throws DeviceError where cuDNN refuses the text.
  static ConvChip described(const std::string& json);

  /// The stream on which the plans of `here` run from now on: a cudaStream_t.
  void use_stream(void* stream) const;

 private:
  friend class ConvGraph;
  struct Inside;
  std::shared_ptr<const Inside> inside_;
};

/// cuDNN's graph for a problem, tensors in NHWC by their strides, sums in f32, and its plans.                  [cudnn-frontend's graph API]
class ConvGraph {
 public:
  /// Empty, or why cuDNN's front end does not accept the graph. Needs cuDNN, but no GPU. Throws DeviceError where cuDNN is missing.
  static std::string check(const ConvProblem& problem);

  /// Throws DeviceError with cuDNN's text where it does not accept the graph.
  ConvGraph(const ConvProblem& problem, const ConvChip& chip);
  ~ConvGraph();
  ConvGraph(ConvGraph&&) noexcept;
  ConvGraph& operator=(ConvGraph&&) noexcept;

  /// What cuDNN's heuristics suggest, best first, without duplicates: mode A's list, then B's, then the fallback's. Empty where the chip
  /// cannot compute the graph; why() then has cuDNN's text.
  std::vector<ConvCandidate> candidates();
  /// Makes the plan ready to run. False where cuDNN does not know it or cannot build it; why() has the reason.
  bool build(const std::string& plan);
  const std::string& why() const { return why_; }

  /// Runs on another handle from now on, of the same GPU: a plan is built on any of them.
  void use(const ConvChip& chip);

  /// The plan built last.
  const ConvCandidate& built() const { return built_; }
  size_t workspace_bytes() const;
  /// Starts the plan built last on the chip's stream; does not wait. Throws DeviceError where cuDNN refuses.
  void run(const ConvBuffers& buffers, void* workspace) const;

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
  ConvCandidate built_;
  std::string why_;
};

}  // namespace mirilla::cuda::vendor
