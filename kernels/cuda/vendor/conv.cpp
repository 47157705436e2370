// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <tuple>

#include "kernels/core/error.h"
#include "kernels/cuda/conv/vendor_plans.h"
#include "kernels/cuda/vendor/conv_calls.h"
#include "kernels/cuda/vendor/conv_probe.h"
#include "kernels/cuda/vendor/conv_tools.h"
#include "kernels/cuda/vendor/cudnn.h"
#include "kernels/cuda/vendor/library_plans.h"
#include "kernels/cuda/vendor/options.h"

// The convolutions of conv_calls.cpp, given to cuDNN.
namespace mirilla::cuda::vendor {

// Which plan computes it: looked up, or timed and compared with our own kernel.

namespace {

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

bool ConvPlans::rounds(const ConvProblem& problem) {
  const std::lock_guard lock(mutex_);
  const Chosen* chosen = known(problem);
  if (!chosen && !tools_.recording()) chosen = choose(problem);
  return chosen && chosen->plan && chosen->plan->what().rounded;
}

// Of a problem in halves: the choice for the same with f32 at its ends, if that plan rounds.
const ConvPlans::Chosen* ConvPlans::rounding_twin(const ConvProblem& problem) const {
  const ConvProblem twin = with_f32_ends(problem);
  if (!may_be_rounded(twin) || twin == problem) return nullptr;
  const auto found = chosen_.find(twin);
  return found != chosen_.end() && found->second.plan && found->second.plan->what().rounded ? &found->second : nullptr;
}

bool ConvPlans::run(const ConvProblem& problem, const ConvBuffers& buffers) {
  const std::lock_guard lock(mutex_);
  if (const Chosen* const twin = rounding_twin(problem)) {
    ConvBuffers halves = buffers;
    halves.in_halves = true;
    twin->plan->run(halves);
    return true;
  }
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

bool ConvPlans::suits(const ConvProblem& problem, const std::unique_ptr<ConvPlan>& plan) const {
  return plan && keeps_rules(problem, plan->what()) && plan->workspace_bytes() <= rules_.workspace_bytes;
}

std::unique_ptr<ConvPlan> ConvPlans::build(const ConvProblem& problem, const std::string& plan) {
  std::unique_ptr<ConvPlan> built = tools_.build(problem, plan);
  return suits(problem, built) ? std::move(built) : nullptr;
}

// Those that obey the rules, in the library's order; but what it compiles comes last, and plans that round take turns with those that do
// not, since a few of either kind are all that is tried.
std::vector<ConvCandidate> ConvPlans::candidates(const ConvProblem& problem) {
  struct Place {
    bool compiled;
    size_t rank;  // among those that round, or those that do not
    ConvCandidate candidate;
  };
  std::vector<Place> places;
  size_t ranks[2][2] = {};
  for (ConvCandidate& candidate : tools_.candidates(problem)) {
    if (!keeps_rules(problem, candidate)) continue;
    const bool compiled = candidate.compiled;
    const size_t rank = ranks[compiled][candidate.rounded]++;
    places.push_back({compiled, rank, std::move(candidate)});
  }
  std::stable_sort(places.begin(), places.end(),
                   [](const Place& a, const Place& b) { return std::tie(a.compiled, a.rank) < std::tie(b.compiled, b.rank); });
  std::vector<ConvCandidate> all;
  for (Place& place : places) all.push_back(std::move(place.candidate));
  return all;
}

// The first `most` of some that can be built, built at once; the next ones in the place of those that cannot.
std::vector<std::unique_ptr<ConvPlan>> ConvPlans::build_some(const ConvProblem& problem, std::span<const ConvCandidate> some, size_t most) {
  std::vector<std::unique_ptr<ConvPlan>> all;
  while (!some.empty() && all.size() < most) {
    std::vector<std::string> texts;
    for (; !some.empty() && all.size() + texts.size() < most; some = some.subspan(1)) texts.push_back(some.front().plan);
    for (std::unique_ptr<ConvPlan>& plan : tools_.build_all(problem, texts))
      if (suits(problem, plan)) all.push_back(std::move(plan));
  }
  return all;
}

std::vector<std::unique_ptr<ConvPlan>> ConvPlans::plans_to_time(const ConvProblem& problem) {
  const std::vector<ConvCandidate> all = candidates(problem);
  const size_t ready = static_cast<size_t>(std::ranges::find(all, true, &ConvCandidate::compiled) - all.begin());
  std::vector<std::unique_ptr<ConvPlan>> plans = build_some(problem, std::span(all).first(ready), kMostCandidates);
  const std::span<const ConvCandidate> to_compile = std::span(all).subspan(ready);
  if (to_compile.empty() || compiling_ >= kCompileSeconds) return plans;
  const double start = tools_.seconds();
  for (std::unique_ptr<ConvPlan>& plan : build_some(problem, to_compile.first(std::min(to_compile.size(), kMostCompiled)), kMostCompiled))
    plans.push_back(std::move(plan));
  compiling_ += tools_.seconds() - start;
  return plans;
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
  for (std::unique_ptr<ConvPlan>& plan : plans_to_time(problem)) {
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
  std::vector<ConvCandidate> all = candidates(problem);
  std::ranges::stable_partition(all, [](const ConvCandidate& candidate) { return !candidate.rounded; });  // time does not count here
  for (const ConvCandidate& candidate : all) {
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

namespace {

struct Convolutions {
  explicit Convolutions(Stream& stream)
      : tools(stream),
        plans(tools, &plans_of(cudnn().name(), cudnn().version()), {options().workspace_bytes, options().deterministic, options().tf32}) {}
  CudnnTools tools;
  ConvPlans plans;  // what is chosen on this GPU outlasts the program
};

// One entry per stream that has computed a convolution. Never destroyed: replays refer to its contents.
struct AllConvolutions {
  std::mutex mutex;
  std::map<Stream*, Convolutions> by_stream;
};

AllConvolutions& all_convolutions() {
  static auto& all = *std::make_unique<AllConvolutions>().release();
  return all;
}

Convolutions& on(Stream& stream) {
  choose(stream.index());  // the library uses the thread's GPU
  AllConvolutions& all = all_convolutions();
  const std::lock_guard lock(all.mutex);
  return all.by_stream.try_emplace(&stream, stream).first->second;
}

}  // namespace

bool asks_cudnn(const Stream&) { return options().cudnn; }

bool may_run(Stream& stream, const ConvProblem& problem) { return on(stream).plans.may_run(problem); }

bool rounds(Stream& stream, const ConvProblem& problem) { return on(stream).plans.rounds(problem); }

bool run(Stream& stream, const ConvCall& call) {
  if (!on(stream).plans.run(call.problem, call.buffers)) return false;
  detail::library_called(stream, "compute a convolution by cuDNN");
  return true;
}

}  // namespace mirilla::cuda::vendor

namespace mirilla::cuda {

PlanStore* conv_plan_store() {
  if (!unavailable(chosen()).empty() || !vendor::options().cudnn) return nullptr;
  try {
    return &vendor::plans_of(vendor::cudnn().name(), vendor::cudnn().version());
  } catch (const DeviceError&) {  // no cuDNN: the next convolution reports it
    return nullptr;
  }
}

std::vector<std::string> conv_fusions() {
  if (!conv_plan_store()) return {};
  std::vector<std::string> lines;
  const vendor::ConvChip chip = vendor::ConvChip::here();
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32})
    for (const vendor::Fusion& fusion : vendor::probe_fusions(chip, dtype))
      lines.push_back(
          fmt::format("{}: {}: {}", name_of(dtype), fusion.name, fusion.plans == 0 ? fusion.why : fmt::format("{} plans", fusion.plans)));
  return lines;
}

std::string conv_plans_text() {
  vendor::AllConvolutions& all = vendor::all_convolutions();
  const std::lock_guard lock(all.mutex);
  const PlanStore* const kept = all.by_stream.empty() ? nullptr : conv_plan_store();
  if (!kept) return {};
  PlanStore chosen({}, kept->owner());
  for (const auto& [stream, convolutions] : all.by_stream)
    for (const auto& [key, plan] : convolutions.plans.chosen()) chosen.put(key, plan);
  return chosen.size() == 0 ? std::string() : chosen.text();
}

}  // namespace mirilla::cuda
