// SPDX-License-Identifier: MIT
#include "kernels/cuda/vendor/conv_plans.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/core/error.h"

namespace mirilla::cuda::vendor {

namespace {

constexpr size_t kMostCandidates = 24;  // cuDNN names over a hundred, best first; building one can take a tenth of a second
constexpr int kRuns = 5;
constexpr double kHopeless = 2;  // times the best time: not worth more than one run

// Both results are right up to one rounding to their type, with f32 sums in any order. Relative to the largest value, so that sums that
// cancel do not matter; for halves 4 units in the last place of the largest value, for f32 a bound that TF32 already exceeds.
double bound_of(DType result, DType read) {
  if (result == DType::f16) return 0x1p-9;
  if (result == DType::bf16) return 0x1p-6;
  return is_half(read) ? 0x1p-10 : 0x1p-13;
}

}  // namespace

std::string ConvPlans::key_of(const ConvProblem& problem) const {
  std::string key = to_string(problem);
  if (rules_.deterministic) key += ", deterministic";
  if (rules_.tf32 && problem.dtype == DType::f32) key += ", tf32";
  return key;
}

bool ConvPlans::may_run(const ConvProblem& problem) const {
  const std::lock_guard lock(mutex_);
  const auto found = chosen_.find(problem);
  return found == chosen_.end() || found->second.plan != nullptr;
}

bool ConvPlans::run(const ConvProblem& problem, const ConvBuffers& buffers) {
  const std::lock_guard lock(mutex_);
  const Chosen* chosen = known(problem);
  if (!chosen && tools_.recording()) {
    ++counts_.unplanned;
    return false;
  }
  if (!chosen) chosen = choose(problem);
  if (!chosen || !chosen->plan) return false;
  chosen->plan->run(buffers);
  return true;
}

// From memory, or from the keeper; while the stream records, from memory only: loading a plan's code may wait.
const ConvPlans::Chosen* ConvPlans::known(const ConvProblem& problem) {
  if (const auto found = chosen_.find(problem); found != chosen_.end()) return &found->second;
  if (tools_.recording() || !store_) return nullptr;
  const std::optional<StoredPlan> offer = store_->find(key_of(problem));
  if (!offer) return nullptr;
  Chosen chosen{*offer, nullptr};
  if (offer->text != kOwnKernel && !(chosen.plan = build(problem, offer->text))) {
    ++counts_.stale;
    return nullptr;
  }
  ++counts_.kept;
  return &(chosen_[problem] = std::move(chosen));
}

bool ConvPlans::keeps_rules(const ConvProblem& problem, const ConvCandidate& candidate) const {
  const bool precise = candidate.full_precision || (rules_.tf32 && problem.dtype == DType::f32);
  return precise && (candidate.deterministic || !rules_.deterministic);
}

std::unique_ptr<ConvPlan> ConvPlans::build(const ConvProblem& problem, const std::string& plan) {
  std::unique_ptr<ConvPlan> built = tools_.build(problem, plan);
  const bool good = built && keeps_rules(problem, built->what()) && built->workspace_bytes() <= rules_.workspace_bytes;
  return good ? std::move(built) : nullptr;
}

double ConvPlans::time(const std::function<void()>& work, double best) {
  tools_.milliseconds(work, 1);  // loads the code, fills the caches
  const double once = tools_.milliseconds(work, 1);
  return once > kHopeless * best ? once : tools_.milliseconds(work, kRuns);
}

// The candidates that obey the rules and are faster than our own kernel, fastest first.
std::vector<ConvPlans::Timed> ConvPlans::timed(const ConvProblem& problem, const ConvBuffers& buffers, double own) {
  std::vector<Timed> all;
  double best = own;
  size_t tried = 0;
  for (const ConvCandidate& candidate : tools_.candidates(problem)) {
    if (!keeps_rules(problem, candidate)) continue;
    if (tried == kMostCandidates) break;
    std::unique_ptr<ConvPlan> plan = build(problem, candidate.plan);
    if (!plan) continue;
    ++tried;
    try {
      const double milliseconds = time([&] { plan->run(buffers); }, best);
      best = std::min(best, milliseconds);
      if (milliseconds < own) all.push_back({std::move(plan), milliseconds});
    } catch (const DeviceError&) {  // no memory for its workspace, for example
      ++counts_.failed;
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const Timed& a, const Timed& b) { return a.milliseconds < b.milliseconds; });
  return all;
}

// Compares its result with ours, which is in the sample.
bool ConvPlans::is_right(const ConvProblem& problem, const ConvSample& sample, ConvPlan& plan) {
  ConvBuffers ours = sample.buffers, theirs = sample.buffers;
  theirs.written(problem.kind) = sample.elsewhere;
  Distance distance;
  try {
    plan.run(theirs);
    distance = tools_.distance(ours.written(problem.kind), sample.elsewhere, problem.result, elements_written(problem));
  } catch (const DeviceError&) {
    ++counts_.failed;
    return false;
  }
  double bound = bound_of(plan.what().rounded ? problem.dtype : problem.result, problem.dtype);
  if (rules_.tf32 && problem.dtype == DType::f32) bound = 0x1p-9;  // TF32 was requested
  // False for NaN. A result of zeros, or one of ours that is not finite, proves nothing.
  const bool right = distance.largest > 0 && std::isfinite(distance.largest) && distance.apart <= bound * distance.largest;
  if (!right) ++counts_.wrong;
  return right;
}

const ConvPlans::Chosen* ConvPlans::choose(const ConvProblem& problem) {
  ConvSample sample;
  try {
    sample = tools_.sample(problem);
  } catch (const DeviceError&) {
    ++counts_.untried;
    return &(chosen_[problem] = {{std::string(kOwnKernel), 0}, nullptr});
  }
  Chosen chosen = rules_.deterministic ? first_on(problem, sample) : fastest_on(problem, sample);
  tools_.done();
  ++counts_.timed;
  if (store_) store_->put(key_of(problem), chosen.what);
  return &(chosen_[problem] = std::move(chosen));
}

ConvPlans::Chosen ConvPlans::fastest_on(const ConvProblem& problem, const ConvSample& sample) {
  const auto run_own = [&] { tools_.run_own(problem, sample.buffers); };
  const double own = time(run_own, std::numeric_limits<double>::infinity());
  std::vector<Timed> faster = timed(problem, sample.buffers, own);
  if (!faster.empty()) run_own();  // the candidates overwrote its result
  for (Timed& candidate : faster)
    if (is_right(problem, sample, *candidate.plan))
      return {{candidate.plan->what().plan, candidate.milliseconds}, std::move(candidate.plan)};
  return {{std::string(kOwnKernel), own}, nullptr};
}

ConvPlans::Chosen ConvPlans::first_on(const ConvProblem& problem, const ConvSample& sample) {
  tools_.run_own(problem, sample.buffers);
  for (const ConvCandidate& candidate : tools_.candidates(problem)) {
    if (!keeps_rules(problem, candidate)) continue;
    std::unique_ptr<ConvPlan> plan = build(problem, candidate.plan);
    if (plan && is_right(problem, sample, *plan)) return {{candidate.plan, 0}, std::move(plan)};
  }
  return {{std::string(kOwnKernel), 0}, nullptr};
}

std::map<std::string, StoredPlan> ConvPlans::chosen() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, StoredPlan> all;
  for (const auto& [problem, chosen] : chosen_) all.emplace(key_of(problem), chosen.what);
  return all;
}

ConvPlans::Counts ConvPlans::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace mirilla::cuda::vendor
