// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/vendor/conv_problem.h"

namespace mirilla::cuda::vendor {

/// One way of cuDNN's to compute a problem.
struct ConvCandidate {
  std::string plan;  // engine and knobs, "62 2=4 13=0": what ConvGraph::build takes
  bool deterministic = true;
  /// Products and sums are no less than the dtype promises: f32 is not rounded to TF32, sums of halves are f32.
  bool full_precision = true;
  /// What should be f32 goes through the dtype of what is read.
  bool rounded = false;
};

/// The chip that plans are for: the one behind a handle, or one that is described and need not be there.
class ConvChip {
 public:
  /// cuDNN's handle on the current device. Throws DeviceError where cuDNN is missing or refuses.
  static ConvChip here();
  /// By cuDNN's own JSON of a device's properties. Plans can be made for it, but not run. Throws DeviceError where cuDNN refuses the text.
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
  /// Empty, or why cuDNN's front end does not take the graph. Needs cuDNN, and no GPU. Throws DeviceError where cuDNN is missing.
  static std::string check(const ConvProblem& problem);

  /// Throws DeviceError with cuDNN's words where it does not take the graph.
  ConvGraph(const ConvProblem& problem, const ConvChip& chip);
  ~ConvGraph();
  ConvGraph(ConvGraph&&) noexcept;
  ConvGraph& operator=(ConvGraph&&) noexcept;

  /// What cuDNN's heuristics suggest, best first, none twice: mode A's list, then B's, then what always works. Empty where the chip cannot
  /// compute the graph; why() then has cuDNN's words.
  std::vector<ConvCandidate> candidates();
  /// Makes the plan ready to run. False where cuDNN does not know it or cannot build it; why() says why.
  bool build(const std::string& plan);
  const std::string& why() const { return why_; }

  /// Of the plan built last.
  const ConvCandidate& built() const { return built_; }
  size_t workspace_bytes() const;
  /// Puts the plan built last on the chip's stream; does not wait. Throws DeviceError where cuDNN refuses.
  void run(const ConvBuffers& buffers, void* workspace) const;

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
  ConvCandidate built_;
  std::string why_;
};

}  // namespace mirilla::cuda::vendor
