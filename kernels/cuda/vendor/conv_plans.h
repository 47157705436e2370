// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernels/cuda/vendor/conv_graph.h"
#include "kernels/plans/plan_store.h"

namespace mirilla::cuda::vendor {

/// The text of a StoredPlan where our own kernel won; else it is ConvCandidate::plan.
inline constexpr std::string_view kOwnKernel = "own";

/// A plan that is ready to run.
class ConvPlan {
 public:
  virtual ~ConvPlan() = default;
  virtual const ConvCandidate& what() const = 0;
  virtual size_t workspace_bytes() const = 0;
  /// Starts it on the stream. Does not wait.
  virtual void run(const ConvBuffers& buffers) = 0;
};

/// The difference of two results.
struct Distance {
  double largest = 0;  // largest magnitude in ours; not finite where any value of ours is not
  double apart = 0;    // the largest difference; not finite where a value of theirs is not finite and ours is
};

/// Tensors to try plans on: inputs are uniform in [-1,1), the same each time, so that neither a choice nor its check depends on the values
/// of a training step, such as an overflow or a gradient of zeros.
struct ConvSample {
  ConvBuffers buffers;
  void* elsewhere = nullptr;  // room for a second result
};

/// Everything that the choice needs from cuDNN and CUDA. Tests replace it by a recorder.
class ConvTools {
 public:
  virtual ~ConvTools() = default;
  virtual bool recording() const = 0;
  virtual std::vector<ConvCandidate> candidates(const ConvProblem& problem) = 0;
  /// Null where the library does not know the plan, or cannot build it.
  virtual std::unique_ptr<ConvPlan> build(const ConvProblem& problem, const std::string& plan) = 0;
  /// build for each of several plans of a problem, at once where the library allows it.
  virtual std::vector<std::unique_ptr<ConvPlan>> build_all(const ConvProblem& problem, const std::vector<std::string>& plans) {
    std::vector<std::unique_ptr<ConvPlan>> all;
    for (const std::string& plan : plans) all.push_back(build(problem, plan));
    return all;
  }
  /// The host's clock.
  virtual double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
  /// Starts our own kernel on the stream. Does not wait.
  virtual void run_own(const ConvProblem& problem, const ConvBuffers& buffers) = 0;
  /// The time of one of `times` runs in a row, by the device's clock. Waits.
  virtual double milliseconds(const std::function<void()>& work, int times) = 0;
  /// Valid until done() is called. Throws DeviceError where there is not enough memory.
  virtual ConvSample sample(const ConvProblem& problem) = 0;
  virtual void done() = 0;
  /// The difference between `count` elements of a type. Waits.
  virtual Distance distance(const void* ours, const void* theirs, DType dtype, int64_t count) = 0;
};

/// Rules that a plan must obey.
struct PlanRules {
  size_t workspace_bytes = size_t{1} << 30;
  bool deterministic = false;  // adds in a fixed order, and is not chosen by timing, which varies from run to run
  bool tf32 = false;           // may round f32 to TF32
};

inline constexpr size_t kMostCandidates = 8;   // cuDNN names over a hundred, best first; building one can take a tenth of a second
inline constexpr size_t kMostCompiled = 4;     // one for each thread that builds
inline constexpr double kCompileSeconds = 20;  // in one program, in which ResNet18 has about 90 problems

/// Finds the fastest plan for each problem, once, and runs it from then on.
///
/// At a problem's first call: take the plan kept for it, if the library still builds it within the rules. Else some candidates that obey
/// the rules are timed on a sample, together with our own kernel: kMostCandidates of those that are ready, and kMostCompiled of those that
/// the library compiles first, as long as all this compiling took less than kCompileSeconds. The result of the fastest is compared with
/// our own kernel's, and it is chosen if
///
///   |theirs - ours| <= bound max |ours|      for each element; the bound by the result's dtype, see is_right
///
/// otherwise the next is tried. A candidate that fails is skipped. Where the rules ask for determinism nothing is timed, and the
/// first candidate that is right is chosen. While the stream records nothing is timed, built or chosen: a problem that has no plan yet
/// runs our own kernel.
class ConvPlans {
 public:
  /// `store` is where choices outlast the program, not asked while a stream records; it may be null. Both outlive this.
  ConvPlans(ConvTools& tools, PlanStore* store, const PlanRules& rules) : tools_(tools), store_(store), rules_(rules) {}

  /// Starts the whole problem on the stream and returns true; or returns false, and the caller runs our own kernel. Waits where it chooses,
  /// which is once per problem and never while the stream records.
  bool run(const ConvProblem& problem, const ConvBuffers& buffers);

  /// False where run would certainly return false: for callers that have to prepare buffers.
  bool may_run(const ConvProblem& problem) const;

  /// Whether the problem's plan rounds, which run would take or choose now. A caller that then runs the problem in halves instead
  /// (in_halves) gets this plan without its conversions.
  bool rounds(const ConvProblem& problem);

  /// All choices so far, by key.
  std::map<std::string, StoredPlan> chosen() const;
  struct Counts {
    int timed = 0;      // problems whose candidates were timed
    int kept = 0;       // problems that took a kept plan
    int stale = 0;      // kept plans that the library no longer builds, or that broke the rules
    int wrong = 0;      // plans whose result differed from ours
    int failed = 0;     // plans that the library or the device refused to run
    int untried = 0;    // problems that run our own kernel until the program ends: no memory for a sample
    int unplanned = 0;  // calls without a plan while the stream recorded
  };
  Counts counts() const;

  /// Problem and rules: plans chosen under other rules have other keys.
  std::string key_of(const ConvProblem& problem) const;

 private:
  struct Chosen {
    StoredPlan what;
    std::unique_ptr<ConvPlan> plan;  // null: our own kernel
  };
  struct Timed {
    std::unique_ptr<ConvPlan> plan;
    double milliseconds = 0;
  };

  const Chosen* rounding_twin(const ConvProblem& problem) const;
  const Chosen* known(const ConvProblem& problem);
  const Chosen* choose(const ConvProblem& problem);
  Chosen fastest_on(const ConvProblem& problem, const ConvSample& sample);
  Chosen first_on(const ConvProblem& problem, const ConvSample& sample);
  bool is_right(const ConvProblem& problem, const ConvSample& sample, ConvPlan& plan);
  bool keeps_rules(const ConvProblem& problem, const ConvCandidate& candidate) const;
  std::unique_ptr<ConvPlan> build(const ConvProblem& problem, const std::string& plan);
  bool suits(const ConvProblem& problem, const std::unique_ptr<ConvPlan>& plan) const;
  std::vector<ConvCandidate> candidates(const ConvProblem& problem);
  std::vector<std::unique_ptr<ConvPlan>> plans_to_time(const ConvProblem& problem);
  std::vector<std::unique_ptr<ConvPlan>> build_some(const ConvProblem& problem, std::span<const ConvCandidate> some, size_t most);
  std::vector<Timed> timed(const ConvProblem& problem, const ConvBuffers& buffers, double own);
  double time(const std::function<void()>& work, double best);

  ConvTools& tools_;
  PlanStore* const store_;
  const PlanRules rules_;
  mutable std::mutex mutex_;
  std::unordered_map<ConvProblem, Chosen, HashOfProblem> chosen_;
  Counts counts_;
  double compiling_ = 0;  // seconds
};

}  // namespace mirilla::cuda::vendor
